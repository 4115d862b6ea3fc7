/** Every call is one request (`wait` and `watch`: one a look), ends within its deadline, and is safe to repeat. */

import { ProducerError, tooMany } from "./errors.js";
import { randomToken } from "./json.js";
import { checkJobId, checkSpan, given, moment } from "./payload.js";
import { cachedValue, ENDED, FIELDS, logOf, noSuchJob, state } from "./reading.js";
import { checkBatch, record } from "./record.js";
import { Rest } from "./rest.js";
import { CANCEL, ENQUEUE, READ } from "./scripts.js";

export { ProducerError };

export class Producer {
  #rest;
  #prefix;
  #ms;

  constructor({ url, token, prefix = "rq", timeoutMs = 8000, fetch: fetcher } = {}) {
    checkSpan("timeoutMs", timeoutMs);
    this.#rest = new Rest(url, token, fetcher);
    this.#prefix = prefix;
    this.#ms = timeoutMs;
  }

  static fromEnvironment(environ = globalThis.process?.env ?? {}, options = {}) {
    return new Producer({
      url: environ.UPSTASH_REDIS_REST_URL,
      token: environ.UPSTASH_REDIS_REST_TOKEN,
      prefix: environ.RQ_KEY_PREFIX || "rq",
      ...options,
    });
  }

  async enqueue(name, args = [], options = {}) {
    return (await this.enqueueMany([{ ...options, function: name, args }]))[0];
  }

  async enqueueMany(jobs) {
    const token = await randomToken();
    const records = await Promise.all(Array.from(jobs, (job) => record(job, token)));
    checkBatch(records);
    return (await this.#enqueue(records, token)).jobs;
  }

  async ask(name, args, { cacheKey, freshness, limit, rerunAfter = 60, ...options }) {
    checkSpan("freshness", freshness);
    const token = await randomToken();
    const records = [await record({ ...options, rerunAfter, function: name, args }, token)];
    const { outcome, cached, jobs } = await this.#enqueue(records, token, { cacheKey, freshness }, limit);
    const fresh = outcome === "fresh";
    const value = cached === null ? null : cachedValue(cached);
    return { value, stale: cached !== null && !fresh, job: fresh ? null : jobs[0] };
  }

  async status(id, { limit } = {}) {
    checkJobId(id);
    const keys = [this.#key("job", id), this.#key("results", id)];
    if (limit) {
      checkLimit(limit);
      const limits = [this.#key("rate", limit.who), String(limit.calls), String(limit.seconds)];
      const script = ["EVAL", READ, "3", ...keys, ...limits, ...FIELDS];
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

  async result(job) {
    const id = idOf(job);
    const now = await this.status(id);
    if (!now.ended) throw new ProducerError("not_finished", `The job ${id} has not ended yet; it is ${now.status}.`);
    if (now.status !== "finished") {
      const facts = { status: now.status, reason: now.reason };
      throw new ProducerError("job_failed", `The job ${id} ${now.status}: ${now.error || "no more is known"}`, facts);
    }
    return now.result;
  }

  async wait(job, ms) {
    const id = checkJobId(idOf(job));
    const end = endOf(ms);
    for (let pause = 100; ; pause = Math.min(pause * 1.5, 2000)) {
      const left = Math.max(end - performance.now(), 1000);
      const [status] = await this.#rest.call([["HGET", this.#key("job", id), "status"]], Math.min(this.#ms, left));
      if (status === null || ENDED.has(status) || performance.now() >= end) return this.result(id);
      await sleep(Math.min(pause, Math.max(0, end - performance.now())));
    }
  }

  async *watch(job, ms) {
    const id = idOf(job);
    const end = endOf(ms);
    let last = "";
    for (let pause = 250; ; pause = Math.min(pause * 1.5, 2000)) {
      const now = await this.status(id);
      const seen = JSON.stringify([now.status, now.percent, now.message]);
      if (seen !== last) {
        yield now;
        pause = 250;
      }
      last = seen;
      if (now.ended || performance.now() >= end) return;
      await sleep(Math.min(pause, Math.max(0, end - performance.now())));
    }
  }

  async log(job) {
    const id = idOf(job);
    const commands = [
      ["HGET", this.#key("job", id), "created_at"],
      ["LRANGE", this.#key("log", id), "0", "-1"],
    ];
    return logOf(id, ...(await this.#rest.call(commands, this.#ms)));
  }

  async cancel(id) {
    checkJobId(id);
    const script = ["EVAL", CANCEL, "1", this.#key("job", id), id, this.#prefix, moment()];
    const [[outcome, status]] = await this.#rest.call([script], this.#ms);
    if (outcome === "missing") throw noSuchJob(id);
    return status;
  }

  async #enqueue(records, token, cache, limit) {
    if (limit) checkLimit(limit);
    const keys = [`${this.#prefix}:queues`];
    if (cache || limit) keys.push(this.#key("cache", cache?.cacheKey ?? ""));
    if (limit) keys.push(this.#key("rate", limit.who));
    const script = [
      ...["EVAL", ENQUEUE, String(keys.length), ...keys, this.#prefix, token, moment()],
      ...[String(cache?.freshness ?? ""), String(limit?.calls ?? ""), String(limit?.seconds ?? ""), String(records.length)],
      ...records.flatMap((one) => one.arguments),
    ];
    const [outcome, cached, number, ...made] = await this.#call(script, records);
    if (outcome === "limited") throw tooMany(Math.max(1, number));
    if (outcome === "conflict") {
      const why =
        "This idempotency key was used before with another function or other arguments, so no job was enqueued. Take a " +
        "new key for a new job, and the old one only to send the same call again.";
      throw new ProducerError("key_reused", why, { index: number - 1 });
    }
    return { outcome, cached, jobs: made.map(([what, id, status]) => ({ id, created: what === "created", status })) };
  }

  async #call(script, records) {
    try {
      return (await this.#rest.call([script], this.#ms))[0];
    } catch (error) {
      if (!(error instanceof ProducerError) || error.code !== "unreachable") throw error;
      const alone = records.length === 1 && !records[0].mark;
      throw new ProducerError("unreachable", `${error.message} ${notKnown(records)}`, alone ? { jobId: records[0].id } : {});
    }
  }

  #key(kind, name) {
    return `${this.#prefix}:${kind}:${name}`;
  }
}

function notKnown(records) {
  if (records.every((one) => one.mark)) {
    return "It is not known whether it was enqueued; make the same call again, and its key makes it one job.";
  }
  if (records.length === 1) {
    return `It is not known whether the job ${records[0].id} was enqueued; enqueue it again with that jobId, and it runs once.`;
  }
  return (
    "It is not known whether the jobs were enqueued: all of them, or none. Jobs with a jobId, a unique or an idempotency " +
    "key may be enqueued again, and run once."
  );
}

function idOf(job) {
  return checkJobId(typeof job === "object" && given(job) ? job.id : job);
}

function endOf(ms) {
  if (typeof ms !== "number" || Number.isNaN(ms)) throw new ProducerError("invalid_job", "ms must be a number");
  return performance.now() + ms;
}

function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function checkLimit({ calls, seconds }) {
  checkSpan("limit.calls", calls);
  checkSpan("limit.seconds", seconds);
}
