/** The question of the API and of the page: is the product at this address worth it? */

import { Producer } from "@worthit/producer";
import { limited, number, sha256 } from "./web.mjs";

export const FUNCTION = "jobs.products.analyze_product";
/** jobs/products/__init__.py has these, too: CACHE_VERSION, and KEEP_SECONDS − FRESH_SECONDS. */
export const CACHE_VERSION = 4;
export const FRESHNESS = 7 * 86400 - 6 * 3600;

/**
 * Ask, in one request: what is known, and the job that finds out more. Links to one page share one job.
 * @param {string} address canonical @param {{ip?: string}} context @param {{callbackUrl?: string}} [more]
 */
export async function ask(address, context, more = {}) {
  const options = {
    unique: address,
    cacheKey: `product:${CACHE_VERSION}:${await sha256(address)}`,
    freshness: FRESHNESS,
    queue: process.env.WORTHIT_QUEUE || "default",
    timeout: 60,
    resultTtl: 3600,
    rerunAfter: 60,
    ...more,
  };
  const producer = Producer.fromEnvironment();
  return limited("analyze", context, number("WORTHIT_RATE_LIMIT", 30), (limit) =>
    producer.ask(FUNCTION, [address], { ...options, limit }),
  );
}

/** Why there is no verdict; null while there may be one. @param {import("@worthit/producer").JobState} job */
export function failureOf(job) {
  if (!job.ended || job.status === "finished") return null;
  if (job.status !== "failed") return { code: job.status, message: `The analysis was ${job.status}.` };
  // "permanent" carries a sentence that the job's author wrote for people; other errors may show internals.
  const message = job.reason === "permanent" ? job.error : "The analysis failed. Ask again in a minute.";
  return { code: job.reason || "failed", message };
}
