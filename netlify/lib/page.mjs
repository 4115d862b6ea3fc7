/**
 * The shopper's pages as HTML. Everything that comes from a shop or a shopper goes through `text`.
 * `node netlify/lib/page.mjs` prints public/index.html; `make docs` renews it.
 */

export const HTML_HEADERS = {
  "Content-Type": "text/html; charset=utf-8",
  "Cache-Control": "no-store",
  // netlify.toml says the same for the static files
  "Content-Security-Policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  "Referrer-Policy": "no-referrer",
  "X-Content-Type-Options": "nosniff",
};

const WORDS = {
  buy: ["Buy", "It is worth its price."],
  consider: ["Wait", "What we found is not clear enough to say buy."],
  avoid: ["Skip", "It is not worth its price."],
};
const SOURCES = {
  "json-ld": "the shop's data for search engines",
  microdata: "data in the page's text",
  rdfa: "data in the page's text",
  opengraph: "the page's preview data",
  visible: "what people see",
};
const PRICES = {
  list: "before the discount",
  unit: "per unit",
  instalment: "an instalment",
  deposit: "a deposit",
  membership: "for members",
  shipping: "shipping",
  fee: "a fee",
  "trade-in": "for a trade-in",
  rental: "to rent",
  bulk: "in bulk",
  business: "for businesses",
  net: "before tax",
  used: "used",
  refurbished: "refurbished",
  damaged: "damaged",
  "sold-out": "sold out",
  expired: "no longer",
  later: "from a later day",
  "other-currency": "in another currency",
  dearer: "elsewhere on the page",
};

export function homePage() {
  return page({
    title: "WorthIt! Is it worth its price?",
    main: `<section class="hero">
  <h1 tabindex="-1">Is it worth its price?</h1>
  <p>Paste the link of a product. We read its page: price, rating, reviews. Then we tell you whether to buy it, and why.</p>
</section>
${form("")}
<section id="recent" hidden><h2>Looked at lately</h2><ul></ul><button type="button" class="quiet" data-forget>Forget these</button></section>`,
  });
}

/** @param {{address: string, id: string, percent: number, message: string}} job */
export function workingPage({ address, id, percent, message }) {
  return page({
    title: `Looking at ${hostOf(address)} · WorthIt!`,
    head: '<noscript><meta http-equiv="refresh" content="3"></noscript>',
    main: `<section class="card working" data-job="${text(id)}" data-url="${text(address)}">
  <h1 tabindex="-1">Looking at ${text(hostOf(address))}</h1>
  <p class="address">${text(address)}</p>
  <progress max="100" value="${number(percent)}" aria-label="How far the analysis is">${number(percent)} %</progress>
  <p role="status" data-message>${text(sentence(message || "waiting for its turn"))}</p>
  <p class="note">This takes a few seconds. You may leave: the address of this page has the verdict when it is there.</p>
</section>
${form("", "Another product")}`,
  });
}

/** @param {string} given @param {string} message @param {{address?: string}} [more] */
export function errorPage(given, message, { address } = {}) {
  const again = address ? `<p><a class="button" href="${text(checkPath(address))}">Try again</a></p>` : "";
  return page({
    title: "No verdict · WorthIt!",
    main: `${form(given)}
<section class="card trouble" role="alert">
  <p class="word">No verdict</p>
  <h1 tabindex="-1">${text(address ? hostOf(address) : "That did not work")}</h1>
  <p>${text(sentence(message))}</p>
  ${again}
</section>`,
  });
}

/** @param {any} found an Analysis of jobs/products/__init__.py @param {{stale: boolean}} how */
export function verdictPage(found, { stale }) {
  const [word, saying] = WORDS[found.verdict] ?? WORDS.consider;
  const host = hostOf(found.canonical_url);
  return page({
    title: `${word}: ${found.name} · WorthIt!`,
    description: `${saying} ${sureness(found.confidence)}`,
    main: `<article class="card verdict ${text(found.verdict)}" data-url="${text(found.canonical_url)}" data-name="${text(found.name)}" data-word="${word}">
  <header>
    <p class="word">${word}</p>
    <p class="saying">${saying} <span>${number(found.score)} of 100 points.</span></p>
  </header>
  <h1 tabindex="-1">${text(found.name)}</h1>
  <dl class="facts">
    <div><dt>Price</dt><dd>${price(found)}</dd></div>
    <div><dt>Rating</dt><dd>${rating(found)}</dd></div>
    <div><dt>Shop</dt><dd><a href="${text(found.canonical_url)}" rel="noopener noreferrer nofollow">${text(host)}</a></dd></div>
  </dl>
  <div class="reasons">
    ${reasons("For it", found.reasons_for, "Nothing that we found.")}
    ${reasons("Against it", found.reasons_against, "Nothing that we found.")}
  </div>
  <section class="sure">
    <h2>How sure we are</h2>
    <p><meter min="0" max="1" low="0.35" high="0.7" optimum="1" value="${number(found.confidence)}" aria-label="How sure we are"></meter> ${sureness(found.confidence)}</p>
    <p class="note">${whatWasRead(found)}</p>
    ${others(found)}
  </section>
  <footer>
    <p class="note">Looked at <time datetime="${text(found.analyzed_at)}">${when(found.analyzed_at)}</time>.${stale ? " We are looking again; come back in a minute." : ""}</p>
    <p><button type="button" class="quiet" data-copy hidden>Copy the address of this verdict</button></p>
  </footer>
</article>
${form("", "Another product")}`,
  });
}

