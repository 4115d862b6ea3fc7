// Compiled with `tsc --strict`, never run: what a consumer may write, and what it may not.
import { Producer, ProducerError, type Enqueued, type JobState, type Status } from "@worthit/producer";

declare module "@worthit/producer" {
  interface Jobs {
    "jobs.mail.send": { args: [to: number, subject?: string]; kwargs: { copy?: boolean }; result: { sent: string } };
    "jobs.sum.add": { args: [left: number, right: number]; kwargs: Record<string, never>; result: number };
  }
}

const producer = Producer.fromEnvironment();

export async function calls(): Promise<void> {
  const job: Enqueued<{ sent: string }> = await producer.enqueue("jobs.mail.send", [7, "hello"], {
    kwargs: { copy: true },
    delay: 60,
    retry: { max: 3, interval: [10, 60] },
    rateLimit: { key: "smtp", concurrency: 2 },
  });
  const sent: string = (await producer.wait(job, 5000)).sent;
  const sum: number = await producer.result(await producer.enqueue("jobs.sum.add", [1, 2]));
  const many: Enqueued[] = await producer.enqueueMany([
    { function: "jobs.sum.add", args: [1, 2], jobId: "sum" },
    { function: "jobs.mail.send", args: [7], dependsOn: "sum", allowFailure: true, at: new Date() },
    { function: "jobs.mail.send", args: [7], debounce: { key: "cart", seconds: 5, maxWait: 60 } },
  ]);
  const known: unknown = await producer.result("an-id");
  for await (const state of producer.watch(job, 1000)) told(state);
  const status: Status = await producer.cancel(many[0].id);
  const said: string[] = (await producer.log(job)).map((line) => `${line.at} ${line.attempt} ${line.percent ?? ""} ${line.text}`);
  console.log(sent, sum, known, status, said);

  // @ts-expect-error the worker has no such function
  await producer.enqueue("jobs.mail.sent", [7]);
  // @ts-expect-error `to` is a number
  await producer.enqueue("jobs.mail.send", ["7"]);
  // @ts-expect-error an argument is missing
  await producer.enqueue("jobs.sum.add", [1]);
  // @ts-expect-error it has no such keyword
  await producer.enqueue("jobs.mail.send", [7], { kwargs: { blind: true } });
  // @ts-expect-error it is called resultTtl
  await producer.enqueue("jobs.mail.send", [7], { result_ttl: 5 });
  // @ts-expect-error the arguments of another function
  await producer.enqueueMany([{ function: "jobs.sum.add", args: ["a", "b"] }]);
}

function told(state: JobState): void {
  console.log(state.percent, state.message);
}

export function failed(error: unknown): string | undefined {
  if (error instanceof ProducerError && error.code === "unreachable") return error.jobId;
  // @ts-expect-error there is no such code
  if (error instanceof ProducerError && error.code === "unreachabel") return undefined;
  return undefined;
}
