/** What a job looks like in Redis, and what keeps a bad one from getting there: as producer/payload.py has it. */

import { invalid } from "./errors.js";
import { canonicalText, firstCharacters, isPlainObject, isText, jsonText, sha256, uuid } from "./json.js";

const MAX_PAYLOAD_BYTES = 1_000_000;
const MAX_META_BYTES = 100_000;
const MAX_TIMEOUT = 7 * 86400;
export const MAX_TTL = 10 * 366 * 86400;
const MAX_RETRIES = 1000;
const MAX_DEPENDENCIES = 100;
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
];
const NAME = /^[^\s,\x00-\x1f\x7f]{1,100}$/u;
/** W3C Trace Context, version 00 or a later one. */
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;
const TRACESTATE = /^[ -~]{1,512}$/;

/** A job's hash, but for its status and dates. */
export function jobFields(job) {
  checkFunction(job.function);
  const queue = job.queue ?? "default";
  checkQueue(queue);
  const { args = [] } = job;
  const kwargs = job.kwargs ?? {};
  if (!Array.isArray(args)) invalid("args must be an array");
  if (!isPlainObject(kwargs)) invalid("kwargs must be an object");
  const fields = {
    data: jsonText([job.function, null, args, kwargs], "the arguments", MAX_PAYLOAD_BYTES),
    ...Object.fromEntries(EMPTY.map((name) => [name, ""])),
    group_id: given(job.group) ? checkName("group", job.group) : "",
    origin: queue,
    description: description(job, args, kwargs),
    timeout: String(seconds("timeout", job.timeout, 1, MAX_TIMEOUT) ?? DEFAULT_TIMEOUT),
  };
  for (const [name, value, least] of [
    ["result_ttl", job.resultTtl, -1],
    ["failure_ttl", job.failureTtl, -1],
    ["ttl", job.ttl, 1],
  ]) {
    const checked = seconds(name, value, least, MAX_TTL);
    if (checked !== undefined) fields[name] = String(checked);
  }
  const meta = metaOf(job);
  if (Object.keys(meta).length) fields.meta = jsonText(meta, "meta", MAX_META_BYTES);
  return { ...fields, ...retryFields(job.retry), ...waitingFields(job) };
}

/** The hash of the job that tells `url` when `parent` has ended. */
export function callbackFields(url, parent, queue) {
  if (typeof url !== "string" || !/^https?:\/\/[!-~]{1,2000}$/.test(url)) {
    invalid("callbackUrl must be an absolute http or https URL in ASCII, such as 'https://me.example/done'");
  }
  const job = { function: "jobs.delivery.deliver", args: [url, parent], queue, timeout: 60, description: `callback of ${parent}` };
  return {
    ...jobFields(job),
    status: "deferred",
    dependency_id: parent,
    dependency_ids: JSON.stringify([parent]),
    allow_dependency_failures: "1",
    enqueue_at_front: "0",
  };
}

/** What is the same for calls with the same function and arguments, in both languages. */
export async function fingerprint(job) {
  return (await sha256(canonicalText([job.function, job.args ?? [], job.kwargs ?? {}]))).slice(0, 32);
}

export function given(value) {
  return value !== undefined && value !== null;
}

export function checkFunction(name) {
  if (typeof name !== "string" || name.length > 255 || !/^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$/.test(name)) {
    invalid("the function must be named with its module, in ASCII, such as 'jobs.invoices.send_invoice'");
  }
}

export function checkJobId(id) {
  if (typeof id !== "string" || !/^[A-Za-z0-9_-]{1,200}$/.test(id)) {
    invalid("a job id must have 1 to 200 letters, digits, '-' and '_', and nothing else");
  }
  return id;
}

/** A deadline, a limit or an age must be a number that Redis and clocks know. */
export function checkSpan(name, value) {
  if (typeof value !== "number" || !(value >= 0 && value <= MAX_SPAN)) invalid(`${name} must be a number from 0 to ${MAX_SPAN}`);
}

export function wholeSeconds(name, value) {
  return seconds(name, value ?? NaN, 1, MAX_TTL);
}

export async function uniqueId(name, subject) {
  if (typeof subject !== "string" || subject === "" || !isText(subject)) {
    invalid("unique must be a text that says what the job is about, such as a canonical URL");
  }
  const digest = await sha256(`${name}\n${subject}`);
  return `${name.slice(name.lastIndexOf(".") + 1).slice(0, 60)}-${digest.slice(0, 32)}`;
}

/** The id that a job gets: the one given, that of its subject, or a new one. */
export async function chosenId(job) {
  if (given(job.unique)) return uniqueId(job.function, job.unique);
  return given(job.jobId) ? checkJobId(job.jobId) : uuid();
}

