"""A real browser, Debian's Chromium, driven by Playwright: pages that must break no rule of their own, and axe."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
_AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()


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


def axe(opened: Page) -> list[str]:
    """Return what axe-core finds wrong with the page. It is put in from outside, past the page's own rules."""
    opened.evaluate(f"{_AXE}; undefined")
    found: dict[str, Any] = opened.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{violation['id']}: {node['html'][:200]} — {node['failureSummary'][:300]}"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]


def tab_to(opened: Page, name: str, most: int = 200) -> None:
    """Press Tab until what has the focus is called `name`."""
    for _ in range(most):
        opened.keyboard.press("Tab")
        focused = opened.locator(":focus")
        if focused.count() and name in _name_of(focused):
            return
    raise AssertionError(f"the keyboard does not reach {name!r}")


def _name_of(focused: Any) -> str:
    return str(
        focused.evaluate(
            "e => (e.getAttribute('aria-label') || (e.labels && e.labels[0] && e.labels[0].innerText) || e.innerText"
            " || '')"
            ".replace(/\\s+/g, ' ').trim()"
        )
    )
