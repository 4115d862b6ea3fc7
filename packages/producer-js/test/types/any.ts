// Without types of the worker's functions, any may be named, and arguments must be JSON.
import { Producer, type Json } from "@worthit/producer";

const producer = new Producer({ url: "https://name.upstash.io", token: "t" });

export async function calls(value: Json): Promise<unknown> {
  const job = await producer.enqueue("jobs.mail.send", [7, value], { kwargs: { copy: true } });
  // @ts-expect-error JSON has no dates
  await producer.enqueue("jobs.mail.send", [new Date()]);
  const answer = await producer.ask<{ score: number }>("jobs.x.y", [1], { unique: "a", cacheKey: "a", freshness: 60 });
  console.log(answer.value?.score);
  return producer.result(job);
}
