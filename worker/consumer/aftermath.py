"""What follows on job code: the process is put in order again, or replaced where that cannot be done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from worker import logs
from worker.process.signals import Child
from worker.process.surroundings import CannotPutBack, Surroundings

log = logs.get_logger()

_CLOSED: Final = "A job has closed descriptors of the worker, by os.closerange perhaps"


class Aftermath:
    """Of the jobs of one consumer. `renew`, called in the main thread, replaces descriptors that a job has closed.

    Where threads run jobs, what belongs to the whole process is put back when none of them runs a job: then
    `after_all` must be called, at the latest before the next job begins if something is `owed`. While `callbacks` run
    beside the main thread's jobs it is the same.
    """

    def __init__(self, child: Child, renew: Callable[[], None], *, threads: int) -> None:
        self._child = child
        self._renew = renew
        self._alone = threads == 1
        self._surroundings = Surroundings(child.dump_on_signal)
        self.owed = False
        self.callbacks = 0  #: how many run, or will, in threads beside the main one; see ``callback_threads.py``
        self._lost = False
        child.on_lost = self._replace_without_descriptors

    def after_code(self) -> None:
        """Follow on code of jobs in the main thread: a job's, or a callback's beside which threads run jobs."""
        try:
            if self._alone and not self.callbacks:
                self._surroundings.put_back()
                self.owed = False
            else:
                self.owed = True
                self._surroundings.put_back_in_main_thread()
        except CannotPutBack as reason:
            self._retire(reason)
        if not self._child.intact:
            self._replace_without_descriptors()

    def before_code(self) -> None:
        """Put back what is owed, before code of a job begins in the main thread, unless callbacks run beside it."""
        if not self.callbacks:
            self.after_all()

    def after_thread(self) -> None:
        """Follow on a job in the calling thread of the pool."""
        try:
            self._surroundings.put_back_in_thread()
        except CannotPutBack as reason:
            self._retire(reason)
        if not self._child.intact:
            self._lost = True
            self._retire(_CLOSED)

    def after_all(self) -> None:
        """Put back what belongs to the whole process; no thread runs a job, and none begins one meanwhile."""
        self.owed = False
        try:
            self._surroundings.put_back_in_process()
        except CannotPutBack as reason:
            self._retire(reason)

    def before_leaving(self) -> None:
        """Make sure, in the main thread, that what the jobs have come to can be settled."""
        if self._lost:
            self._lost = False
            self._renew()

    def _replace_without_descriptors(self) -> None:
        self._lost = True
        self.before_leaving()
        self._retire(_CLOSED)

    def _retire(self, reason: CannotPutBack | str) -> None:
        if not self._child.stopping:
            log.error("consumer.replaced", reason=str(reason))
        self._child.retire()


class NoAftermath(Aftermath):
    """Of a fork, which ends with its job: nothing is put back."""

    def __init__(self) -> None:
        self.owed = False
        self.callbacks = 0

    def after_code(self) -> None:
        """Do nothing."""
