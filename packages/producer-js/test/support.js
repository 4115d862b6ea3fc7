/** A `fetch` that answers as Upstash's REST API would, from a list: bodies, or errors to throw. It notes what was asked. */
export function stub(...answers) {
  const asked = [];
  const fetch = async (url, request) => {
    asked.push({ url, body: JSON.parse(request.body), headers: request.headers });
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    if (answer instanceof Error) throw answer;
    const { status = 200, headers = {}, ...body } = answer;
    // no Response: Node's own needs what a test of Node 18 takes away
    return { status, headers: new Map(Object.entries(headers)), text: async () => JSON.stringify("text" in body ? body.text : body) };
  };
  return { fetch, asked };
}

export const HERE = { url: "https://name.upstash.io/", token: "a-secret-token" };

/** What the script that enqueues answers for one job. */
export function made(id = "one", outcome = "created", status = "queued") {
  return { result: ["done", null, 0, [outcome, id, status]] };
}
