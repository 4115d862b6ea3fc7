/** JSON with nothing changed on the way: what it cannot carry, and what JavaScript would round, is refused. */

import { invalid } from "./errors.js";

const MAX_DEPTH = 50;
const HALF = /[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/;

/** Whether UTF-8 can carry a text. */
export function isText(text) {
  return !HALF.test(text);
}

/** The first characters of a text, none of them halved. */
export function firstCharacters(text, count) {
  const all = Array.from(text.slice(0, 2 * count));
  return all.slice(0, count).join("");
}

export function jsonText(value, what, most) {
  checkPlain(value, what, 0);
  const text = JSON.stringify(value);
  const size = byteLength(text);
  if (size > most)
    invalid(`${what} have ${size} bytes as JSON, and at most ${most} are taken; store them elsewhere and pass a link`);
  return text;
}

/** The one text of all JSON that means the same (RFC 8785): sorted keys. */
export function canonicalText(value) {
  if (Array.isArray(value)) return `[${value.map(canonicalText).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const pairs = Object.keys(value)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${canonicalText(value[key])}`);
  return `{${pairs.join(",")}}`;
}

export function byteLength(text) {
  return new TextEncoder().encode(text).length;
}

export function isPlainObject(value) {
  if (value === null || typeof value !== "object") return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null; // of another realm's Object, too
}

/** JSON must carry the value unchanged. */
function checkPlain(value, what, depth) {
  if (depth > MAX_DEPTH) invalid(`${what} are nested more than ${MAX_DEPTH} levels deep, or contain themselves`);
  if (value === null || typeof value === "boolean") return;
  if (typeof value === "string") {
    if (!isText(value)) invalid(`${what} hold a text with half a character (a lone surrogate) in it`);
  } else if (typeof value === "number") {
    if (!Number.isFinite(value)) invalid(`${what} hold ${value}, which JSON cannot carry`);
    if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
      invalid(`${what} hold a whole number beyond 2^53, where JavaScript rounds; pass it as text`);
    }
  } else if (Array.isArray(value)) {
    for (let place = 0; place < value.length; place++) checkPlain(value[place], what, depth + 1); // holes, too
  } else if (isPlainObject(value) && typeof value.toJSON !== "function") {
    for (const [key, item] of Object.entries(value)) {
      checkPlain(key, what, depth + 1);
      checkPlain(item, what, depth + 1);
    }
  } else {
    const kind = value === undefined || typeof value !== "object" ? typeof value : (value.constructor?.name ?? "object");
    invalid(
      `${what} hold a value of type ${kind}, which JSON cannot carry; pass texts, numbers, booleans, null, arrays and plain objects`,
    );
  }
}

/** Texts, which may hold anything, what Python writes that JSON does not have, and numbers. */
const TEXT_OR_NUMBER = /"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b|-?\b\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/** Read a JSON; throws what `refused` makes of a sentence's end. */
export function readJson(text, refused) {
  for (const [found] of text.matchAll(TEXT_OR_NUMBER)) {
    if (found[0] === '"') continue;
    if (/[NI]/.test(found)) {
      throw refused(`holds ${found}, which JSON does not have: a plain RQ worker wrote it. This worker writes null in its place.`);
    }
    if (found.length > 15 && /^-?\d+$/.test(found) && !Number.isSafeInteger(Number(found))) {
      throw refused(`holds the whole number ${firstCharacters(found, 40)}, which JavaScript would round. Return it as text.`);
    }
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw refused(`is not JSON: ${error.message}.`);
  }
}

/** A JSON object, parsed or as text; null for anything else, a pickle among it. Python's NaN is read as null. */
export function looseObject(value) {
  if (typeof value === "string") {
    try {
      value = JSON.parse(value.replace(TEXT_OR_NUMBER, (found) => (/^-?[NI]/.test(found) ? "null" : found)));
    } catch {
      return null;
    }
  }
  return value !== null && typeof value === "object" && !Array.isArray(value) ? value : null;
}

/** Node 18 has it only as a module. */
async function webCrypto() {
  return globalThis.crypto ?? (await import("node:crypto")).webcrypto;
}

export async function sha256(text) {
  const digest = await (await webCrypto()).subtle.digest("SHA-256", new TextEncoder().encode(text));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export async function uuid() {
  return (await webCrypto()).randomUUID();
}

export async function randomToken() {
  return (await uuid()).replace(/-/g, "");
}
