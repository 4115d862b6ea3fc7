// Serves the site on a port of this host, with functions from MODULE…: node netlify_host.mjs MODULE…
// Prints the port. The address of a caller is 192.0.2.1, or what the header X-Test-Ip says.
import { serve } from "../../../netlify/dev.mjs";

const address = (request) => request.headers["x-test-ip"] ?? "192.0.2.1";
console.log(await serve({ functions: process.argv.slice(2), address }));
