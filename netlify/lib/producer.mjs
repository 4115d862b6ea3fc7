/**
 * Enqueue jobs for the worker and read what comes of them, over Upstash's REST API, with fetch alone. Every call is one
 * request (`wait`: one a look), ends within its deadline, and is safe to repeat. Types: producer.d.mts.
 * @module
 */

import { ProducerError, tooMany } from "./errors.mjs";
import { callbackFields, checkFunction, checkJobId, checkSpan, jobFields, uniqueId } from "./payload.mjs";
import { Rest } from "./rest.mjs";
import { CANCEL, ENQUEUE, READ } from "./scripts.mjs";

export { ProducerError };

/** All tries of one call; a Netlify function has 10 s. */
const CALL_MS = 8000;
const ENDED = new Set(["finished", "failed", "stopped", "canceled"]);
const FIELDS = ["status", "origin", "enqueued_at", "started_at", "ended_at", "meta", "dead_letter"];

export class Producer {
  #rest;
  #prefix;
  #ms;

  constructor({ url, token, prefix = "rq", timeoutMs = CALL_MS, fetch: fetcher } = {}) {
    checkSpan("timeoutMs", timeoutMs);
    this.#rest = new Rest(url, token, fetcher);
    this.#prefix = prefix;
    this.#ms = timeoutMs;
  }

  static fromEnvironment(environ = process.env, options = {}) {
    return new Producer({
      url: environ.UPSTASH_REDIS_REST_URL,
      token: environ.UPSTASH_REDIS_REST_TOKEN,
      prefix: environ.RQ_KEY_PREFIX || "rq",
      ...options,
    });
  }

  async enqueue(name, args = [], options = {}) {
    const [outcome, id, status] = await this.#enqueue(name, args, options);
    return { id, created: outcome === "created", status };
  }

