/**
 * Each morning: have the products of WORTHIT_WATCHED looked at again, so that who asks finds a fresh verdict. One request
 * enqueues them all, however many; a scheduled function has 30 seconds.
 *
 * Environment: UPSTASH_REDIS_REST_URL, UPSTASH_REDIS_REST_TOKEN, RQ_KEY_PREFIX; WORTHIT_QUEUE; WORTHIT_WATCHED (links of
 * up to 1,000 products, separated by spaces or lines).
 */

import { Producer } from "@worthit/producer";
import { FUNCTION } from "../lib/analysis.mjs";
import { canonicalUrl } from "../lib/urls.mjs";

/** In UTC. */
export const config = { schedule: "30 4 * * *" };

export default async function refresh() {
  const links = (process.env.WORTHIT_WATCHED ?? "").split(/\s+/).filter(Boolean);
  const pages = new Set(links.map((link) => canonicalUrl(link, "A link in WORTHIT_WATCHED")));
  const jobs = Array.from(pages, (page) => ({
    function: FUNCTION,
    args: [page],
    queue: process.env.WORTHIT_QUEUE || "default",
    unique: page,
    rerunAfter: 3600,
    timeout: 60,
    resultTtl: 3600,
  }));
  const made = jobs.length ? await Producer.fromEnvironment().enqueueMany(jobs) : [];
  console.log(`${made.filter((job) => job.created).length} of ${jobs.length} products are looked at again.`);
}
