"""Signals reach the main thread, and a timeout ends a job once."""

from __future__ import annotations

import signal
import subprocess
import sys
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


#: Receives a signal beside a thread that blocks none, hands it on, and looks whether it still waits for somebody.
HANDING_ON = """
import os, queue, signal, threading, time
from worker.process import signals
threading.Thread(target=queue.Queue().get, daemon=True).start()
lost = 0
for _ in range(100):
    inbox = signals.listen()
    os.kill(os.getpid(), signal.SIGTERM)
    inbox.put(inbox.get())
    signals.hand_on(inbox)
    time.sleep(0.005)
    lost += signal.SIGTERM not in signal.sigpending()
    signal.sigtimedwait([signal.SIGTERM], 0)
os._exit(min(lost, 100))
"""


def test_a_signal_that_is_handed_on_is_not_taken_by_a_thread_of_a_job_module() -> None:
    assert subprocess.run([sys.executable, "-c", HANDING_ON], check=False, timeout=60).returncode == 0
