"""What README, CONTRIBUTING and the pages in docs/ point at exists: paths, links, modules, make targets."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from tests.support.service import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
#: Characters of a line. In docs/ tables, code and what was recorded may be wider.
WIDTH = 132
_PATH = re.compile(r"(?<![\w./-])((?:worker|tests|docs|tools|bench)/[\w./*<>-]*[\w/>])")
_LINK = re.compile(r"\]\(([^)#\s]*)(?:#([\w-]+))?\)")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def paths_in(text: str) -> set[str]:
    """Return the paths of the checkout that a text names; of one with a `<placeholder>` the folder before it."""
    return {path if "<" not in path else path[: path.index("<")].rpartition("/")[0] for path in _PATH.findall(text)}


def anchors_of(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page
def test_its_paths_exist(page: Path) -> None:
    missing = {path for path in paths_in(page.read_text()) if not any(ROOT.glob(path.rstrip("/")))}
    assert not missing


@each_page
def test_its_links_lead_somewhere(page: Path) -> None:
    for target, anchor in _LINK.findall(page.read_text()):
        if target.startswith("http"):
            continue
        there = (page.parent / target).resolve() if target else page
        assert there.exists(), target
        if anchor:
            assert anchor in anchors_of(there), f"{target}#{anchor}"


@each_page
def test_its_modules_exist(page: Path) -> None:
    for module in set(re.findall(r"python -m ((?:worker|tests|tools|bench)[\w.]*\w)", page.read_text())):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


@each_page
def test_its_examples_import_what_there_is(page: Path) -> None:
    for module, names in re.findall(r"^from (worker[\w.]*) import (.+)$", page.read_text(), flags=re.M):
        for name in names.split(", "):
            whole = f"{module}.{name}".replace(".", "/")
            assert hasattr(import_module(module), name) or (ROOT / f"{whole}.py").exists(), f"{module}.{name}"


@each_page
def test_its_make_targets_exist(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"`make ([a-z-]+)", page.read_text())):
        assert re.search(rf"^{target}:", makefile, flags=re.M), target


@each_page
def test_its_prose_fits_the_screen(page: Path) -> None:
    text = page.read_text()
    if page.parent != ROOT:
        text = re.sub(r"^ *```[\s\S]*?^ *```$|^\|.*$", "", text, flags=re.M)
    assert not [line for line in text.splitlines() if len(line) > WIDTH]


def test_the_map_has_one_line_for_each_package() -> None:
    """And each of its lines says only where to begin that there is."""
    text = (ROOT / "README.md").read_text().partition("| question | package |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| [^|]+\? \| `(worker/\w+)/`(.*)$", text, flags=re.M)
    packages = {str(path.parent.relative_to(ROOT)) for path in (ROOT / "worker").glob("*/__init__.py")}
    assert sorted(package for package, _ in rows) == sorted(packages)
    for package, rest in rows:
        for start in re.findall(r"start at `(\w+\.py)`", rest):
            assert (ROOT / package / start).exists(), f"{package}/{start}"
