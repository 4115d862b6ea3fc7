/**
 * What a job looks like in Redis, and every check that keeps a bad one from getting there: RQ's worker quits on some
 * malformed hashes. The fields and limits are those of producer/payload.py and checks.py.
 * @module
 */

import { ProducerError } from "./errors.mjs";

const MAX_PAYLOAD_BYTES = 1_000_000;
const MAX_META_BYTES = 100_000;
const MAX_DEPTH = 50;
const MAX_TIMEOUT = 7 * 86400;
const MAX_TTL = 10 * 366 * 86400;
const MAX_RETRIES = 1000;
const MAX_SPAN = 2 ** 31 - 1;
const DEFAULT_TIMEOUT = 180;
const EMPTY = [
  "success_callback_name",
  "failure_callback_name",
  "stopped_callback_name",
  "started_at",
  "ended_at",
  "last_heartbeat",
  "worker_name",
  "group_id",
];

/** @param {string} message @returns {never} */
function invalid(message) {
  throw new ProducerError("invalid_job", message);
}

/** Build a job's hash. @param {import("./producer.d.mts").JobOptions & {function: string}} job */
export function jobFields(job) {
  checkFunction(job.function);
  checkQueue(job.queue ?? "default");
  const { args = [], kwargs = {} } = job;
  if (!Array.isArray(args)) invalid("args must be an array");
  if (!isPlainObject(kwargs)) invalid("kwargs must be an object");
  const data = json([job.function, null, args, kwargs], "the arguments", MAX_PAYLOAD_BYTES);
  const now = moment();
  /** @type {Record<string, string>} */
  const fields = {
    created_at: now,
    data,
    ...Object.fromEntries(EMPTY.map((name) => [name, ""])),
    origin: job.queue ?? "default",
    description: description(job, args),
    enqueued_at: now,
    timeout: String(seconds("timeout", job.timeout, 1, MAX_TIMEOUT) ?? DEFAULT_TIMEOUT),
    status: "queued",
  };
  for (const [name, value, least] of /** @type {[string, unknown, number][]} */ ([
    ["result_ttl", job.resultTtl, -1],
    ["failure_ttl", job.failureTtl, -1],
    ["ttl", job.ttl, 1],
  ])) {
    const checked = seconds(name, value, least, MAX_TTL);
    if (checked !== undefined) fields[name] = String(checked);
  }
  if (job.meta !== undefined) fields.meta = json(job.meta, "meta", MAX_META_BYTES);
  return { ...fields, ...retryFields(job.retry) };
}

/** The hash of the job that tells `url` when `parent` has ended. @param {unknown} url @param {string} parent @param {string} queue */
export function callbackFields(url, parent, queue) {
  if (typeof url !== "string" || !/^https?:\/\/[!-~]{1,2000}$/.test(url)) {
    invalid("callbackUrl must be an absolute http or https URL in ASCII, such as 'https://me.example/done'");
  }
  return {
    ...jobFields({
      function: "jobs.delivery.deliver",
      args: [url, parent],
      queue,
      timeout: 60,
      description: `callback of ${parent}`,
    }),
    status: "deferred",
    dependency_id: parent,
    dependency_ids: JSON.stringify([parent]),
    allow_dependency_failures: "1",
    enqueue_at_front: "0",
  };
}

/** @param {unknown} name */
export function checkFunction(name) {
  if (typeof name !== "string" || name.length > 255 || !/^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$/.test(name)) {
    invalid("the function must be named with its module, such as 'jobs.products.analyze_product'");
  }
}

/** @param {unknown} id */
export function checkJobId(id) {
  if (typeof id !== "string" || !/^[A-Za-z0-9_-]{1,200}$/.test(id)) {
    invalid("a job id must have 1 to 200 letters, digits, '-' and '_', and nothing else");
  }
}

/** A deadline, a limit or an age must be a number that Redis and clocks know. @param {string} name @param {unknown} value */
export function checkSpan(name, value) {
  if (typeof value !== "number" || !(value >= 0 && value <= MAX_SPAN)) invalid(`${name} must be a number from 0 to ${MAX_SPAN}`);
}

/** The id that all jobs of a function about `subject` share. @param {string} name @param {unknown} subject */
export async function uniqueId(name, subject) {
  if (typeof subject !== "string" || subject === "" || !subject.isWellFormed()) {
    invalid("unique must be a text that says what the job is about, such as a canonical URL");
  }
  const digest = await sha256(`${name}\n${subject}`);
  return `${name.slice(name.lastIndexOf(".") + 1).slice(0, 60)}-${digest.slice(0, 32)}`;
}

