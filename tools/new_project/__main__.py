"""Make a fresh clone of this repository a service of its own: `make new-project NAME=billing`.

What belongs to WorthIt goes: the folders of `GONE`, and what stands elsewhere between the marks ``worthit-only`` and
``/worthit-only``, or in a line with the first one. Every name follows: services, packages, texts. One job with its test
comes, and `make run` shows it.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
TEMPLATE: Final = Path(__file__).with_name("template")
#: Render's limit is longer; a service's name also stands in texts and file names.
NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
LONGEST_NAME: Final = 24
#: What is WorthIt's alone, and what makes new projects.
GONE: Final = (
    "demo",
    "docs/products.md",
    "docs/shopper",
    "docs/shopper.md",
    "jobs/products",
    "netlify",
    "tests/faults/jobs",
    "tests/integration/demo",
    "tests/integration/jobs/products",
    "tests/integration/netlify",
    "tests/integration/tools/test_new_project.py",
    "tests/support/products",
    "tests/unit/jobs/products",
    "tests/unit/netlify",
    "tools/new_project",
)
#: The blueprints' word for the folder of the site.
WORD_GONE: Final = "netlify/**, "
#: Sections of the README that tell of this repository rather than of the worker.
README_GONE: Final = ("Two proofs", "What is different")
#: A license keeps its copyright.
KEPT_NAMES: Final = ("LICENSE",)
_MARK: Final = "worthit-only"
_COMMENT: Final = r"[ \t]*(?:#|<!--)[ \t]*"
_BLOCK: Final = re.compile(rf"^{_COMMENT}{_MARK}\b.*\n(?:.*\n)*?{_COMMENT}/{_MARK}\b.*\n\n?", re.M)
_LINE: Final = re.compile(rf"^.*\b{_MARK}\b.*\n", re.M)


def main(arguments: list[str]) -> int:
    """Change the checkout; return the exit code."""
    if len(arguments) != 1 or not NAME.fullmatch(arguments[0]) or len(arguments[0]) > LONGEST_NAME:
        given = f"{arguments[0]!r} will not do" if arguments and arguments[0] else "the name is missing"
        return _refuse(
            f"{given}. Give a name of lower-case letters, digits and hyphens, at most {LONGEST_NAME} characters: "
            f"make new-project NAME=billing"
        )
    if changed := _git("status", "--porcelain"):
        return _refuse(
            f"This checkout has changes ({len(changed.splitlines())}), and much is deleted here. Commit or drop them "
            f"first, so that `git checkout .` can undo this."
        )
    name = arguments[0]
    template = {path.relative_to(TEMPLATE): path.read_text() for path in sorted(TEMPLATE.rglob("*")) if path.is_file()}
    before = _tracked()
    for one in GONE:
        _delete(ROOT / one)
    for path, text in _texts():
        without = _LINE.sub("", _BLOCK.sub("", text)).replace(WORD_GONE, "")
        if without != text:
            path.write_text(without)
    _drop_from_lock()
    _drop_from_npm()
    _shorten_readme(template.pop(Path("README.md")))
    for relative, text in template.items():
        target = ROOT / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    renamed = _rename(name)
    gone = len([path for path in before if not (ROOT / path).exists()])
    print(f"{title(name)}: {gone} files are gone, {renamed} carry the new name, {len(template)} are new.")
    print("Now: make check, make run; then git add -A and commit. Your jobs: jobs/; the example: jobs/invoices.py.")
    return 0


def title(name: str) -> str:
    """Return the name as a text has it at the beginning of a sentence."""
    return name.replace("-", " ").capitalize()


def renamed(text: str, name: str) -> str:
    """Return a text in which this project's name is `name`, in each of its spellings."""
    text = text.replace("WorthIt-", f"{name}-")  # a product token of HTTP
    text = re.sub(r"WorthIt!?(?:['’]s)?", lambda found: title(name) + ("'s" if "s" in found[0] else ""), text)
    text = re.sub(r"\bworthit_", f"{name.replace('-', '_')}_", text)
    text = text.replace("WORTHIT_", f"{name.replace('-', '_').upper()}_")
    return text.replace("worthit", name)


def _rename(name: str) -> int:
    count = 0
    for path, text in _texts():
        if path.name not in KEPT_NAMES and (new := renamed(text, name)) != text:
            path.write_text(new)
            count += 1
    return count


def _shorten_readme(head: str) -> None:
    path = ROOT / "README.md"
    sections = re.split(r"^(?=## )", path.read_text(), flags=re.M)
    kept = [section for section in sections[1:] if not section.startswith(tuple(f"## {one}\n" for one in README_GONE))]
    path.write_text(head.rstrip() + "\n\n" + "".join(kept))


def _drop_from_lock() -> None:
    """Delete the pins that nothing requires any more, and their hashes."""
    path = ROOT / "requirements.lock"
    wanted = set(re.findall(r"^([a-z0-9._-]+)", (ROOT / "requirements.txt").read_text().lower(), flags=re.M))
    head, *pins = re.split(r"^(?=[a-z0-9])", path.read_text(), flags=re.M)
    # Of a pin that only requirements.txt asked for, the comment says nothing else.
    kept = [pin for pin in pins if "# via -r requirements.txt\n" not in pin or pin.partition("==")[0] in wanted]
    path.write_text(head + "".join(kept))


def _drop_from_npm() -> None:
    """Delete the site's workspace, which has no dependencies of its own but ours."""
    for name in ("package.json", "package-lock.json"):
        path = ROOT / name
        content = json.loads(path.read_text())
        for package in (content, content.get("packages", {}).get("", {})):
            if "workspaces" in package:
                package["workspaces"] = [one for one in package["workspaces"] if (ROOT / one).exists()]
        packages = content.get("packages", {})
        for key in [key for key, one in packages.items() if "netlify" in (key, one.get("resolved"))]:
            del packages[key]
        path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _texts() -> Iterator[tuple[Path, str]]:
    for relative in _tracked():
        path = ROOT / relative
        if path.is_file() and not path.is_symlink():
            try:
                yield path, path.read_text()
            except UnicodeDecodeError:
                continue


def _tracked() -> list[str]:
    return [one for one in _git("ls-files", "--cached", "--others", "--exclude-standard", "-z").split("\0") if one]


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603, S607
    return done.stdout


def _refuse(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
