"""A real browser, Debian's Chromium, driven by Playwright: pages that must break no rule of their own, and axe."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import axe_playwright_python
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
#: Nothing that calls home or asks on a first run; root, as in CI, has no sandbox.
FLAGS = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
PATIENCE_MS = 60_000
WIDTHS = (320, 1280, 3840)
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
_AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
#: What is done to a page. All but the violations stays there: to hand it over takes as long as to find it.
_LOOK = """
    var rules = ["color-contrast", "link-in-text-block"];  // those that look at colours
    var told = found => found.violations.flatMap(
        ({id, nodes}) => nodes.map(node => `${id}: ${node.html.slice(0, 200)} — ${node.failureSummary.slice(0, 300)}`));
    var laidOut = async () => {
        const off = Object.fromEntries(rules.map(rule => [rule, {enabled: false}]));
        const wide = document.documentElement.scrollWidth;
        const found = told(await axe.run(document, {resultTypes: ["violations"], rules: off}));
        return wide > innerWidth ? [`it is ${wide} wide`, ...found] : found;
    };
    // What decides on a text's contrast: its colour and size, and what paints whatever it stands in.
    var kind = (element, painted) => {
        const style = getComputedStyle(element), around = getComputedStyle(element.parentElement);
        const pixels = parseFloat(style.fontSize), large = pixels >= 24 || (pixels >= 18.66 && style.fontWeight >= 700);
        return [style.color, large, style.textDecorationLine, around.color,
            element.localName === "a", paint(element, painted)].join();
    };
    var paint = (element, painted) => {
        if (!element) return "";
        if (!painted.has(element)) {
            const style = getComputedStyle(element);
            const own = [style.backgroundColor, style.backgroundImage, style.opacity, style.filter].join();
            const plain = own === "rgba(0, 0, 0, 0),none,1,none";
            painted.set(element, paint(element.parentElement, painted) + (plain ? "" : `;${own}`));
        }
        return painted.get(element);
    };
    var coloured = async measured => {
        const painted = new Map(), fresh = new Map();
        for (const element of document.body.querySelectorAll("*")) {
            const speaks = element.matches("input, select, textarea")
                || [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
            if (speaks && element.checkVisibility()) fresh.set(kind(element, painted), element);
        }
        measured.forEach(known => fresh.delete(known));
        const include = [...fresh.values()];
        if (!include.length) return [[], []];
        const only = {type: "rule", values: rules};
        return [told(await axe.run({include}, {resultTypes: ["violations"], runOnly: only})), [...fresh.keys()]];
    };
    undefined
"""
#: What a person would call that which has the focus.
_FOCUSED = """() => {
    const it = document.activeElement || document.body;
    const name = it === document.body ? "" : it.ariaLabel || it.labels?.[0]?.innerText || it.innerText || "";
    return name.replace(/\\s+/g, " ").trim();
}"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the browser. Without one a developer's test is skipped; CI, which installs it, fails."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("There is no Chromium here: apt-get install chromium")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@contextmanager
def page(
    browser: Browser,
    *,
    dark: bool = False,
    width: int = 1280,
    javascript: bool = True,
    login: tuple[str, str] | None = None,
    allowed: tuple[str, ...] = (),
) -> Iterator[Page]:
    """Open a page of its own; at the end its console must be empty, which names broken rules of CSP, too.

    `allowed`: how messages begin that are expected.
    """
    context = browser.new_context(
        color_scheme="dark" if dark else "light",
        viewport={"width": width, "height": 900},
        java_script_enabled=javascript,
        reduced_motion="reduce",
        http_credentials={"username": login[0], "password": login[1]} if login else None,
    )
    context.set_default_timeout(PATIENCE_MS)
    opened = context.new_page()
    said: list[str] = []
    opened.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("dialog", lambda dialog: (said.append(f"a dialog: {dialog.message}"), dialog.dismiss()))
    yield opened
    context.close()
    wrong = [text for text in said if not text.startswith(allowed)] if allowed else said
    assert not wrong, wrong


class Inspector:
    """Looks at pages as everybody sees them: on a phone, a desk and a 4K screen, in the light and in the dark.

    Nine tenths of axe-core's time go into the contrast of each text with all that it stands on. What was measured once,
    in the same colours, is not measured again at the next width or on the next page.
    """

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
        self._widths = widths
        self._measured: list[str] = []

    def look(self, opened: Page) -> list[str]:
        """Return what is wrong with the page that is open. axe-core is put in from outside, past the page's rules."""
        faults: list[str] = []
        opened.evaluate(_AXE + _LOOK)
        for width in self._widths:
            opened.set_viewport_size({"width": width, "height": 900})
            faults += (f"{width}: {fault}" for fault in opened.evaluate("laidOut()"))
            for theme in THEMES:
                opened.emulate_media(color_scheme=theme)
                found, measured = opened.evaluate("known => coloured(known)", self._measured)
                faults += (f"{width}, {theme}: {fault}" for fault in found)
                self._measured += measured
        return faults


def tab_to(opened: Page, name: str, most: int = 200) -> None:
    """Press Tab until what has the focus is called `name`."""
    for _ in range(most):
        opened.keyboard.press("Tab")
        if name in opened.evaluate(_FOCUSED):
            return
    raise AssertionError(f"the keyboard does not reach {name!r}")
