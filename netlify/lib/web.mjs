/**
 * What the functions share as web endpoints: who may call, from which pages, and errors as JSON.
 *
 * Environment: WORTHIT_SHARED_SECRET (callers must send it as a bearer token; without it everybody may call),
 * WORTHIT_ALLOWED_ORIGINS (pages whose scripts may call, separated by commas; none without it, * for all).
 * @module
 */

import { ProducerError } from "@worthit/producer";

/** What an error's code means to a web client. */
const HTTP_STATUS = {
  invalid_job: 400,
  key_reused: 409,
  rate_limited: 429,
  no_such_job: 404,
  unreachable: 503,
  misconfigured: 500,
  refused: 502,
};

/** @param {string} text @returns {Promise<string>} hex */
export async function sha256(text) {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

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

/** A limit's window, in seconds. */
const WINDOW = 60;
/** How many refused callers one instance remembers: about 100 bytes each. */
const MAX_REFUSED = 10_000;
/** Who has used up his calls, and until when (ms of performance.now); the oldest first. @type {Map<string, number>} */
const refused = new Map();

/**
 * Let a caller `ask` at most `calls` times a minute of each `kind`. Redis counts, in the request that asks; whom it refused
 * is refused from memory until his window ends, so that a stranger who goes on costs no command.
 * @template Answer
 * @param {string} kind @param {{ip?: string}} context @param {number} calls
 * @param {(limit: {who: string, calls: number, seconds: number}) => Promise<Answer>} ask
 */
export async function limited(kind, context, calls, ask) {
  const who = await caller(kind, context);
  const left = (refused.get(who) ?? 0) - performance.now();
  if (left > 0) {
    const retryAfter = Math.ceil(left / 1000);
    throw new ProducerError("rate_limited", `Too many requests. Try again in ${retryAfter} seconds.`, { retryAfter });
  }
  refused.delete(who);
  try {
    return await ask({ who, calls, seconds: WINDOW });
  } catch (error) {
    if (error instanceof ProducerError && error.code === "rate_limited") {
      if (refused.size >= MAX_REFUSED) refused.delete(refused.keys().next().value ?? "");
      refused.set(who, performance.now() + 1000 * (/** @type {{retryAfter?: number}} */ (error).retryAfter ?? 1));
    }
    throw error;
  }
}

/** Who calls, as part of a key in Redis: not the address itself. @param {string} kind @param {{ip?: string}} context */
async function caller(kind, context) {
  return (await sha256(`${kind} ${household(context.ip ?? "unknown")}`)).slice(0, 32);
}

/**
 * What one connection to the internet is given: an IPv4 address, or an IPv6 network of 64 bits (RFC 6177), whose 2⁶⁴
 * addresses one caller can use in turn. Anything else is taken as it is.
 * @param {string} address
 */
export function household(address) {
  const mapped = /^::ffff:([0-9.]+)$/i.exec(address);
  if (mapped) return mapped[1];
  if (!address.includes(":")) return address;
  let canonical;
  try {
    canonical = new URL(`http://[${address}]`).hostname.slice(1, -1);
  } catch {
    return address;
  }
  const [head, tail] = canonical.split("::").map((half) => half.split(":").filter(Boolean));
  const groups = tail ? [...head, ...Array(8 - head.length - tail.length).fill("0"), ...tail] : head;
  if (groups.slice(0, 5).every((group) => group === "0") && groups[5] === "ffff") {
    const [high, low] = groups.slice(6).map((group) => parseInt(group, 16));
    return [high >> 8, high & 255, low >> 8, low & 255].join("."); // an IPv4 address, written in hexadecimal
  }
  return `${groups.slice(0, 4).join(":")}::/64`;
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

/** Throw unless the caller may ask. @param {Request} request */
export async function authorize(request) {
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
  const { status, code, message, headers } = describe(error);
  return reply({ error: { code, message } }, status, headers);
}

/**
 * What a caller is told of an error; what is the operator's affair goes to the function's log.
 * @param {unknown} error @returns {{status: number, code: string, message: string, headers: Record<string, string>}}
 */
export function describe(error) {
  if (error instanceof WebError) return error;
  if (!(error instanceof ProducerError)) {
    console.error(error);
    return { status: 500, code: "internal", message: "Something went wrong on our side.", headers: {} };
  }
  const status = HTTP_STATUS[error.code] ?? 500;
  const after = error.retryAfter ?? (status === 503 ? 2 : undefined);
  const told = status === 500 || status === 502;
  if (told) console.error(`${error.code}: ${error.message}`);
  const message = told ? "The service is not set up well. Its operator finds the reason in the function's log." : error.message;
  return { status, code: error.code, message, headers: after === undefined ? {} : { "Retry-After": String(after) } };
}
