"""Record what `status` and `dead` print on a terminal: `make captures` writes docs/captures/terminal-{80,120}.txt.

The service, its jobs and their failures are real; the commands are run on terminals of these widths.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from rq import Queue, Retry

from tests.support import tasks
from tests.support.captures import FOLDER
from tests.support.screen import Terminal
from tests.support.server import RedisServer
from tests.support.service import Service, until

WIDTHS: Final = (80, 120)
COMMANDS: Final = ("status", "dead groups", "dead list --limit 6", "dead audit")


def main() -> None:
    """Record both."""
    with RedisServer() as server, server.client() as redis:
        queue, high = Queue("default", connection=redis), Queue("high", connection=redis)
        with Service(server.url, HEALTH_PORT="0") as service:
            for page in range(14):
                queue.enqueue(tasks.boom, f"no price on https://shop.example/products/{page}?colour=green&size=XL")
            for _ in range(5):
                high.enqueue(tasks.give_up)
            queue.enqueue("os.system", "date")
            lost = queue.enqueue(tasks.add, "card", 1, retry=Retry(max=1))
            until(lambda: lost.get_status() == "failed", service=service)
            queue.enqueue(tasks.sleep, 60)
            for hours in range(3):
                queue.enqueue_in(timedelta(hours=hours + 1), tasks.add, hours, 1)
            Queue("reports", connection=redis).enqueue(tasks.add, 1, 2)
            with Terminal(server.url, "dead", "discard", "--reason", "refused_function", "--yes") as terminal:
                terminal.wait()
            for width in WIDTHS:
                shown = []
                for command in COMMANDS:
                    with Terminal(server.url, *command.split(), columns=width, rows=60) as terminal:
                        terminal.wait()
                        shown.append("\n".join([f"$ python -m worker {command}", *terminal.lines]))
                (FOLDER / f"terminal-{width}.txt").write_text("\n\n".join(shown) + "\n")


if __name__ == "__main__":
    main()
