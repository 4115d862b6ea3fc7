// Live refresh: every five seconds the page is fetched again, and those parts that have changed are put in place. It
// rests on a hidden tab, while somebody types, has marked text or has opened something, and when it is switched off.
"use strict";
(() => {
  const SECONDS = 5;
  const me = document.getElementById("me");
  if (!document.querySelector("[data-live]") || !me) return;

  const said = document.createElement("span");
  said.className = "unseen";
  said.setAttribute("role", "status");
  const button = document.createElement("button");
  button.type = "button";
  button.className = "live";
  me.append(button, said);
  let on = sessionStorage.getItem("live") !== "off";
  let failed = false;

  const show = () => {
    button.textContent = !on ? "Paused" : failed ? "No answer" : "Live";
    button.setAttribute("aria-pressed", String(on));
    button.title = on ? `This page renews itself every ${SECONDS} s` : "This page does not renew itself";
    button.dataset.state = !on ? "off" : failed ? "failed" : "on";
  };
  button.addEventListener("click", () => {
    on = !on;
    sessionStorage.setItem("live", on ? "on" : "off");
    show();
    if (on) renew();
  });

  const busy = (part) => {
    const active = document.activeElement;
    if (active && part.contains(active) && active.matches("input, select, textarea, button, summary")) return true;
    if (part.querySelector("details.do[open]")) return true;
    const marked = getSelection();
    return Boolean(marked && !marked.isCollapsed && part.contains(marked.anchorNode));
  };

  const renew = async () => {
    let text;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
      if (!answer.ok) throw new Error(String(answer.status));
      text = await answer.text();
      failed = false;
    } catch {
      failed = true;
    }
    show();
    if (failed) return;
    const fresh = new DOMParser().parseFromString(text, "text/html");
    for (const part of document.querySelectorAll("[data-live]")) {
      const other = fresh.getElementById(part.id);
      if (!other || busy(part) || other.innerHTML === part.innerHTML) continue;
      for (const open of part.querySelectorAll("details[open][id]")) {
        const same = other.querySelector(`#${CSS.escape(open.id)}`);
        if (same) same.open = true;
      }
      if (other.dataset.say && other.className !== part.className) said.textContent = other.dataset.say;
      const focused = part.contains(document.activeElement) && document.activeElement.getAttribute("href");
      part.replaceWith(document.adoptNode(other));
      if (focused) other.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
    }
    const count = fresh.querySelector("header nav");
    const nav = document.querySelector("header nav");
    if (count && nav && !nav.contains(document.activeElement)) nav.replaceWith(document.adoptNode(count));
  };

  show();
  setInterval(() => {
    if (on && !document.hidden) renew();
  }, SECONDS * 1000);
  document.addEventListener("visibilitychange", () => {
    if (on && !document.hidden) renew();
  });
})();
