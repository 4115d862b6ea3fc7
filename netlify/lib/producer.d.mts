/** Types of producer.mjs. Times are seconds unless the name ends in Ms. */

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

export type Status =
  | "queued"
  | "started"
  | "finished"
  | "failed"
  | "deferred"
  | "scheduled"
  | "stopped"
  | "canceled"
  | "rate_limited"
  | "ready_to_enqueue";

export interface JobOptions {
  args?: readonly Json[];
  kwargs?: { readonly [key: string]: Json };
  /** "default" unless told. */
  queue?: string;
  /** Letters, digits, "-" and "_"; made up unless told. An id that exists is left and returned as it is. */
  jobId?: string;
  /** What the job is about: all jobs of a function about it share one id. */
  unique?: string;
  /** A job of that id that ended so long ago, or longer, is run again, in place. */
  rerunAfter?: number;
  timeout?: number;
  /** -1 keeps the result for ever, 0 not at all. */
  resultTtl?: number;
  failureTtl?: number;
  ttl?: number;
  /** Further attempts, and the waits before them. */
  retry?: number | { max: number; interval?: number | readonly number[] };
  meta?: { readonly [key: string]: Json };
  /** What people see; by default the call with its arguments. */
  description?: string;
  atFront?: boolean;
  /** Told of the job's end by a signed request from the worker. */
  callbackUrl?: string;
}

export interface Enqueued {
  id: string;
  /** false: the job was there before. */
  created: boolean;
  status: Status;
}

export interface Answer<T> {
  /** What is cached, or null. */
  value: T | null;
  stale: boolean;
  /** The job that makes a new value; null while the value is fresh. */
  job: Enqueued | null;
}

export interface JobState {
  id: string;
  status: Status;
  ended: boolean;
  queue: string;
  enqueuedAt: string;
  startedAt: string;
  endedAt: string;
  percent: number;
  message: string;
  /** The worker's word for why the job failed for good: "permanent", "attempts_exhausted", … */
  reason: string;
  error: string;
  result: unknown;
}

export interface Limit {
  /** Who asks; part of a key in Redis, so no raw address. */
  who: string;
  calls: number;
  seconds: number;
}

export interface AskOptions extends Omit<JobOptions, "jobId" | "args"> {
  unique: string;
  /** What the job passes to `JobContext.cache_set`. */
  cacheKey: string;
  /** The least time that a fresh value has left to live. */
  freshness: number;
  limit?: Limit;
}

export type ErrorCode =
  | "invalid_job"
  | "misconfigured"
  | "unreachable"
  | "refused"
  | "rate_limited"
  | "no_such_job"
  | "not_finished"
  | "job_failed";

export class ProducerError extends Error {
  readonly code: ErrorCode;
  /** unreachable: enqueue again under this id, and the job runs once. */
  readonly jobId?: string;
  /** rate_limited */
  readonly retryAfter?: number;
  /** job_failed */
  readonly status?: Status;
  readonly reason?: string;
}

export interface ProducerOptions {
  url?: string;
  token?: string;
  /** RQ_KEY_PREFIX of the worker; "rq" unless told. */
  prefix?: string;
  /** All tries of one call together; 8000 unless told. */
  timeoutMs?: number;
  fetch?: typeof fetch;
}

/** All methods throw ProducerError. */
export class Producer {
  constructor(options: ProducerOptions);
  /** Reads UPSTASH_REDIS_REST_URL, UPSTASH_REDIS_REST_TOKEN and RQ_KEY_PREFIX. */
  static fromEnvironment(
    environ?: Readonly<Record<string, string | undefined>>,
    options?: Omit<ProducerOptions, "url" | "token">,
  ): Producer;
  /** Enqueue a call of `name`, a function with its module, once. */
  enqueue(name: string, args?: readonly Json[], options?: Omit<JobOptions, "args">): Promise<Enqueued>;
  /** Answer from what jobs have cached, or have it made or refreshed; one request. */
  ask<T = unknown>(name: string, args: readonly Json[], options: AskOptions): Promise<Answer<T>>;
  /** One request; with `limit`, which it counts, one command instead of two. */
  status(id: string, options?: { limit?: Limit }): Promise<JobState>;
  result(id: string): Promise<unknown>;
  wait(id: string, ms: number): Promise<unknown>;
  /** Returns "canceled", or what the job had ended as before. */
  cancel(id: string): Promise<Status>;
}
