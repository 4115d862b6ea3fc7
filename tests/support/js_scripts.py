"""Writes the producer's Lua scripts into the JavaScript package: `make docs`."""

from __future__ import annotations

import json
from pathlib import Path

from producer import scripts

MODULE = Path(__file__).parents[2] / "packages" / "producer-js" / "src" / "scripts.js"


def text() -> str:
    """Return what the module must hold."""
    named = {"ENQUEUE": scripts.ENQUEUE, "CANCEL": scripts.CANCEL, "READ": scripts.READ}
    lines = [f"const PLACES = {json.dumps(scripts.PLACES)};"]
    for name, script in named.items():
        own = script.removeprefix(scripts.PLACES)
        lines.append(f"export const {name} = {'PLACES + ' if own != script else ''}{json.dumps(own)};")
    return "// `make docs` writes this from producer/lua, where the scripts are explained.\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    MODULE.write_text(text())
