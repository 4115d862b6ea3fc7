// The page works without this. With it, one does not have to load pages to see an analysis go on.
const KEPT = "worthit-recent";
const MOST = 8;
let turn = 0;

document.addEventListener("submit", (event) => {
  const url = new FormData(event.target).get("url");
  if (event.target.getAttribute("action") !== "/check" || !url?.trim()) return;
  event.preventDefault();
  show(`/check?url=${encodeURIComponent(url.trim())}`, { push: true });
});

document.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  const plain = !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey);
  if (link && plain && link.origin === location.origin && link.pathname === "/check") {
    event.preventDefault();
    show(link.href, { push: true });
  }
  if (event.target.closest("[data-forget]")) {
    keep([]);
    recent();
    document.getElementById("url")?.focus();
  }
  const copy = event.target.closest("[data-copy]");
  if (copy)
    navigator.clipboard.writeText(location.href).then(
      () => (copy.textContent = "Copied"),
      () => (copy.textContent = location.href),
    );
});

addEventListener("popstate", () => show(location.href));
begin();

/** Put another page's main part here. */
async function show(address, { push = false, focus = true } = {}) {
  const mine = ++turn;
  document.querySelector("main").setAttribute("aria-busy", "true");
  document.querySelector("form button")?.setAttribute("disabled", "");
  let other;
  try {
    const answer = await fetch(address, { headers: { Accept: "text/html" } });
    other = new DOMParser().parseFromString(await answer.text(), "text/html");
  } catch {
    if (mine === turn) location.href = address; // the browser says best why it has no connection
    return;
  }
  if (mine !== turn) return;
  if (push) history.pushState(null, "", address);
  document.title = other.title;
  document.querySelector("main").replaceWith(document.adoptNode(other.querySelector("main")));
  if (focus) document.querySelector("h1")?.focus();
  begin();
}

/** Bring what is shown to life. */
function begin() {
  const working = document.querySelector("[data-job]");
  if (working) follow(working, ++turn);
  const found = document.querySelector("article[data-url]");
  if (found) {
    const { url, name, word } = found.dataset;
    keep([{ url, name, word }, ...kept().filter((one) => one.url !== url)].slice(0, MOST));
    const address = `/check?url=${encodeURIComponent(url)}`;
    if (location.pathname === "/check" && location.pathname + location.search !== address) history.replaceState(null, "", address);
    document.querySelector("[data-copy]").hidden = !navigator.clipboard;
  }
  recent();
}

/** Ask how the analysis is, until it has ended. */
async function follow(working, mine) {
  const message = working.querySelector("[data-message]");
  for (let pause = 700; mine === turn; ) {
    await new Promise((resolve) => setTimeout(resolve, document.hidden ? 4 * pause : pause));
    if (mine !== turn) return;
    try {
      const answer = await fetch(`/api/status?id=${encodeURIComponent(working.dataset.job)}`);
      const state = await answer.json();
      if (mine !== turn) return;
      if (state.ended || answer.status === 404) return show(location.href);
      if (!answer.ok) throw new Error(state.error?.message);
      working.querySelector("progress").value = state.percent;
      const now = state.message || (state.status === "started" ? "reading the page" : "waiting for its turn");
      const words = `${now[0].toUpperCase()}${now.slice(1)}.`;
      if (message.textContent !== words) message.textContent = words;
      pause = 700;
    } catch {
      message.textContent = "The connection is gone. We try again by ourselves.";
      pause = Math.min(pause * 2, 10000);
    }
  }
}

function recent() {
  const place = document.getElementById("recent");
  if (!place) return;
  const list = place.querySelector("ul");
  list.replaceChildren(
    ...kept().map(({ url, name, word }) => {
      const item = document.createElement("li");
      const link = document.createElement("a");
      link.href = `/check?url=${encodeURIComponent(url)}`;
      link.textContent = name;
      const verdict = document.createElement("b");
      verdict.textContent = word;
      verdict.className = word.toLowerCase();
      item.append(verdict, link);
      return item;
    }),
  );
  place.hidden = !list.children.length;
}

function kept() {
  try {
    const list = JSON.parse(localStorage.getItem(KEPT) ?? "[]");
    return list.filter(
      (one) => /^https?:/.test(one.url) && typeof one.name === "string" && ["Buy", "Wait", "Skip"].includes(one.word),
    );
  } catch {
    return []; // no storage, or somebody else's
  }
}

function keep(list) {
  try {
    localStorage.setItem(KEPT, JSON.stringify(list));
  } catch {
    // private windows may have no storage: then nothing is remembered
  }
}
