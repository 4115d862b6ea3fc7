/** What the script is told of a job: as producer/record.py has it. */

import { invalid } from "./errors.js";
import { byteLength, isPlainObject, randomToken } from "./json.js";
import {
  callbackFields,
  checkSpan,
  chosenId,
  fingerprint,
  flag,
  given,
  jobFields,
  markDigest,
  MAX_TTL,
  parents,
  wholeSeconds,
} from "./payload.js";

const MAX_JOBS = 1000;
const MAX_DEPENDENCIES = 1000;
const MAX_REQUEST_BYTES = 8_000_000;
const IDEMPOTENCY_TTL = 86400;
const DEBOUNCED_FOR = 7 * 86400;
const LAST_SECOND = 253_402_300_799;

const OPTIONS = new Set([
  ...["function", "args", "kwargs", "queue", "jobId", "unique", "rerunAfter", "timeout", "resultTtl", "failureTtl", "ttl", "retry"],
  ...["meta", "description", "atFront", "callbackUrl", "delay", "at", "dependsOn", "allowFailure", "group", "rateLimit"],
  ...["debounce", "throttle", "idempotencyKey", "idempotencyTtl", "traceparent", "tracestate"],
]);
const NO_PLACE = "RQ has no place for a job that waits for both";
const SAYS_WHEN = "debounce says when the job begins";
const SAYS_WHICH = "each says which calls make one job";
/** Which options cannot be had together, and why. */
const EXCLUDED = [
  ["delay", "at", "they say two moments"],
  ["jobId", "unique", "unique makes the id"],
  ...["delay", "at", "debounce"].map((when) => [when, "dependsOn", NO_PLACE]),
  ...["delay", "at"].map((when) => ["debounce", when, SAYS_WHEN]),
  ["debounce", "callbackUrl", "many calls would tell one end"],
  ...["throttle", "debounce"].flatMap((mark) => [
    ["idempotencyKey", mark, SAYS_WHICH],
    [mark, "jobId", "it makes the id"],
  ]),
  ["throttle", "debounce", SAYS_WHICH],
  ...["idempotencyKey", "throttle", "debounce"].flatMap((mark) =>
    ["unique", "rerunAfter"].map((other) => [mark, other, SAYS_WHICH]),
  ),
];

export async function record(job, token) {
  checkOptions(job);
  const fields = jobFields(job);
  const id = await chosenId(job);
  const [kind, mark, lifetime, print, longest] = await markOf(job);
  const after = job.rerunAfter;
  if (given(after)) {
    checkSpan("rerunAfter", after);
    fields.call = token; // a repeated call knows its own run by it, even when that has ended meanwhile
  }
  const ids = parents(job);
  if (ids.includes(id)) invalid("a job cannot depend on itself");
  const callback = [""];
  if (given(job.callbackUrl)) {
    callback.splice(0, 1, `callback-${await randomToken()}`, ...counted(flat(callbackFields(job.callbackUrl, id, fields.origin))));
  }
  return {
    id,
    mark,
    parents: ids,
    arguments: [
      ...[
        id,
        fields.origin,
        flag("atFront", job.atFront) ? "L" : "R",
        fields.ttl ?? "",
        given(after) ? String(after) : "",
        due(job),
      ],
      ...[kind, mark, lifetime, print, longest],
      ...[
        fields.group_id,
        fields.rate_limit_key ?? "",
        fields.rate_limit_concurrency ?? "",
        fields.allow_dependency_failures ?? "0",
      ],
      ...[...counted(ids), ...counted(flat(fields)), ...callback],
    ],
  };
}

/** One request must carry the jobs, each of them once, parents before children. */
export function checkBatch(records) {
  if (records.length < 1 || records.length > MAX_JOBS)
    invalid(`one call enqueues 1 to ${MAX_JOBS} jobs; these are ${records.length}`);
  if (records.reduce((sum, one) => sum + one.parents.length, 0) > MAX_DEPENDENCIES) {
    invalid(`the jobs of one call have at most ${MAX_DEPENDENCIES} dependencies together`);
  }
  const places = new Map(records.map((one, place) => [one.id, place]));
  const marks = records.map((one) => one.mark).filter(Boolean);
  if (places.size < records.length || new Set(marks).size < marks.length) {
    invalid("two jobs of one call have the same id or key");
  }
  records.forEach((one, place) => {
    if (one.parents.some((parent) => (places.get(parent) ?? -1) > place)) {
      invalid("a job of this call depends on a later one; put that one before it");
    }
  });
  const size = records.reduce((sum, one) => one.arguments.reduce((all, text) => all + byteLength(text), sum), 0);
  if (size > MAX_REQUEST_BYTES) {
    invalid(`the jobs of this call have ${size} bytes, and a request takes at most ${MAX_REQUEST_BYTES}; send fewer`);
  }
}

function checkOptions(job) {
  if (!isPlainObject(job)) invalid("a job must be an object such as {function: 'jobs.mail.send', args: [7]}");
  const unknown = Object.keys(job).find((name) => !OPTIONS.has(name));
  if (unknown !== undefined) invalid(`a job has no option ${JSON.stringify(unknown)}; there are ${[...OPTIONS].join(", ")}`);
  for (const [one, other, why] of EXCLUDED) {
    if (given(job[one]) && given(job[other])) invalid(`give ${one} or ${other}, not both: ${why}`);
  }
}

async function markOf(job) {
  const { idempotencyKey, throttle, debounce } = job;
  if (given(idempotencyKey)) {
    const lifetime = wholeSeconds("idempotencyTtl", job.idempotencyTtl ?? IDEMPOTENCY_TTL);
    return ["idempotency", await markDigest("idempotency", "", idempotencyKey), String(lifetime), await fingerprint(job), ""];
  }
  if (given(throttle)) {
    if (!isPlainObject(throttle)) invalid("throttle must be {key, seconds}");
    const lifetime = wholeSeconds("the seconds of throttle", throttle.seconds);
    return ["throttle", await markDigest("throttle", job.function, throttle.key), String(lifetime), "", ""];
  }
  if (given(debounce)) {
    if (!isPlainObject(debounce)) invalid("debounce must be {key, seconds}");
    const wait = wholeSeconds("the seconds of debounce", debounce.seconds);
    const longest = given(debounce.maxWait) ? String(wholeSeconds("the maxWait of debounce", debounce.maxWait)) : "";
    return ["debounce", await markDigest("debounce", job.function, debounce.key), String(wait + DEBOUNCED_FOR), "", longest];
  }
  return ["", "", "", "", ""];
}

function due({ at, delay, debounce }) {
  if (debounce) return `+${debounce.seconds * 1000}`;
  if (given(delay)) {
    if (typeof delay !== "number" || !(delay >= 0 && delay <= MAX_TTL)) invalid(`delay must be seconds from 0 to ${MAX_TTL}`);
    return `+${Math.ceil(delay * 1000)}`;
  }
  if (!given(at)) return "";
  const seconds = at instanceof Date ? at.getTime() / 1000 : at;
  if (typeof seconds !== "number" || !(seconds >= 0 && seconds <= LAST_SECOND)) {
    invalid("at must be a Date from 1970 to 9999, or a Unix time in seconds");
  }
  return `=${Math.ceil(seconds)}`;
}

function flat(fields) {
  return Object.entries(fields).flat();
}

function counted(texts) {
  return [String(texts.length), ...texts];
}
