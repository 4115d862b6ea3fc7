/**
 * What the functions share as web endpoints: who may call, from which pages, and errors as JSON.
 *
 * Environment: WORTHIT_SHARED_SECRET (callers must send it as a bearer token; without it everybody may call),
 * WORTHIT_ALLOWED_ORIGINS (pages whose scripts may call, separated by commas; none without it, * for all).
 * @module
 */

import { ProducerError } from "./errors.mjs";
import { sha256 } from "./payload.mjs";

/** What an error's code means to a web client. */
const HTTP_STATUS = {
  invalid_job: 400,
  rate_limited: 429,
  no_such_job: 404,
  unreachable: 503,
  misconfigured: 500,
  refused: 502,
};

/** An error of the caller's. */
export class WebError extends Error {
  /** @param {number} status @param {string} code @param {string} message @param {Record<string, string>} [headers] */
  constructor(status, code, message, headers = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.headers = headers;
  }
}

/**
 * Make a Netlify function of `answer`, which gets the request and Netlify's context and returns a Response.
 * @param {string} method the one that is taken besides OPTIONS
 * @param {(request: Request, context: {ip?: string}) => Promise<Response>} answer
 */
export function endpoint(method, answer) {
  return async (/** @type {Request} */ request, /** @type {{ip?: string}} */ context = {}) => {
    let response;
    try {
      if (request.method === "OPTIONS") {
        response = new Response(null, { status: 204 });
      } else if (request.method !== method) {
        throw new WebError(405, "method_not_allowed", `This endpoint takes ${method}.`, { Allow: `${method}, OPTIONS` });
      } else {
        await authorize(request);
        response = await answer(request, context);
      }
    } catch (error) {
      response = failure(error);
    }
    for (const [name, value] of cors(request, method)) response.headers.set(name, value);
    return response;
  };
}

/** @param {unknown} body @param {number} [status] @param {Record<string, string>} [headers] */
export function reply(body, status = 200, headers = {}) {
  return Response.json(body, { status, headers: { "Cache-Control": "no-store", ...headers } });
}

/** Who calls, as part of a key in Redis: not the address itself. @param {{ip?: string}} context */
export async function caller(context) {
  return (await sha256(`caller ${context.ip ?? "unknown"}`)).slice(0, 32);
}

/** A whole number from the environment. @param {string} name @param {number} fallback */
export function number(name, fallback) {
  const text = process.env[name];
  if (text === undefined || text === "") return fallback;
  if (!/^[1-9][0-9]{0,8}$/.test(text)) {
    throw new ProducerError("misconfigured", `${name} must be a whole number of at least 1.`);
  }
  return Number(text);
}

/** @param {string} name @returns {string[]} */
export function list(name) {
  return (process.env[name] ?? "").split(",").map((part) => part.trim()).filter(Boolean);
}

/** @param {Request} request */
async function authorize(request) {
  const secret = process.env.WORTHIT_SHARED_SECRET;
  if (!secret) return;
  const given = (request.headers.get("authorization") ?? "").replace(/^Bearer /i, "");
  const [expected, actual] = await Promise.all([sha256(secret), sha256(given)]);
  let differences = 0; // over digests of equal length, all of them, so that time tells nothing
  for (let index = 0; index < expected.length; index++) {
    differences |= expected.charCodeAt(index) ^ actual.charCodeAt(index);
  }
  if (differences) {
    throw new WebError(401, "unauthorized", "Send the shared secret as a bearer token.", { "WWW-Authenticate": "Bearer" });
  }
}

/** @param {Request} request @param {string} method @returns {[string, string][]} */
function cors(request, method) {
  const origin = request.headers.get("origin");
  const allowed = list("WORTHIT_ALLOWED_ORIGINS");
  /** @type {[string, string][]} */
  const headers = [["Vary", "Origin"]];
  if (origin && (allowed.includes("*") || allowed.includes(origin))) {
    headers.push(["Access-Control-Allow-Origin", allowed.includes("*") ? "*" : origin]);
    headers.push(["Access-Control-Expose-Headers", "Location, Retry-After"]);
    if (request.method === "OPTIONS") {
      headers.push(["Access-Control-Allow-Methods", `${method}, OPTIONS`]);
      headers.push(["Access-Control-Allow-Headers", "Authorization, Content-Type"]);
      headers.push(["Access-Control-Max-Age", "600"]);
    }
  }
  return headers;
}

/** @param {unknown} error */
function failure(error) {
  if (error instanceof WebError) {
    return reply({ error: { code: error.code, message: error.message } }, error.status, error.headers);
  }
  if (error instanceof ProducerError) {
    const status = HTTP_STATUS[error.code] ?? 500;
    const after = /** @type {{retryAfter?: number}} */ (error).retryAfter ?? (status === 503 ? 2 : undefined);
    const told = status === 500 || status === 502; // the operator's affair: the sentence is for the log
    if (told) console.error(`${error.code}: ${error.message}`);
    const message = told ? "The service is not set up well. Its operator finds the reason in the function's log." : error.message;
    /** @type {Record<string, string>} */
    const headers = after === undefined ? {} : { "Retry-After": String(after) };
    return reply({ error: { code: error.code, message } }, status, headers);
  }
  console.error(error);
  return reply({ error: { code: "internal", message: "Something went wrong on our side." } }, 500);
}
