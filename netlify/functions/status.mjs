/**
 * GET ?id=… → where an analysis is: {"id", "status", "ended", "percent", "message", "verdict", "error"}.
 *
 * `verdict` is there once the status is "finished", `error` {"code", "message"} once it is "failed", "stopped" or
 * "canceled". Only analyses are told of: their ids can be guessed, other jobs' results are nobody's business.
 *
 * Environment: see lib/web.mjs and the package @worthit/producer; WORTHIT_STATUS_LIMIT (120 calls a minute from one IPv4 address or
 * IPv6 network: two pages that ask once a second; counted in Redis in the same request).
 */

import { Producer } from "@worthit/producer";
import { failureOf } from "../lib/analysis.mjs";
import { endpoint, limited, number, reply, WebError } from "../lib/web.mjs";

const ANALYSIS = /^analyze_product-[0-9a-f]{32}$/;

/** Netlify itself stops a flood from one address; it reads literals only. Above WORTHIT_STATUS_LIMIT, so raise it with that. */
export const config = { path: "/api/status", rateLimit: { windowLimit: 480, windowSize: 60, aggregateBy: ["ip", "domain"] } };

export default endpoint("GET", async (request, context) => {
  const id = new URL(request.url).searchParams.get("id") ?? "";
  if (!ANALYSIS.test(id)) {
    throw new WebError(400, "bad_id", "Give the id of an analysis: ?id=analyze_product-… as /api/analyze answered it.");
  }
  const producer = Producer.fromEnvironment();
  const job = await limited("status", context, number("WORTHIT_STATUS_LIMIT", 120), (limit) => producer.status(id, { limit }));
  const { status, ended, percent, message } = job;
  /** @type {Record<string, string>} */
  const headers = ended ? {} : { "Retry-After": "1" };
  return reply({ id, status, ended, percent, message, verdict: job.result, error: failureOf(job) }, 200, headers);
});
