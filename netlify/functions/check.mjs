/**
 * GET /check?url=… → the page of one product, as HTML: its verdict, or how far the analysis is, or why there is none. The
 * address can be shared. It needs no JavaScript; with it (public/app.js) the page follows the analysis by itself.
 *
 * Environment: as analyze.mjs. With WORTHIT_SHARED_SECRET the page is closed, because shoppers do not have it.
 */

import { Producer } from "@worthit/producer";
import { ask, failureOf } from "../lib/analysis.mjs";
import { errorPage, homePage, HTML_HEADERS, verdictPage, workingPage } from "../lib/page.mjs";
import { BadUrl, canonicalUrl } from "../lib/urls.mjs";
import { authorize, describe } from "../lib/web.mjs";

/** Netlify itself stops a flood from one address; it reads literals only. */
export const config = { path: "/check", rateLimit: { windowLimit: 120, windowSize: 60, aggregateBy: ["ip", "domain"] } };

/** @param {Request} request @param {{ip?: string}} context */
export default async function check(request, context = {}) {
  const given = (new URL(request.url).searchParams.get("url") ?? "").trim();
  try {
    if (request.method !== "GET" && request.method !== "HEAD")
      return html(errorPage(given, "This page is only looked at (GET)."), 405);
    await authorize(request);
    if (!given) return html(homePage());
    return await answer(canonicalUrl(withScheme(given), "The link"), given, context);
  } catch (error) {
    if (error instanceof BadUrl) return html(errorPage(given, `${error.message}.`), 400);
    const { status, headers, message } = describe(error);
    return html(errorPage(given, inShoppersWords(status, message)), status, headers);
  }
}

/** @param {string} address @param {string} given @param {{ip?: string}} context */
async function answer(address, given, context) {
  const { value, stale, job } = await ask(address, context);
  if (value) return html(verdictPage(value, { stale: stale && job !== null }));
  const state = job.created ? null : await Producer.fromEnvironment().status(job.id);
  if (state?.status === "finished" && state.result) return html(verdictPage(state.result, { stale: false }));
  const failure = state && failureOf(state);
  if (failure) return html(errorPage(given, failure.message, { address }), 200);
  return html(workingPage({ address, id: job.id, percent: state?.percent ?? 0, message: state?.message ?? "" }), 202);
}

/** Who types shop.example/lamp means https. @param {string} text */
function withScheme(text) {
  return /^[a-z][a-z0-9+.-]*:(?!\d)/i.test(text) ? text : `https://${text}`;
}

/** @param {number} status @param {string} message */
function inShoppersWords(status, message) {
  if (status === 401) return "This page is closed: the site's API is used by another program alone.";
  if (status === 503) return "The service cannot be reached at the moment. Try again in a minute.";
  return message;
}

/** @param {string} text @param {number} [status] @param {Record<string, string>} [headers] */
function html(text, status = 200, headers = {}) {
  return new Response(text, { status, headers: { ...HTML_HEADERS, ...headers } });
}
