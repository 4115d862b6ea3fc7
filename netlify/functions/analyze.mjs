/**
 * POST {"url": "https://shop.example/lamp"} → is the product worth it?
 *
 * 200 {"verdict", "stale", "job"}: known already; a stale verdict is refreshed by `job` in the background.
 * 202 {"job": {"id", "status"}, "status_url"}: not known yet; ask for `status_url` (also in Location) until it has ended.
 * Links to one page share one job. With "callback_url", whose origin must be in WORTHIT_CALLBACK_ORIGINS, the worker tells
 * that address when the job has ended; a fresh verdict is answered at once, and no callback follows.
 *
 * Environment: see lib/web.mjs and the package @worthit/producer; WORTHIT_QUEUE (default), WORTHIT_RATE_LIMIT (30 calls a minute from
 * one IPv4 address or IPv6 network; counted in Redis in the same request).
 */

import { ask } from "../lib/analysis.mjs";
import { BadUrl, canonicalUrl } from "../lib/urls.mjs";
import { endpoint, list, reply, WebError } from "../lib/web.mjs";

const MAX_BODY_BYTES = 16 * 1024;

/** Netlify itself stops a flood from one address; it reads literals only. Above WORTHIT_RATE_LIMIT, so raise it with that. */
export const config = { path: "/api/analyze", rateLimit: { windowLimit: 120, windowSize: 60, aggregateBy: ["ip", "domain"] } };

export default endpoint("POST", async (request, context) => {
  const { url, callback_url: callbackUrl } = await body(request);
  const address = checked(() => canonicalUrl(url));
  if (callbackUrl !== undefined) checkCallback(callbackUrl);
  const answer = await ask(address, context, callbackUrl === undefined ? {} : { callbackUrl });
  const job = answer.job && { id: answer.job.id, status: answer.job.status };
  if (answer.value || !job) return reply({ verdict: answer.value, stale: answer.stale, job });
  const statusUrl = `/api/status?id=${job.id}`;
  return reply({ job, status_url: statusUrl }, 202, { Location: statusUrl, "Retry-After": "1" });
});

/** @param {Request} request */
async function body(request) {
  if (!/^application\/json\b/i.test(request.headers.get("content-type") ?? "")) {
    throw new WebError(415, "unsupported_media_type", "Send JSON, with Content-Type: application/json.");
  }
  const text = await request.text();
  if (text.length > MAX_BODY_BYTES) throw new WebError(413, "too_large", `The body may have ${MAX_BODY_BYTES} characters.`);
  let parsed;
  try {
    parsed = JSON.parse(text);
  } catch {
    parsed = null;
  }
  if (parsed === null || typeof parsed !== "object" || Array.isArray(parsed)) {
    throw new WebError(400, "bad_request", 'The body must be a JSON object such as {"url": "https://shop.example/lamp"}.');
  }
  const unknown = Object.keys(parsed).filter((name) => name !== "url" && name !== "callback_url");
  if (unknown.length) {
    throw new WebError(400, "bad_request", `The body may hold url and callback_url, and nothing else.`);
  }
  return parsed;
}

/** @param {() => string} make */
function checked(make) {
  try {
    return make();
  } catch (error) {
    if (error instanceof BadUrl) throw new WebError(400, "bad_url", `${error.message}.`);
    throw error;
  }
}

/** Callbacks are signed with the worker's secret, so they go only where the operator wants them. @param {unknown} url */
function checkCallback(url) {
  const address = checked(() => canonicalUrl(url, "callback_url"));
  if (!list("WORTHIT_CALLBACK_ORIGINS").includes(new URL(address).origin)) {
    throw new WebError(400, "bad_url", "callback_url must be on one of the sites in WORTHIT_CALLBACK_ORIGINS.");
  }
}
