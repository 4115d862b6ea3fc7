"""Writes the producer's Lua scripts into the JavaScript package: `make docs`."""

from __future__ import annotations

from pathlib import Path

from producer import scripts

MODULE = Path(__file__).parents[2] / "packages" / "producer-js" / "src" / "scripts.js"


def text() -> str:
    """Return what the module must hold."""
    named = {"ENQUEUE": scripts.ENQUEUE, "CANCEL": scripts.CANCEL, "READ": scripts.READ}
    lines = [f"const PLACES = {_literal(scripts.PLACES)};"]
    for name, script in named.items():
        own = script.removeprefix(scripts.PLACES)
        lines.append(f"export const {name} = {'PLACES + ' if own != script else ''}{_literal(own)};")
    return "// `make docs` writes this from producer/lua.\n" + "\n".join(lines) + "\n"


def _literal(script: str) -> str:
    """Return a text of JavaScript's, with its line ends as they are: the package is small."""
    escaped = script.replace("\\", "\\\\").replace("`", "\\`").replace("${", "\\${")
    return f"`{escaped}`"


if __name__ == "__main__":
    MODULE.write_text(text())
