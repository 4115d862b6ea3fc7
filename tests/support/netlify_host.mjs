// Serves Netlify functions on a port of this host, as `netlify dev` would: node netlify_host.mjs MODULE…
// Prints the port. The address of a caller is 192.0.2.1, or what the header X-Test-Ip says.
import http from "node:http";
import { pathToFileURL } from "node:url";

const routes = new Map();
for (const path of process.argv.slice(2)) {
  const module = await import(pathToFileURL(path));
  routes.set(module.config.path, module.default);
}

const server = http.createServer(async (incoming, outgoing) => {
  const chunks = [];
  for await (const chunk of incoming) chunks.push(chunk);
  const url = new URL(incoming.url, "http://site.example");
  const body = ["GET", "HEAD"].includes(incoming.method) ? undefined : Buffer.concat(chunks);
  const request = new Request(url, { method: incoming.method, headers: incoming.headers, body });
  const handler = routes.get(url.pathname);
  const context = { ip: incoming.headers["x-test-ip"] ?? "192.0.2.1" };
  const response = handler ? await handler(request, context) : new Response("no such function", { status: 404 });
  outgoing.writeHead(response.status, Object.fromEntries(response.headers));
  outgoing.end(Buffer.from(await response.arrayBuffer()));
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
