/**
 * The site on this machine: its pages and functions, served by plain Node. `make run` starts it; by hand:
 *
 *     UPSTASH_REDIS_REST_URL=… UPSTASH_REDIS_REST_TOKEN=… node netlify/dev.mjs 8888
 *
 * Netlify's own limits of calls and of time are not enforced here.
 */

import { existsSync, mkdirSync, readFileSync, symlinkSync } from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { HTML_HEADERS } from "./lib/page.mjs";

const HERE = dirname(fileURLToPath(import.meta.url));
const FUNCTIONS = ["analyze", "check", "status"].map((name) => join(HERE, "functions", `${name}.mjs`));
const TYPES = {
  html: "text/html; charset=utf-8",
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  svg: "image/svg+xml",
};

/**
 * Serve functions (paths of modules) and the pages on `port` (0: any); returns the port.
 * @param {{functions?: string[], port?: number, address?: (request: http.IncomingMessage) => string | undefined}} [options]
 */
export async function serve({ functions = FUNCTIONS, port = 0, address = (request) => request.socket.remoteAddress } = {}) {
  linkProducer();
  const routes = new Map();
  for (const path of functions) {
    const module = await import(pathToFileURL(path).href);
    if (module.config.path) routes.set(module.config.path, module.default);
  }
  const server = http.createServer(async (incoming, outgoing) => {
    const chunks = [];
    for await (const chunk of incoming) chunks.push(chunk);
    const url = new URL(incoming.url ?? "/", `http://${incoming.headers.host ?? "localhost"}`);
    const body = ["GET", "HEAD"].includes(incoming.method ?? "GET") ? undefined : Buffer.concat(chunks);
    const handler = routes.get(url.pathname) ?? page;
    const request = new Request(url, { method: incoming.method, headers: /** @type {any} */ (incoming.headers), body });
    const response = await handler(request, { ip: address(incoming) });
    outgoing.writeHead(response.status, Object.fromEntries(response.headers));
    outgoing.end(incoming.method === "HEAD" ? undefined : Buffer.from(await response.arrayBuffer()));
  });
  await new Promise((resolve, reject) => server.once("error", reject).listen(port, "127.0.0.1", () => resolve(undefined)));
  return /** @type {import("node:net").AddressInfo} */ (server.address()).port;
}

/** A file of public/. @param {Request} request */
function page(request) {
  const name = new URL(request.url).pathname.slice(1) || "index.html";
  const path = join(HERE, "public", name);
  if (!/^[\w.-]+\.(html|css|js|svg)$/.test(name) || !existsSync(path))
    return new Response("There is no such page.\n", { status: 404 });
  return new Response(readFileSync(path), { headers: { ...HTML_HEADERS, "Content-Type": TYPES[name.split(".").at(-1) ?? ""] } });
}

/** Where npm has installed nothing, the functions find the producer's package by the link that npm would make. */
function linkProducer() {
  try {
    createRequire(import.meta.url).resolve("@worthit/producer");
  } catch {
    mkdirSync(join(HERE, "node_modules", "@worthit"), { recursive: true });
    symlinkSync(join("..", "..", "..", "packages", "producer-js"), join(HERE, "node_modules", "@worthit", "producer"));
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  console.log(await serve({ port: Number(process.argv[2] ?? 8888) }));
}
