"""`python -m worker types`: what it writes is checked by tsc and by mypy, with right and with wrong calls."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.node import ROOT, needs_node, tool

JOBS = '''
from __future__ import annotations
from collections.abc import Sequence, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, NewType, NotRequired, Required, TypedDict

UserId = NewType("UserId", int)

class Receipt(TypedDict):
    """What was sent."""
    id: str
    copies: NotRequired[list[str]]
    lines: "list[Line]"

Line = TypedDict("Line", {"class": str, "not-a-name": int}, total=False)

def send(to: UserId, subject: str = "hello", *, copy: bool = False, tone: Literal["kind", "curt"]) -> Receipt:
    """Send a mail. */ and more"""
    return {"id": "1", "lines": []}

async def add(left: int, right: float | None = None, /, *more: int) -> int | None:
    return left

def tree(value: Any, pairs: Sequence[tuple[str, int]], flags: Mapping[str, Annotated[bool, "x"]]) -> None: ...

def when(moment: datetime) -> str: ...
def price() -> Decimal: ...
def anything(**options: int) -> int: ...
def untyped(a, b): ...
def _private(a: int) -> int: ...
'''


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "mail").mkdir()
    (tmp_path / "mail" / "__init__.py").write_text("")
    (tmp_path / "mail" / "tasks.py").write_text(JOBS)
    return tmp_path


def types(project: Path, *arguments: str, modules: str = "mail", expected: int = 0) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": f"{project}:{ROOT}", "WORKER_JOB_MODULES": modules}
    environ.pop("REDIS_URL", None)
    command = [sys.executable, "-m", "worker", "types", *arguments]
    done = subprocess.run(command, cwd=project, env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == expected, done.stdout + done.stderr
    return done


CONSUMER = """
import { Producer } from "@worthit/producer";
import type { Receipt } from "./jobs.js";
const producer = Producer.fromEnvironment();
const job = await producer.enqueue("mail.tasks.send", [7, "hi"], { kwargs: { tone: "kind" } });
const sent: Receipt = await producer.wait(job, 1000);
const copies: string[] | undefined = sent.copies;
const sum: number | null = await producer.result(await producer.enqueue("mail.tasks.add", [1, 2.5, 3, 4]));
const tree = await producer.enqueue("mail.tasks.tree", [{ a: [1] }, [["a", 1]], { b: true }]);
const nothing: null = await producer.result(tree);
console.log(copies, sum, nothing, sent.lines[0]["not-a-name"]);
// @ts-expect-error a text is no number
await producer.enqueue("mail.tasks.send", ["7"]);
// @ts-expect-error no such tone
await producer.enqueue("mail.tasks.send", [7], { kwargs: { tone: "loud" } });
// @ts-expect-error an argument is missing
await producer.enqueue("mail.tasks.add", []);
// @ts-expect-error pairs have two items
await producer.enqueue("mail.tasks.tree", [1, [["a"]], {}]);
// @ts-expect-error JSON has no dates: it was left out
await producer.enqueue("mail.tasks.when", ["2026-01-01"]);
"""


@needs_node
def test_tsc_checks_calls_by_what_it_writes(project: Path) -> None:
    written = types(project)
    (project / "jobs.d.ts").write_text(written.stdout)
    (project / "consumer.ts").write_text(CONSUMER)
    (project / "package.json").write_text('{"type": "module"}')
    (project / "node_modules" / "@worthit").mkdir(parents=True)
    (project / "node_modules" / "@worthit" / "producer").symlink_to(ROOT / "packages" / "producer-js")
    strict = ("--noEmit", "--strict", "--target", "es2022", "--module", "nodenext", "--skipLibCheck", "false")
    checked = tool("tsc", *strict, "jobs.d.ts", "consumer.ts", cwd=project)
    assert (checked.returncode, checked.stdout) == (0, ""), checked.stdout + written.stdout
    assert sorted(line.partition(": ")[2] for line in written.stderr.splitlines()) == [
        "mail.tasks.anything: it takes any keyword",
        "mail.tasks.price: JSON has no Decimal",
        "mail.tasks.untyped: its result is not annotated",
        "mail.tasks.when: JSON has no datetime",
    ]


TYPED = """
from worthit_producer import Enqueued, Producer
from jobs_types import Jobs, Receipt
producer: Producer = Jobs.from_environment()
jobs = Jobs.from_environment()
job: Enqueued[Receipt] = jobs.enqueue("mail.tasks.send", 7, "hi", kwargs={"tone": "kind"}, delay=5)
sent: Receipt = jobs.wait(job, 5)
total: int | None = jobs.result(jobs.enqueue("mail.tasks.add", 1, 2.5, 3, 4))
jobs.enqueue("mail.tasks.tree", {"a": [1]}, [("a", 1)], {"b": True})
jobs.enqueue("mail.tasks.send", "7")  # wrong
jobs.enqueue("mail.tasks.add")  # wrong
jobs.enqueue("mail.tasks.when", "x")  # wrong
jobs.enqueue("mail.tasks.send", 7, retries=3)  # wrong
"""


@pytest.mark.slow
def test_mypy_checks_calls_by_what_it_writes_and_the_module_runs(project: Path) -> None:
    (project / "jobs_types.py").write_text(types(project, "--python").stdout)
    (project / "consumer.py").write_text(TYPED)
    shutil.copytree(ROOT / "producer", project / "worthit_producer", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "consumer.py", "jobs_types.py"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=240, check=False)
    wrong = [number for number, line in enumerate(TYPED.splitlines(), 1) if line.endswith("# wrong")]
    told = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert sorted({int(line.split(":")[1]) for line in told}) == wrong, done.stdout
    run = [sys.executable, "-c", "import jobs_types; jobs_types.Jobs.from_environment({'REDIS_URL': 'redis://h'})"]
    assert subprocess.run(run, cwd=project, capture_output=True, check=False).returncode == 0


def test_modules_without_such_functions_and_broken_ones_are_said(project: Path) -> None:
    (project / "mail" / "tasks.py").write_text("def f(a): ...")
    assert "No function of these modules" in types(project, expected=1).stderr
    (project / "mail" / "tasks.py").write_text("import nothing_like_this")
    said = types(project, expected=71).stderr
    assert "the module mail.tasks cannot be imported" in said
