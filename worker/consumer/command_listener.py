"""The thread in which a consumer without an instance hears RQ's commands."""

from __future__ import annotations

import threading
from time import monotonic
from typing import Final

from worker import logs
from worker.engine.rq_commands import RqCommands
from worker.process import signals
from worker.process.wakeup import Wakeup, readable
from worker.redis.outage import delay_after
from worker.redis.trouble import RedisTrouble

log = logs.get_logger()

#: Pause after a fault of ours.
FAULT_SECONDS: Final = 5.0
#: The longest sleep: a refused subscription is asked for again.
LONGEST_SECONDS: Final = 60.0


class CommandListener:
    """Listens from the start until `close`, through outages."""

    def __init__(self, commands: RqCommands) -> None:
        self._commands = commands
        self._wakeup = Wakeup()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="commands", daemon=True)
        with signals.blocked_in_threads():
            self._thread.start()

    def wake(self) -> None:
        """Let it try to subscribe now: Redis can be reached."""
        self._wakeup.send()

    def renew(self) -> None:
        """Make a new pipe."""
        self._wakeup.renew()

    def close(self) -> None:
        """End the thread and its connection."""
        self._closed = True
        self._wakeup.send()
        self._thread.join(timeout=1.0)
        if not self._thread.is_alive():
            self._wakeup.close()

    def _run(self) -> None:
        tries = 0
        while not self._closed:
            try:
                self._commands.subscribe()
                tries = 0
                self._sleep(min(LONGEST_SECONDS, self._commands.due - monotonic()), self._commands.filenos())
                self._commands.pass_on()
                self._commands.check()
            except RedisTrouble as trouble:  # the main thread meets it, and names it
                tries += 1
                self._sleep(delay_after(tries, trouble), [])
            except Exception:  # a fault of ours, which must not end the thread
                log.exception("orders.failed")
                self._commands.close()
                self._sleep(FAULT_SECONDS, [])
        self._commands.close()

    def _sleep(self, seconds: float, fds: list[int]) -> None:
        if self._wakeup.fileno() in readable([self._wakeup.fileno(), *fds], seconds):
            self._wakeup.take(4096)
