/** What Redis knows about a job. */

import { ProducerError } from "./errors.js";
import { looseObject, readJson } from "./json.js";

export const ENDED = new Set(["finished", "failed", "stopped", "canceled"]);
/** Fields of a job's hash, in the order in which they are asked for. All are text, unlike `data`. */
export const FIELDS = ["status", "origin", "enqueued_at", "started_at", "ended_at", "meta", "dead_letter"];

export function state(id, row, results) {
  const [status, queue, enqueuedAt, startedAt, endedAt, meta, letter] = row.map((value) => value ?? "");
  if (!status && !queue) throw noSuchJob(id);
  const progress = looseObject(looseObject(meta)?.progress) ?? {};
  const dead = status === "failed" ? (looseObject(letter) ?? {}) : {};
  const entry = results.length ? pairs(results[0][1]) : {};
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
    result: status === "finished" && entry.type === "1" ? result(id, entry.return_value) : null,
  };
}

/** The lines of a list that begins with the job's `created_at`; an earlier job of its id may have left another. */
export function logOf(id, createdAt, [head = "", ...lines]) {
  if (createdAt === null) throw noSuchJob(id);
  return lines.flatMap((line) => {
    const [found, at, attempt, percent, text] = /^([\d.]+) (\d+) (-|\d+) ([^]*)/.exec(line) ?? [];
    if (!found || !head.startsWith(`${createdAt} `)) return [];
    return { at: +at, attempt: +attempt, percent: percent === "-" ? null : +percent, text };
  });
}

export function noSuchJob(id) {
  return new ProducerError("no_such_job", `There is no job ${id}: it was never enqueued, was deleted, or its result has expired.`);
}

export function cachedValue(text) {
  return readJson(
    text,
    (why) =>
      new ProducerError(
        "refused",
        `What is cached there ${why.replace(/^(is not JSON):.*/, "$1.").replace(/: a plain RQ.*/, ".")}`,
      ),
  );
}

function result(id, value) {
  if (value === undefined) return null;
  const refused = (why) => new ProducerError("refused", `The result of job ${id} ${why}`);
  let bytes, text;
  try {
    bytes = Uint8Array.from(atob(value), (character) => character.charCodeAt(0));
  } catch {
    throw refused("is damaged: it is not base64, as RQ writes it.");
  }
  if (bytes[0] === 0x80) {
    throw refused(
      "is not JSON: it was enqueued with RQ's pickle serializer, which a producer does not read. Enqueue it with serializer='json'.",
    );
  }
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw refused("is not JSON: it is not UTF-8.");
  }
  return readJson(text, refused);
}

function pairs(list) {
  const object = {};
  for (let place = 0; place < list.length; place += 2) object[list[place]] = list[place + 1];
  return object;
}
