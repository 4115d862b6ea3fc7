"""Check a bill of materials: each pin of the lock is in it, with hashes. Run: python -m tests.support.sbom FILE."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from tests.support.service import ROOT


def problems(sbom: Path) -> list[str]:
    """Return a sentence for each pin of requirements.lock that the file lacks or knows without a hash."""
    lock = (ROOT / "requirements.lock").read_text()
    pins = dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", lock, flags=re.M))
    found = {part["name"]: part for part in json.loads(sbom.read_text())["components"]}
    missing = [name for name, version in pins.items() if found.get(name, {}).get("version") != version]
    bare = [name for name in pins if name in found and "SHA-256" not in json.dumps(found[name])]
    return [f"{name} {pins[name]} is missing." for name in missing] + [f"{name} has no hash." for name in bare]


if __name__ == "__main__":
    wrong = problems(Path(sys.argv[1]))
    print("\n".join(wrong) or f"{sys.argv[1]}: every pin of requirements.lock, with its hashes.")
    sys.exit(bool(wrong))
