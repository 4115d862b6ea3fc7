"""The Dockerfile, read step by step."""

from __future__ import annotations

import re

from tests.support.service import ROOT


def instructions() -> list[tuple[str, str]]:
    """Return (instruction, arguments) of the Dockerfile, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.M).replace("\\\n", " ")
    return [
        (name, " ".join(rest.split())) for name, _, rest in (line.partition(" ") for line in text.splitlines()) if name
    ]


def stages() -> list[list[tuple[str, str]]]:
    """Return the instructions of each stage."""
    found: list[list[tuple[str, str]]] = []
    for name, rest in instructions():
        if name == "FROM":
            found.append([])
        if found:
            found[-1].append((name, rest))
    return found


def copied() -> list[str]:
    """Return what is copied from the build's context."""
    return [rest.split()[0] for name, rest in instructions() if name == "COPY" and not rest.startswith("--from")]


def one(name: str, stage: int = -1) -> str:
    """Return the arguments of the only instruction of that name in a stage."""
    (rest,) = (rest for found, rest in stages()[stage] if found == name)
    return rest
