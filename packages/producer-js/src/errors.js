/** Errors, in words. No message holds a URL, a token or an argument's value. */

export class ProducerError extends Error {
  constructor(code, message, facts = {}) {
    super(message);
    this.name = "ProducerError";
    this.code = code;
    Object.assign(this, facts);
  }
}

/** The caller asks too often. */
export function tooMany(retryAfter) {
  return new ProducerError("rate_limited", `Too many requests. Try again in ${retryAfter} seconds.`, { retryAfter });
}

export function invalid(message) {
  throw new ProducerError("invalid_job", message);
}

/** Trouble that may be over at the next try. */
export class Passing extends Error {
  constructor(message, afterMs = 0) {
    super(message);
    this.afterMs = afterMs;
  }
}

/** Throw what an error reply of Redis means. */
export function throwFor(error) {
  const code = error.split(" ", 1)[0];
  if (["LOADING", "BUSY", "READONLY", "MASTERDOWN", "TRYAGAIN", "CLUSTERDOWN"].includes(code)) {
    throw new Passing(`Redis cannot take writes at the moment (${code}).`);
  }
  if (code === "WRONGPASS" || code === "NOAUTH") {
    throw new ProducerError(
      "refused",
      "Redis refuses the credentials. It wants UPSTASH_REDIS_REST_TOKEN as the console shows it beside the REST URL.",
    );
  }
  if (code === "NOPERM") {
    throw new ProducerError("refused", "Redis refuses the command to this user. Is it the read-only token?");
  }
  if (code === "OOM" || error.includes("capacity quota exceeded")) {
    throw new ProducerError("refused", "Redis is full and takes no more data. Free space or take a larger plan.");
  }
  if (error.includes("requests limit exceeded") || error.includes("request limit exceeded")) {
    throw new ProducerError("refused", "The Redis plan's quota of commands is used up.");
  }
  if (error.includes("max concurrent connections")) {
    throw new Passing("Redis has no free connection.");
  }
  throw new ProducerError("refused", `Redis answered an error: ${error.slice(0, 300)}`);
}