export function parents(job) {
  const wanted = job.dependsOn;
  if (!given(wanted)) return [];
  const ids = (Array.isArray(wanted) ? wanted : [wanted]).map(checkJobId);
  if (ids.length < 1 || ids.length > MAX_DEPENDENCIES || new Set(ids).size < ids.length) {
    invalid(`a job depends on 1 to ${MAX_DEPENDENCIES} jobs, each named once`);
  }
  return ids;
}

export function flag(name, value) {
  if (value !== undefined && typeof value !== "boolean") invalid(`${name} must be true or false`);
  return value === true;
}

/** The name under which the calls with this `key` of a `kind` know of each other. */
export async function markDigest(kind, name, key) {
  if (typeof key !== "string" || key === "" || Array.from(key).length > 1000 || !isText(key)) {
    invalid(`the key of ${kind} must be a text of 1 to 1000 characters`);
  }
  return (await sha256(`${kind}\n${name}\n${key}`)).slice(0, 32);
}

export function moment() {
  return new Date().toISOString().replace("Z", "000Z");
}

function checkQueue(name) {
  checkName("the queue", name);
  if (name === "dead-letter") invalid("'dead-letter' holds dead letters, and no consumer reads it; name another queue");
}

function checkName(what, name) {
  if (typeof name !== "string" || !NAME.test(name) || !isText(name)) {
    invalid(`${what} must be a name of 1 to 100 characters without spaces and commas`);
  }
  return name;
}

function description(job, args, kwargs) {
  if (given(job.description)) {
    if (typeof job.description !== "string" || !isText(job.description)) invalid("description must be text");
    return firstCharacters(job.description, 1000);
  }
  const shown = args.map((value) => cut(JSON.stringify(value)));
  for (const name of Object.keys(kwargs).sort()) shown.push(`${name}=${cut(JSON.stringify(kwargs[name]))}`);
  return firstCharacters(`${job.function}(${shown.join(", ")})`, 1000);
}

function cut(text) {
  const first = firstCharacters(text, 75);
  return first === text ? text : `${first}...`;
}

function metaOf(job) {
  const meta = job.meta ?? {};
  if (!isPlainObject(meta)) invalid("meta must be an object");
  const all = { ...meta };
  for (const [name, value, pattern, example] of [
    ["traceparent", job.traceparent, TRACEPARENT, "such as '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'"],
    ["tracestate", job.tracestate, TRACESTATE, "1 to 512 ASCII characters"],
  ]) {
    if (!given(value)) continue;
    if (typeof value !== "string" || !pattern.test(value)) invalid(`${name} must be as W3C Trace Context writes it, ${example}`);
    all[name] = value;
  }
  if (given(job.tracestate) && !("traceparent" in all)) invalid("tracestate means nothing without traceparent");
  return all;
}

function retryFields(retry) {
  if (retry === undefined || retry === null) return {};
  const { max, interval = 0 } = typeof retry === "number" ? { max: retry } : retry;
  if (!Number.isInteger(max) || max < 1 || max > MAX_RETRIES) {
    invalid(`retry must be a whole number of further attempts from 1 to ${MAX_RETRIES}`);
  }
  const intervals = Array.isArray(interval) ? interval : [interval];
  const fits = (value) => Number.isInteger(value) && Number(value) >= 0 && Number(value) <= MAX_TTL;
  if (intervals.length < 1 || intervals.length > MAX_RETRIES || !intervals.every(fits)) {
    invalid("a retry's interval must be whole seconds or a list of them, none below 0");
  }
  return { retries_left: String(max), retry_intervals: JSON.stringify(intervals) };
}

function waitingFields(job) {
  const fields = {};
  const ids = parents(job);
  if (ids.length) {
    fields.dependency_id = ids[0];
    fields.dependency_ids = JSON.stringify(ids);
    fields.allow_dependency_failures = flag("allowFailure", job.allowFailure) ? "1" : "0";
  }
  if (given(job.rateLimit)) {
    const limit = job.rateLimit;
    if (!isPlainObject(limit)) invalid("rateLimit must be {key, concurrency}");
    fields.rate_limit_key = checkName("the rate limit's key", limit.key);
    if (!Number.isInteger(limit.concurrency) || limit.concurrency < 1 || limit.concurrency > 1_000_000) {
      invalid("the rate limit's concurrency must be a whole number from 1 to 1000000");
    }
    fields.rate_limit_concurrency = String(limit.concurrency);
  }
  const front = flag("atFront", job.atFront);
  const waits = ids.length > 0 || [job.rateLimit, job.delay, job.at, job.debounce].some(given);
  if ((waits && front) || ids.length) fields.enqueue_at_front = front ? "1" : "0";
  return fields;
}

function seconds(name, value, least, most) {
  if (value === undefined || value === null) return undefined;
  if (!Number.isInteger(value) || Number(value) < least || Number(value) > most) {
    const ever = least < 0 ? ", or -1 for ever" : "";
    invalid(`${name} must be whole seconds from ${Math.max(least, 0)} to ${most}${ever}`);
  }
  return Number(value);
}