/** @param {string} text @returns {Promise<string>} hex */
export async function sha256(text) {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Now as RQ writes dates. */
function moment() {
  return new Date().toISOString().replace("Z", "000Z");
}

/** @param {unknown} name */
function checkQueue(name) {
  if (typeof name !== "string" || !/^[^\s,\x00-\x1f\x7f]{1,100}$/.test(name) || !name.isWellFormed()) {
    invalid("the queue must be a name of 1 to 100 characters without spaces and commas, such as 'default'");
  }
  if (name === "dead-letter") invalid("'dead-letter' holds dead letters, and no consumer reads it; name another queue");
}

/** @param {import("./producer.d.mts").JobOptions & {function: string}} job @param {unknown[]} args */
function description(job, args) {
  if (job.description === undefined) {
    return `${job.function}(${args.map((value) => cut(JSON.stringify(value))).join(", ")})`.slice(0, 1000);
  }
  if (typeof job.description !== "string" || !job.description.isWellFormed()) invalid("description must be text");
  return job.description.slice(0, 1000).toWellFormed();
}

/** @param {string} text */
function cut(text) {
  return text.length <= 75 ? text : `${text.slice(0, 75).toWellFormed()}...`;
}

/** @param {import("./producer.d.mts").JobOptions["retry"]} retry */
function retryFields(retry) {
  if (retry === undefined || retry === null) return {};
  const { max, interval = 0 } = typeof retry === "number" ? { max: retry } : retry;
  if (!Number.isInteger(max) || max < 1 || max > MAX_RETRIES) {
    invalid(`retry must be a whole number of further attempts from 1 to ${MAX_RETRIES}`);
  }
  const intervals = Array.isArray(interval) ? interval : [interval];
  const fits = (/** @type {unknown} */ value) => Number.isInteger(value) && Number(value) >= 0 && Number(value) <= MAX_TTL;
  if (intervals.length < 1 || intervals.length > MAX_RETRIES || !intervals.every(fits)) {
    invalid("a retry's interval must be whole seconds or a list of them, none below 0");
  }
  return { retries_left: String(max), retry_intervals: JSON.stringify(intervals) };
}

/** @param {string} name @param {unknown} value @param {number} least @param {number} most */
function seconds(name, value, least, most) {
  if (value === undefined || value === null) return undefined;
  if (!Number.isInteger(value) || Number(value) < least || Number(value) > most) {
    const ever = least < 0 ? ", or -1 for ever" : "";
    invalid(`${name} must be whole seconds from ${Math.max(least, 0)} to ${most}${ever}`);
  }
  return Number(value);
}

/** @param {unknown} value @param {string} what @param {number} most */
function json(value, what, most) {
  checkPlain(value, what, 0);
  const text = JSON.stringify(value);
  const size = new TextEncoder().encode(text).length;
  if (size > most) invalid(`${what} have ${size} bytes as JSON, and at most ${most} are taken`);
  return text;
}

/** JSON must carry the value unchanged. @param {any} value @param {string} what @param {number} depth */
function checkPlain(value, what, depth) {
  if (depth > MAX_DEPTH) invalid(`${what} are nested more than ${MAX_DEPTH} levels deep, or contain themselves`);
  if (value === null || typeof value === "boolean") return;
  if (typeof value === "string") {
    if (!value.isWellFormed()) invalid(`${what} hold a text with half a character (a lone surrogate) in it`);
  } else if (typeof value === "number") {
    if (!Number.isFinite(value)) invalid(`${what} hold ${value}, which JSON cannot carry`);
    if (Number.isInteger(value) && !Number.isSafeInteger(value)) invalid(`${what} hold a whole number beyond 2^53; pass it as text`);
  } else if (Array.isArray(value)) {
    for (const item of value) checkPlain(item, what, depth + 1);
  } else if (isPlainObject(value)) {
    for (const [key, item] of Object.entries(value)) {
      checkPlain(key, what, depth + 1);
      checkPlain(item, what, depth + 1);
    }
  } else {
    invalid(`${what} hold a value of type ${typeof value}, which JSON cannot carry`);
  }
}

/** @param {unknown} value @returns {value is Record<string, unknown>} */
function isPlainObject(value) {
  if (value === null || typeof value !== "object") return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
