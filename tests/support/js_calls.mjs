// Runs calls of the JavaScript producer: reads a JSON list of [method, ...arguments] from stdin, runs `--together N` of
// them at once (1 by default), and prints a JSON list of {"value"} or {"code", "message", …}.
import { readFileSync } from "node:fs";
import { Producer } from "../../packages/producer-js/src/producer.js";

const together = Number(process.argv[2] ?? 1);
const producer = Producer.fromEnvironment(process.env, { timeoutMs: Number(process.env.TEST_TIMEOUT_MS ?? 8000) });
const calls = JSON.parse(readFileSync(0, "utf8"), (key, value) => (value === "__undefined__" ? undefined : value === "__nan__" ? NaN : value === "__half__" ? "\ud800" : value));
const answers = [];
let next = 0;

async function run() {
  while (next < calls.length) {
    const at = next++;
    const [method, ...args] = calls[at];
    try {
      answers[at] = { value: await producer[method](...args) };
    } catch (error) {
      answers[at] = { name: error.name, message: error.message, ...error };
    }
  }
}

await Promise.all(Array.from({ length: together }, run));
console.log(JSON.stringify(answers));
