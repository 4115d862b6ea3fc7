/** Upstash's REST API: https://upstash.com/docs/redis/features/restapi */

import { Passing, ProducerError, throwFor } from "./errors.js";

/** One try; a lost answer must leave time for another one. */
const TRY_MS = 3000;
const BASE_MS = 50;
const CAP_MS = 1000;
/** No try is begun with less. */
const LEAST_MS = 50;

export class Rest {
  #url;
  #token;
  #fetch;

  constructor(url, token, fetcher = fetch) {
    this.#url = checkedUrl(url);
    if (!token || !/^[!-~]+$/.test(token)) {
      throw new ProducerError(
        "misconfigured",
        "UPSTASH_REDIS_REST_TOKEN is empty or holds characters that no token has. Copy it without quotes.",
      );
    }
    this.#token = token;
    this.#fetch = fetcher;
  }

  /** Run commands that are safe to send twice. */
  async call(commands, ms) {
    const end = performance.now() + ms;
    for (let tries = 1; ; tries++) {
      try {
        return await this.#once(commands, Math.min(TRY_MS, Math.max(end - performance.now(), LEAST_MS)));
      } catch (error) {
        if (!(error instanceof Passing)) throw error;
        const wait = Math.max(error.afterMs, Math.random() * Math.min(CAP_MS, BASE_MS * 2 ** tries));
        if (performance.now() + wait + LEAST_MS > end) {
          throw new ProducerError("unreachable", error.message);
        }
        await new Promise((resolve) => setTimeout(resolve, wait));
      }
    }
  }

  async #once(commands, ms) {
    const single = commands.length === 1;
    const { status, text, afterMs } = await this.#post(single ? "/" : "/pipeline", single ? commands[0] : commands, ms);
    if (status === 429 || status >= 500) {
      throw new Passing(`Redis's REST API is in trouble (HTTP status ${status}).`, afterMs);
    }
    let answer;
    try {
      answer = JSON.parse(text);
    } catch {
      throw new ProducerError(
        "refused",
        `What answered (HTTP status ${status}) is not Redis's REST API. Check UPSTASH_REDIS_REST_URL.`,
      );
    }
    if (status === 401) throwFor("WRONGPASS");
    const entries = Array.isArray(answer) ? answer : [answer];
    for (const entry of entries) {
      if (entry?.error != null) throwFor(String(entry.error));
      if (entry === null || typeof entry !== "object" || !("result" in entry)) throw odd(status);
    }
    if (entries.length !== commands.length || status !== 200) throw odd(status);
    return entries.map((entry) => entry.result);
  }

  /** The timeout covers all of it, the reading of the body too. */
  async #post(path, body, ms) {
    const headers = { Authorization: `Bearer ${this.#token}`, "Content-Type": "application/json" };
    const signal = AbortSignal.timeout(Math.ceil(ms));
    try {
      const response = await this.#fetch(this.#url + path, {
        method: "POST",
        headers,
        body: JSON.stringify(body),
        redirect: "error",
        signal,
      });
      const after = Number(response.headers.get("retry-after"));
      return { status: response.status, text: await response.text(), afterMs: Number.isFinite(after) ? after * 1000 : 0 };
    } catch (error) {
      if (signal.aborted) throw new Passing("Redis's REST API did not answer in time.");
      if (!(error instanceof TypeError)) throw error; // fetch tells all trouble with the network by a TypeError
      throw new Passing("Redis's REST API cannot be reached, or the connection broke.");
    }
  }
}

function odd(status) {
  return new ProducerError("refused", `Redis's REST API answered in a form that it should not have (HTTP status ${status}).`);
}

function checkedUrl(text) {
  const wrong = (what) =>
    new ProducerError("misconfigured", `UPSTASH_REDIS_REST_URL ${what}. It looks like https://NAME.upstash.io`);
  let url;
  try {
    url = new URL(text ?? "");
  } catch {
    throw wrong("is not set, or not a URL");
  }
  if (url.protocol !== "https:" && url.protocol !== "http:") throw wrong("does not begin with https://");
  if (url.username || url.password || url.search || url.hash) throw wrong("must have no user, password, query or fragment");
  const near = url.hostname === "[::1]" || url.hostname.startsWith("127.") || !url.hostname.includes(".");
  if (url.protocol === "http:" && !near) throw wrong("begins with http://, which would send the token in the clear");
  return url.origin + url.pathname.replace(/\/+$/, "");
}