  async ask(name, args, { cacheKey, freshness, limit, rerunAfter = 60, ...options }) {
    const [outcome, id, status, cached, wait] = await this.#enqueue(
      name,
      args,
      { ...options, rerunAfter },
      { cacheKey, freshness },
      limit,
    );
    if (outcome === "limited") throw tooMany(Math.max(1, wait));
    const fresh = outcome === "fresh";
    const value = cached === null ? null : cachedValue(cached);
    return { value, stale: cached !== null && !fresh, job: fresh ? null : { id, created: outcome === "created", status } };
  }

  async status(id, { limit } = {}) {
    checkJobId(id);
    const keys = [this.#key("job", id), this.#key("results", id)];
    if (limit) {
      checkLimit(limit);
      const script = ["EVAL", READ, "3", ...keys, this.#key("rate", limit.who), String(limit.calls), String(limit.seconds), ...FIELDS];
      const [[outcome, row, results]] = await this.#rest.call([script], this.#ms);
      if (outcome === "limited") throw tooMany(Math.max(1, row));
      return state(id, row, results);
    }
    const commands = [
      ["HMGET", keys[0], ...FIELDS],
      ["XREVRANGE", keys[1], "+", "-", "COUNT", "1"],
    ];
    const [row, results] = await this.#rest.call(commands, this.#ms);
    return state(id, row, results);
  }

  async result(id) {
    const job = await this.status(id);
    if (!job.ended) throw new ProducerError("not_finished", `The job ${id} has not ended yet; it is ${job.status}.`);
    if (job.status !== "finished") {
      const facts = { status: job.status, reason: job.reason };
      throw new ProducerError("job_failed", `The job ${id} ${job.status}: ${job.error || "no more is known"}`, facts);
    }
    return job.result;
  }

  async wait(id, ms) {
    checkJobId(id);
    if (typeof ms !== "number" || Number.isNaN(ms)) throw new ProducerError("invalid_job", "ms must be a number");
    const end = performance.now() + ms;
    for (let pause = 100; ; pause = Math.min(pause * 1.5, 2000)) {
      const left = Math.max(end - performance.now(), 1000);
      const [status] = await this.#rest.call([["HGET", this.#key("job", id), "status"]], Math.min(this.#ms, left));
      if (status === null || ENDED.has(status) || performance.now() >= end) return this.result(id);
      await new Promise((resolve) => setTimeout(resolve, Math.min(pause, Math.max(0, end - performance.now()))));
    }
  }

  async cancel(id) {
    checkJobId(id);
    const script = ["EVAL", CANCEL, "1", this.#key("job", id), id, this.#prefix];
    const [[outcome, status]] = await this.#rest.call([script], this.#ms);
    if (outcome === "missing") throw noSuchJob(id);
    if (outcome === "limited") {
      throw new ProducerError("refused", `The job ${id} has a rate limit, so that its slot must go to another: cancel it with RQ.`);
    }
    return status;
  }

  async #enqueue(name, args, options, cache, limit) {
    checkFunction(name);
    const fields = jobFields({ ...options, function: name, args });
    const id = await chosenId(name, options);
    const token = crypto.randomUUID().replaceAll("-", "");
    const rerun = options.rerunAfter !== undefined;
    if (rerun) checkSpan("rerunAfter", options.rerunAfter);
    if (cache) checkSpan("freshness", cache.freshness);
    if (limit) checkLimit(limit);
    if (rerun) fields.call = token; // a repeated call knows its own run by it, even when that has ended meanwhile
    const queue = fields.origin;
    const callback = [""];
    if (options.callbackUrl !== undefined) {
      callback.splice(0, 1, `callback-${token}`, ...flat(callbackFields(options.callbackUrl, id, queue)));
    }
    const keys = [this.#key("job", id), this.#key("queue", queue), `${this.#prefix}:queues`];
    if (cache || limit) keys.push(this.#key("cache", cache?.cacheKey ?? ""));
    if (limit) keys.push(this.#key("rate", limit.who));
    const pairs = flat(fields);
    const script = [
      ...["EVAL", ENQUEUE, String(keys.length), ...keys, id, queue, this.#prefix, options.atFront ? "L" : "R"],
      ...[fields.ttl ?? "", rerun ? String(options.rerunAfter) : "", token, String(cache?.freshness ?? "")],
      ...[String(limit?.calls ?? ""), String(limit?.seconds ?? ""), String(pairs.length), ...pairs, ...callback],
    ];
    try {
      const [answer] = await this.#rest.call([script], this.#ms);
      return answer;
    } catch (error) {
      if (!(error instanceof ProducerError) || error.code !== "unreachable") throw error;
      const unknown = `It is not known whether the job ${id} was enqueued; enqueue it again with that jobId, and it runs once.`;
      throw new ProducerError("unreachable", `${error.message} ${unknown}`, { jobId: id });
    }
  }

  #key(kind, name) {
    return `${this.#prefix}:${kind}:${name}`;
  }
}

function checkLimit({ calls, seconds }) {
  checkSpan("limit.calls", calls);
  checkSpan("limit.seconds", seconds);
}

async function chosenId(name, { jobId, unique }) {
  if (jobId !== undefined && unique !== undefined) {
    throw new ProducerError("invalid_job", "give jobId or unique, not both: unique makes the id");
  }
  if (unique !== undefined) return uniqueId(name, unique);
  if (jobId === undefined) return crypto.randomUUID();
  checkJobId(jobId);
  return jobId;
}

function state(id, row, results) {
  const [status, queue, enqueuedAt, startedAt, endedAt, meta, letter] = row.map((value) => value ?? "");
  if (!status && !queue) throw noSuchJob(id);
  const progress = object(object(meta)?.progress) ?? {};
  const dead = status === "failed" ? (object(letter) ?? {}) : {};
  const entry = results.length ? Object.fromEntries(pairsOf(results[0][1])) : {};
  return {
    id,
    status: status || "queued",
    ended: ENDED.has(status),
    queue,
    enqueuedAt,
    startedAt,
    endedAt,
    percent: Number.isInteger(progress.percent) ? progress.percent : status === "finished" ? 100 : 0,
    message: String(progress.message ?? ""),
    reason: String(dead.reason ?? ""),
    error: String(dead.message ?? ""),
    result: status === "finished" && entry.type === "1" ? decoded(id, entry.return_value) : null,
  };
}

function cachedValue(text) {
  try {
    return JSON.parse(text);
  } catch {
    const found = notANumber(text);
    const why = found ? `holds ${found}, which JSON does not have` : "is not JSON";
    throw new ProducerError("refused", `What is cached there ${why}.`);
  }
}

function decoded(id, value) {
  if (value === undefined) return null;
  const refused = (why) => new ProducerError("refused", `The result of job ${id} ${why}`);
  let bytes, text;
  try {
    bytes = Uint8Array.from(atob(value), (character) => character.charCodeAt(0));
  } catch {
    throw refused("is damaged: it is not base64, as RQ writes it.");
  }
  if (bytes[0] === 0x80) {
    throw refused("is not JSON: it was enqueued with RQ's pickle serializer, which a producer does not read. Enqueue it with serializer='json'.");
  }
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return JSON.parse(text);
  } catch (error) {
    const found = text === undefined ? undefined : notANumber(text);
    if (!found) throw refused(`is not JSON: ${error.message}.`);
    throw refused(`holds ${found}, which JSON does not have: a plain RQ worker wrote it. This worker writes null in its place.`);
  }
}

/** What stands outside the texts of a JSON, and what Python writes for numbers that JSON does not have. */
const TEXT_OR_NOT_A_NUMBER = /"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b/g;

/** The first of them; undefined when there is none. */
function notANumber(text) {
  return text.match(TEXT_OR_NOT_A_NUMBER)?.find((found) => found[0] !== '"');
}

function noSuchJob(id) {
  return new ProducerError("no_such_job", `There is no job ${id}: it was never enqueued, was deleted, or its result has expired.`);
}

/** A JSON object, parsed or as text; null for anything else, a pickle among it. Python's NaN is read as null. */
function object(value) {
  if (typeof value === "string") {
    try {
      value = JSON.parse(value.replace(TEXT_OR_NOT_A_NUMBER, (found) => (found[0] === '"' ? found : "null")));
    } catch {
      return null;
    }
  }
  return value !== null && typeof value === "object" && !Array.isArray(value) ? value : null;
}

function pairsOf(list) {
  return list.flatMap((value, index) => (index % 2 ? [] : [[value, list[index + 1]]]));
}

function flat(fields) {
  return Object.entries(fields).flat();
}
