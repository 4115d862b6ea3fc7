"""Signals reach the main thread, and a timeout ends a job once."""

from __future__ import annotations

import signal
import threading

from worker.process.signals import SUPERVISED, blocked_in_threads


def test_threads_started_in_the_block_get_no_signals_and_the_main_thread_does() -> None:
    masks: list[set[int]] = []

    def look() -> None:
        masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, []))

    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with blocked_in_threads():
        thread = threading.Thread(target=look)
        thread.start()
    thread.join()
    assert masks[0] >= {*SUPERVISED, signal.SIGALRM}
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
