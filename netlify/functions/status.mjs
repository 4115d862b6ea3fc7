/**
 * GET ?id=… → where an analysis is: {"id", "status", "ended", "percent", "message", "verdict", "error"}.
 *
 * `verdict` is there once the status is "finished", `error` {"code", "message"} once it is "failed", "stopped" or
 * "canceled". Only analyses are told of: their ids can be guessed, other jobs' results are nobody's business.
 */

import { Producer } from "../lib/producer.mjs";
import { endpoint, reply, WebError } from "../lib/web.mjs";

const ANALYSIS = /^analyze_product-[0-9a-f]{32}$/;

export const config = { path: "/api/status" };

export default endpoint("GET", async (request) => {
  const id = new URL(request.url).searchParams.get("id") ?? "";
  if (!ANALYSIS.test(id)) {
    throw new WebError(400, "bad_id", "Give the id of an analysis: ?id=analyze_product-… as /api/analyze answered it.");
  }
  const job = await Producer.fromEnvironment().status(id);
  const { status, ended, percent, message } = job;
  /** @type {Record<string, string>} */
  const headers = ended ? {} : { "Retry-After": "1" };
  return reply({ id, status, ended, percent, message, verdict: job.result, error: failure(job) }, 200, headers);
});

/** Why there is no verdict. @param {import("../lib/producer.d.mts").JobState} job */
function failure(job) {
  if (!job.ended || job.status === "finished") return null;
  if (job.status !== "failed") return { code: job.status, message: `The analysis was ${job.status}.` };
  // "permanent" carries a sentence that the job's author wrote for people; other errors may show internals.
  const message = job.reason === "permanent" ? job.error : "The analysis failed. Ask again in a minute.";
  return { code: job.reason || "failed", message };
}
