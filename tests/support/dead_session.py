"""The terminal session of docs/dead-letters.md, played on a real service: `python -m tests.support.dead_session`.

Writes what it saw into the page; the tests play it again and compare.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rq import Queue

from tests.support import demo, warm
from tests.support.letters import LETTERS
from tests.support.server import RedisServer
from tests.support.service import ROOT, Service, until

PAGE: Final = ROOT / "docs" / "dead-letters.md"
BEGIN, END = "<!-- session -->\n", "<!-- end of session -->"
#: What the operator types; a line that begins with # is what happens meanwhile.
SCRIPT: Final = (
    "rq info --only-queues default dead-letter",
    "python -m worker dead groups",
    "python -m worker dead show price-1 --arguments",
    "python -m worker dead replay --function '*.fetch_price' --dry-run",
    "python -m worker dead replay --function '*.fetch_price' --canary 2",
    "# The shop answers again.",
    "python -m worker dead replay --function '*.fetch_price' --canary 2 --rate 50/s",
    "python -m worker dead edit invoice-1 --args '[101]'",
    "rq requeue --queue default invoice-1",
    "python -m worker dead list",
    "python -m worker dead discard --reason refused_function --yes",
    "python -m worker dead audit",
    "rq info --only-queues default dead-letter",
)
_VARYING: Final = (
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+Z|\+00:00|Z)?|Updated: .*", "<date>"),
    (r"\b[0-9a-f]{8}\b", "<run>"),
    (r"shop-1\.[0-9a-f]{4}\.\d+", "<worker>"),
    (r"\S+@\S+", "<who>"),
    (r"line \d+", "line <n>"),
    (r" +", " "),
    (r" $", ""),
)


def play() -> str:
    """Play the session; returns it as the page shows it."""
    with tempfile.TemporaryDirectory() as folder, RedisServer() as server, server.client() as redis:
        shop = Path(folder) / "open"
        environ = {"WORKER_JOB_MODULES": "tests.support.demo", "DEMO_SHOP": str(shop), "RENDER_INSTANCE_ID": "shop-1"}
        with Service(server.url, WORKER_QUEUES="default", WORKER_PROCESSES="1", **environ) as service:
            queue = Queue("default", connection=redis)
            for number in range(1, 41):
                queue.enqueue(demo.fetch_price, number, job_id=f"price-{number}")
            for number in range(1, 4):
                queue.enqueue(demo.send_invoice, number, job_id=f"invoice-{number}")
            queue.enqueue("os.getcwd", job_id="odd-1")
            until(lambda: redis.llen(LETTERS) == 44, what="the failures", service=service)
            shown = []
            for line in SCRIPT:
                if line.startswith("#"):
                    shop.touch()
                    shown.append(line)
                    continue
                shown.append(f"$ {line}\n{_run(line, server.url, environ)}".rstrip())
                until(lambda: redis.llen("rq:queue:default") == 0, what="the replayed jobs", service=service)
                until(lambda: redis.keys("rq:execution:*") == [], what="their ends", service=service)
    return "\n\n".join(shown)


def normal(session: str) -> str:
    """Take out of a session what differs from one play to the next."""
    for pattern, replacement in _VARYING:
        session = re.sub(pattern, replacement, session, flags=re.M)
    return session


def shown_in(page: str) -> str:
    """Return the session that a page shows."""
    return page.split(BEGIN)[1].split(END, maxsplit=1)[0].strip().removeprefix("```console\n").removesuffix("\n```")


def _run(line: str, url: str, environ: dict[str, str]) -> str:
    tools = Path(sys.executable).parent
    arguments = list(_words(line, tools))
    base = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "LOG_LEVEL": "WARNING",
        "USER": "ann",
        "LOGNAME": "ann",
    }
    told = warm.run(arguments, {**base, "REDIS_URL": url, "RQ_REDIS_URL": url, **environ}, merged=True)
    text = "\n".join(part.rstrip() for part in told.stdout.replace(f"{ROOT}/", "").split("\n"))
    return text.replace(os.uname().nodename, "laptop")


def _words(line: str, tools: Path) -> Iterator[str]:
    program, *rest = shlex.split(line)
    if program == "rq":
        yield str(tools / program)
    yield from rest


def main() -> None:
    """Write the session into the page."""
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n```console\n{play()}\n```\n\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
