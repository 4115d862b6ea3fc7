/**
 * The addresses of products: checked, and brought into the one form that all links to a page share. The rules are those
 * of jobs/urls.py, and tests/unit/netlify/canonical_urls.json holds both to them.
 * @module
 */

const MAX_LENGTH = 4096;
const EXAMPLE = "give one such as 'https://shop.example/lamp'";
const DEFAULT_PORTS = { http: "80", https: "443" };

/** Query parameters that say where a visitor came from, not which page they see. */
const TRACKING_PREFIXES = ["utm_", "hsa_", "mtm_", "pk_", "mc_", "_hs", "vero_", "trk_"];
const TRACKING_NAMES = new Set(
  (
    "_ga _gl gclid gclsrc dclid gbraid wbraid gad_source gad_campaignid srsltid fbclid igsh igshid msclkid yclid ysclid " +
    "twclid ttclid li_fat_id epik irclickid cjevent rb_clickid s_kwcid wickedid"
  ).split(" "),
);

/** The message says what is wrong with the URL, and what to do. */
export class BadUrl extends Error {}

/** @param {unknown} given @param {string} [what] @returns {string} */
export function canonicalUrl(given, what = "the URL") {
  if (typeof given !== "string") throw new BadUrl(`${what} must be text; ${EXAMPLE}`);
  if (given.length > MAX_LENGTH) throw new BadUrl(`${what} has ${given.length} characters; give one of at most ${MAX_LENGTH}`);
  const text = given.trim();
  if (/[\x00-\x1f\x7f\\]/.test(text) || !text.isWellFormed()) {
    throw new BadUrl(`${what} holds control characters, backslashes or half a character; ${EXAMPLE}`);
  }
  const parts = /^(https?):\/\/([^/?#]+)([^?#]*)(?:\?([^#]*))?/i.exec(text);
  if (!parts) throw new BadUrl(`${what} is not an absolute http or https URL; ${EXAMPLE}`);
  const [, scheme, authority, path, query = ""] = parts;
  if (authority.includes("@")) {
    throw new BadUrl(`${what} carries a user name or password; leave out what stands before the '@'`);
  }
  const origin = `${scheme.toLowerCase()}://${host(scheme.toLowerCase(), authority, what)}`;
  const kept = query.split("&").filter((part) => part && !isTracking(part));
  const search = kept.length ? `?${quote(kept.join("&"), /[^!$-;=?-~]/gu)}` : "";
  return `${origin}${quote(withoutDots(path) || "/", /[^!$-;=@-_a-z|~]/gu)}${search}`.replace(/\?$/, "");
}

/** @param {string} scheme @param {string} authority @param {string} what */
function host(scheme, authority, what) {
  let url;
  try {
    url = new URL(`${scheme}://${authority}/`);
  } catch {
    throw new BadUrl(`${what} has a host or port that cannot be read; ${EXAMPLE}`);
  }
  const name = url.hostname.replace(/\.+$/, "");
  if (!name || !/^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)$/.test(name)) {
    throw new BadUrl(`${what} has a host name with characters that no host name has; ${EXAMPLE}`);
  }
  if (url.port === "0") throw new BadUrl(`${what} has the port 0; ports go from 1 to 65535`);
  return url.port && url.port !== DEFAULT_PORTS[scheme] ? `${name}:${url.port}` : name;
}

/** Drop "." and ".." segments. @param {string} path */
function withoutDots(path) {
  const segments = path.split("/");
  if (!segments.includes(".") && !segments.includes("..")) return path;
  /** @type {string[]} */
  const kept = [];
  for (const segment of segments) {
    if (segment === "..") {
      if (kept.length && !(kept.length === 1 && kept[0] === "")) kept.pop();
    } else if (segment !== ".") {
      kept.push(segment);
    }
  }
  return kept.join("/");
}

/** Percent-encode what is not safe; "%" is, so that escapes stay as they are. @param {string} text @param {RegExp} unsafe */
function quote(text, unsafe) {
  return text.replace(unsafe, percent);
}

/** @param {string} character */
function percent(character) {
  return Array.from(new TextEncoder().encode(character), (byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`).join("");
}

/** @param {string} part */
function isTracking(part) {
  const name = part.split("=", 1)[0].toLowerCase();
  return TRACKING_NAMES.has(name) || TRACKING_PREFIXES.some((prefix) => name.startsWith(prefix));
}
