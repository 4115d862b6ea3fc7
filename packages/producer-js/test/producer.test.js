import assert from "node:assert/strict";
import { test } from "node:test";
import { Producer, ProducerError } from "@worthit/producer";
import { HERE, made, stub } from "./support.js";

const NAME = "jobs.mail.send";

function producer(...answers) {
  const { fetch, asked } = stub(...answers);
  return { producer: new Producer({ ...HERE, fetch, timeoutMs: 400 }), asked };
}

async function refused(call, code, said) {
  await assert.rejects(call, (error) => {
    assert.ok(error instanceof ProducerError);
    assert.equal(error.code, code);
    assert.match(error.message, said);
    assert.doesNotMatch(error.message, /a-secret-token|upstash\.io/);
    return true;
  });
}

test("an enqueue is one request with one command", async () => {
  const { producer: it, asked } = producer(made("one"));
  assert.deepEqual(await it.enqueue(NAME, [7], { jobId: "one" }), { id: "one", created: true, status: "queued" });
  assert.equal(asked.length, 1);
  assert.equal(asked[0].url, "https://name.upstash.io/");
  assert.equal(asked[0].headers.Authorization, "Bearer a-secret-token");
  assert.deepEqual(asked[0].body.slice(0, 1).concat(asked[0].body.slice(2, 5)), ["EVAL", "1", "rq:queues", "rq"]);
  assert.ok(asked[0].body.every((part) => typeof part === "string"));
});

test("a thousand jobs are one request", async () => {
  const { producer: it, asked } = producer({ result: ["done", null, 0] });
  await it.enqueueMany(Array.from({ length: 1000 }, (_, number) => ({ function: NAME, args: [number] })));
  assert.equal(asked.length, 1);
});

test("a lost answer is asked for again, with the same ids and the same token", async () => {
  const { producer: it, asked } = producer(new TypeError("fetch failed"), made());
  await it.enqueue(NAME);
  assert.equal(asked.length, 2);
  assert.deepEqual(asked[0].body, asked[1].body);
});

test("what is not answered in time is told, with what may be done", async () => {
  const { producer: it } = producer(new TypeError("fetch failed"));
  await refused(it.enqueue(NAME, [], { jobId: "mine" }), "unreachable", /It is not known whether the job mine was enqueued/);
  await refused(it.enqueue(NAME, [], { idempotencyKey: "k" }), "unreachable", /make the same call again, and its key makes it one/);
  await refused(it.enqueueMany([{ function: NAME }, { function: NAME }]), "unreachable", /all of them, or none/);
});

const WELL_FORMED = ["isWellFormed", "toWellFormed"];

for (const old of [false, true]) {
  test(`lone surrogates, NaN and 2^53 are said${old ? ", on Node 18 too" : ""}`, async (t) => {
    if (old) {
      const kept = WELL_FORMED.map((name) => Object.getOwnPropertyDescriptor(String.prototype, name));
      const crypto = Object.getOwnPropertyDescriptor(globalThis, "crypto");
      for (const name of WELL_FORMED) delete String.prototype[name];
      Object.defineProperty(globalThis, "crypto", { value: undefined, configurable: true });
      t.after(() => {
        kept.forEach((own, at) => own && Object.defineProperty(String.prototype, WELL_FORMED[at], own));
        if (crypto) Object.defineProperty(globalThis, "crypto", crypto);
      });
    }
    const { producer: it, asked } = producer(made());
    for (const half of ["\ud800", "a\udc00b", "\udc00\ud800", "😀\ud83d"]) {
      await refused(it.enqueue(NAME, [half]), "invalid_job", /lone surrogate/);
      await refused(it.enqueue(NAME, [{ [half]: 1 }]), "invalid_job", /lone surrogate/);
    }
    await refused(it.enqueue(NAME, [[NaN]]), "invalid_job", /NaN, which JSON cannot carry/);
    await refused(it.enqueue(NAME, [-Infinity]), "invalid_job", /-Infinity, which/);
    await refused(it.enqueue(NAME, [2 ** 53]), "invalid_job", /beyond 2\^53/);
    assert.equal(asked.length, 0);
    await it.enqueue(NAME, ["😀", 2 ** 53 - 1, 0.1], { unique: "ä😀" });
    assert.equal(asked.length, 1);
  });
}