/** @param {{title: string, main: string, head?: string, description?: string}} parts */
function page({ title, main, head = "", description = "Paste the link of a product, and see whether it is worth its price." }) {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="description" content="${text(description)}">
<title>${text(title)}</title>
<link rel="icon" href="/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/app.css">
<script src="/app.js" type="module"></script>
${head}</head>
<body>
<header class="top"><a href="/">Worth<b>It!</b></a></header>
<main>
${main}
</main>
<footer class="bottom"><p>We read only what the shop's page shows to everybody. Reviews are read in English.</p></footer>
</body>
</html>
`;
}

/** @param {string} url @param {string} [label] */
function form(url, label = "Link of the product") {
  return `<form action="/check" method="get" role="search">
  <label for="url">${label}</label>
  <div class="field">
    <input id="url" name="url" type="text" inputmode="url" autocomplete="url" autocapitalize="none" spellcheck="false" maxlength="2000" required placeholder="https://shop.example/lamp" value="${text(url)}">
    <button>Check</button>
  </div>
</form>`;
}

/** @param {string} title @param {string[]} sentences @param {string} none */
function reasons(title, sentences, none) {
  const items = sentences.map((one) => `<li>${text(one)}</li>`).join("");
  return `<section><h2>${title}</h2>${items ? `<ul>${items}</ul>` : `<p class="note">${none}</p>`}</section>`;
}

function price(found) {
  if (found.price === null) return "not stated";
  const before =
    found.list_price && found.list_price > found.price ? ` <s>${text(money(found.list_price, found.currency))}</s>` : "";
  const condition = found.condition && found.condition !== "new" ? `, ${text(found.condition)}` : "";
  return `${text(money(found.price, found.currency))}${before}${condition}`;
}

function rating(found) {
  if (found.rating === null) return "not rated";
  const votes = found.rating_count === null ? "" : ` <span>from ${number(found.rating_count).toLocaleString("en-US")}</span>`;
  return `${number(found.rating).toFixed(1)} of 5${votes}`;
}

function whatWasRead(found) {
  const named = [...new Set((found.sources ?? []).map((one) => SOURCES[one] ?? "the page"))];
  const count = number(found.reviews_read);
  const reviews = count === 1 ? "1 review" : `${count || "no"} reviews`;
  const certain = number(found.grounds?.product_certainty);
  const stated = number(found.grounds?.price_certainty);
  const doubts = [certain < 0.65 ? "which product it is" : "", found.price !== null && stated < 0.65 ? "its price" : ""].filter(
    Boolean,
  );
  const doubt = doubts.length ? ` The page leaves in doubt ${doubts.join(" and ")}.` : "";
  return text(`Read: ${named.join(", ") || "the page"}; ${reviews}.${doubt}`);
}

function others(found) {
  const rows = (found.other_prices ?? []).map(
    (one) => `<li>${text(money(one.amount, one.currency))} <span>${text(PRICES[one.kind] ?? one.kind)}</span></li>`,
  );
  return rows.length ? `<details><summary>Other prices on the page</summary><ul>${rows.join("")}</ul></details>` : "";
}

/** @param {number} confidence */
function sureness(confidence) {
  if (confidence >= 0.7) return "Quite sure.";
  if (confidence >= 0.5) return "Fairly sure.";
  return confidence >= 0.35 ? "Not very sure." : "Too little was found to be sure.";
}

/** @param {number} amount @param {string | null} currency */
function money(amount, currency) {
  try {
    if (currency) return new Intl.NumberFormat("en-US", { style: "currency", currency }).format(amount);
  } catch {
    // no currency that anybody knows
  }
  return `${number(amount).toLocaleString("en-US")}${currency ? ` ${currency}` : ""}`;
}

/** @param {string} moment */
function when(moment) {
  const date = new Date(moment);
  if (Number.isNaN(date.getTime())) return "at an unknown time";
  return `${new Intl.DateTimeFormat("en-US", { dateStyle: "long", timeStyle: "short", timeZone: "UTC" }).format(date)} UTC`;
}

/** @param {string} words */
function sentence(words) {
  const trimmed = words.trim();
  const first = /^https?:/.test(trimmed) ? trimmed.charAt(0) : trimmed.charAt(0).toUpperCase();
  return first + trimmed.slice(1) + (/[.!?…]$/.test(trimmed) ? "" : ".");
}

/** @param {string} address */
function hostOf(address) {
  try {
    return new URL(address).host.replace(/^www\./, "");
  } catch {
    return "the page";
  }
}

/** @param {string} address */
function checkPath(address) {
  return `/check?url=${encodeURIComponent(address)}`;
}

/** @param {unknown} value */
function number(value) {
  return Number.isFinite(Number(value)) ? Number(value) : 0;
}

/** @param {unknown} value */
function text(value) {
  return String(value ?? "").replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

if (globalThis.process?.argv?.[1]?.endsWith("/lib/page.mjs")) process.stdout.write(homePage());
