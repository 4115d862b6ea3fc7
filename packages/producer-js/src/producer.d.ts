/** Times are seconds, but for `ms` and names that end in Ms. */

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** Your worker's functions; `python -m worker types > jobs.d.ts` fills it. While it is empty, any may be named. */
export interface Jobs {}

export interface JobSignature {
  args: readonly unknown[];
  kwargs: object;
  result: unknown;
}

type Names = keyof Jobs extends never ? string : keyof Jobs & string;
type Known<Name> = Name extends keyof Jobs ? (Jobs[Name] extends JobSignature ? Jobs[Name] : never) : never;
type Args<Name> = [Known<Name>] extends [never] ? readonly Json[] : Known<Name>["args"];
type Kwargs<Name> = [Known<Name>] extends [never] ? { readonly [key: string]: Json } : Known<Name>["kwargs"];
type Result<Name> = [Known<Name>] extends [never] ? unknown : Known<Name>["result"];

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

export interface JobOptions<Name = string> {
  kwargs?: Kwargs<Name>;
  /** "default" unless told. */
  queue?: string;
  /** Letters, digits, "-" and "_"; made up unless told. An id that exists is left and returned as it is. */
  jobId?: string;
  /** What the job is about: all jobs of a function about it share one id. */
  unique?: string;
  /** A job of that id that ended so long ago is run again, in place. */
  rerunAfter?: number;
  timeout?: number;
  /** -1 keeps the result for ever, 0 not at all. */
  resultTtl?: number;
  failureTtl?: number;
  /** A job that has not begun by then is dropped. */
  ttl?: number;
  /** Further attempts, and the waits before them. */
  retry?: number | { max: number; interval?: number | readonly number[] };
  meta?: { readonly [key: string]: Json };
  /** By default the call with its arguments. */
  description?: string;
  atFront?: boolean;
  /** Told of the job's end by a signed request from the worker. */
  callbackUrl?: string;
  /** Begin so long after now. */
  delay?: number;
  /** Begin then; a number is a Unix time. */
  at?: Date | number;
  /** Begin when these jobs have finished. One that is gone counts as finished. */
  dependsOn?: string | readonly string[];
  /** A dependency that has failed will do, too. */
  allowFailure?: boolean;
  /** RQ's `Group`. */
  group?: string;
  /** RQ's `RateLimit`: at most so many jobs with this key are queued or running. */
  rateLimit?: { key: string; concurrency: number };
  /**
   * The last call of this function with this key wins: one job runs, once nobody has called for so long, or `maxWait` after
   * the first call. A call while it runs makes the next one.
   */
  debounce?: { key: string; seconds: number; maxWait?: number };
  /** The first call of this function with this key wins: at most one job in so many seconds. */
  throttle?: { key: string; seconds: number };
  /** Calls with this key make one job; the same key with other arguments is the error "key_reused". */
  idempotencyKey?: string;
  /** How long the key is remembered; a day unless told. */
  idempotencyTtl?: number;
  /** W3C Trace Context; goes into `meta`, and the worker goes on with the trace. */
  traceparent?: string;
  tracestate?: string;
}

/** One job of `enqueueMany`. */
export type JobCall<Name extends Names = Names> = Name extends unknown
  ? JobOptions<Name> & { function: Name; args?: Args<Name> }
  : never;

declare const resultType: unique symbol;

export interface Enqueued<Value = unknown> {
  id: string;
  created: boolean;
  /** "expired": an earlier call with this key made a job that has ended, and whose result is gone. */
  status: Status | "expired";
  readonly [resultType]?: Value;
}

export interface Answer<Value> {
  /** What is cached, or null. */
  value: Value | null;
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

/** What a job has said, or its progress (which has a percent). */
export interface LogLine {
  /** Unix time, by Redis's clock. */
  at: number;
  attempt: number;
  percent: number | null;
  text: string;
}

export interface Limit {
  /** Part of a key in Redis, so no raw address. */
  who: string;
  calls: number;
  seconds: number;
}

export interface AskOptions<Name = string>
  extends Pick<
    JobOptions<Name>,
    | "kwargs"
    | "queue"
    | "rerunAfter"
    | "timeout"
    | "resultTtl"
    | "failureTtl"
    | "ttl"
    | "retry"
    | "meta"
    | "atFront"
    | "callbackUrl"
  > {
  unique: string;
  /** What the job passes to `JobContext.cache_set`. */
  cacheKey: string;
  /** What a fresh value has left to live. */
  freshness: number;
  limit?: Limit;
}

export type ErrorCode =
  | "invalid_job"
  | "misconfigured"
  | "unreachable"
  | "refused"
  | "key_reused"
  | "rate_limited"
  | "no_such_job"
  | "not_finished"
  | "job_failed";

export class ProducerError extends Error {
  constructor(code: ErrorCode, message: string, facts?: Record<string, unknown>);
  readonly code: ErrorCode;
  /** unreachable: enqueue again under this id, and the job runs once. */
  readonly jobId?: string;
  /** rate_limited */
  readonly retryAfter?: number;
  /** key_reused: which job of the call. */
  readonly index?: number;
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
  enqueue<Name extends Names>(name: Name, args?: Args<Name>, options?: JobOptions<Name>): Promise<Enqueued<Result<Name>>>;
  /** Enqueue up to 1,000 jobs, all or none, in one request; each once. One that waits for another comes after it. */
  enqueueMany(jobs: Iterable<JobCall>): Promise<Enqueued[]>;
  /** Answer from what jobs have cached, or have it made or refreshed; one request. */
  ask<Value = unknown, Name extends Names = Names>(name: Name, args: Args<Name>, options: AskOptions<Name>): Promise<Answer<Value>>;
  status(id: string, options?: { limit?: Limit }): Promise<JobState>;
  result<Value>(job: string | Enqueued<Value>): Promise<Value>;
  wait<Value>(job: string | Enqueued<Value>, ms: number): Promise<Value>;
  /** Yields its state, and again when status or progress have changed, until its end. */
  watch(job: string | Enqueued, ms: number): AsyncGenerator<JobState, void, void>;
  /** The last lines of its log, at most 200, while it runs too. */
  log(job: string | Enqueued): Promise<LogLine[]>;
  /** Returns "canceled", or what the job had ended as before. */
  cancel(id: string): Promise<Status>;
}