test("what JSON would change or drop is said", async () => {
  const { producer: it, asked } = producer(made());
  const looped = [];
  looped.push(looped);
  for (const [value, said] of [
    [undefined, /type undefined/],
    [[, 1], /type undefined/], // eslint-disable-line no-sparse-arrays
    [10n, /type bigint/],
    [new Date(0), /type Date/],
    [new Map(), /type Map/],
    [() => 1, /type function/],
    [Symbol("x"), /type symbol/],
    [{ toJSON: () => 1 }, /cannot carry/],
    [new Uint8Array(2), /type Uint8Array/],
    [looped, /contain themselves/],
  ]) {
    await refused(it.enqueue(NAME, [value]), "invalid_job", said);
  }
  assert.equal(asked.length, 0);
  await it.enqueue(NAME, [Object.assign(Object.create(null), { a: 1 })]);
});

test("an option that there is not is said, whatever it may have meant", async () => {
  const { producer: it } = producer(made());
  await refused(it.enqueue(NAME, [], { result_ttl: 5 }), "invalid_job", /no option "result_ttl"; there are .*resultTtl/);
  await refused(it.enqueueMany([7]), "invalid_job", /a job must be an object/);
  await refused(it.enqueue("send"), "invalid_job", /named with its module/);
});

test("a key that was used for another call is said, with which job's it is", async () => {
  const { producer: it } = producer({ result: ["conflict", null, 2] });
  await assert.rejects(it.enqueueMany([{ function: NAME }, { function: NAME, idempotencyKey: "k" }]), {
    code: "key_reused",
    index: 1,
  });
});

test("a result with a number that JavaScript would round is refused, and others are read", async () => {
  const state = (json) => ({ text: [{ result: ["finished", "default", "", "", "", null, null] }, { result: [["1-1", ["type", "1", "return_value", btoa(json)]]] }] });
  for (const json of ["9007199254740993", '{"id": [-12345678901234567890]}']) {
    await refused(producer(state(json)).producer.result("one"), "refused", /holds the whole number -?[0-9]+, which JavaScript would round/);
  }
  for (const value of [9007199254740991, "9007199254740993", 1e300, 0.12345678901234568, { a: '"9007199254740993' }]) {
    assert.deepEqual(await producer(state(JSON.stringify(value))).producer.result({ id: "one" }), value);
  }
});

test("watch yields what changes, and ends with the job", async () => {
  const at = (status, meta) => ({ text: [{ result: [status, "default", "", "", "", meta, null] }, { result: [] }] });
  const half = JSON.stringify({ progress: { percent: 50, message: "half" } });
  const { producer: it } = producer(at("queued", null), at("queued", null), at("started", half), at("finished", half));
  const seen = [];
  for await (const state of it.watch("one", 60000)) seen.push([state.status, state.percent]);
  assert.deepEqual(seen, [["queued", 0], ["started", 50], ["finished", 50]]);
});

test("a bad environment ends in words", () => {
  for (const [url, token, said] of [
    [undefined, "t", /not set, or not a URL/],
    ["redis://name", "t", /does not begin with https/],
    ["http://name.upstash.io", "t", /in the clear/],
    ["https://u:a-secret-token@h.io", "t", /no user, password/],
    ["https://h.io", '"t"\n', /without quotes/],
  ]) {
    assert.throws(() => Producer.fromEnvironment({ UPSTASH_REDIS_REST_URL: url, UPSTASH_REDIS_REST_TOKEN: token }), (error) => {
      assert.equal(error.code, "misconfigured");
      assert.match(error.message, said);
      return !/a-secret-token/.test(error.message);
    });
  }
});
