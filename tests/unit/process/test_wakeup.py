"""A sleep that ends when something can be read, whatever the number of its descriptor."""

from __future__ import annotations

import fcntl
import os
import resource
from collections.abc import Iterator

import pytest

from worker.process.wakeup import Wakeup, readable


@pytest.fixture
def high() -> Iterator[int]:
    """Return the reader of a pipe that has data, whose number is beyond what ``select`` takes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    reader, writer = os.pipe()
    os.write(writer, b"\0")
    number = fcntl.fcntl(reader, fcntl.F_DUPFD_CLOEXEC, 2000)
    yield number
    for fd in (reader, writer, number):
        os.close(fd)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_descriptors_beyond_1024_are_waited_for(high: int) -> None:
    wakeup = Wakeup()
    try:
        assert readable([wakeup.fileno(), high], 60) == [high]
        wakeup.send()
        assert readable([wakeup.fileno()], 60) == [wakeup.fileno()]
    finally:
        wakeup.close()


def test_a_descriptor_that_somebody_has_closed_counts_as_readable_so_that_nobody_sleeps_on_it() -> None:
    wakeup = Wakeup()
    reader = wakeup.fileno()
    wakeup.close()
    assert readable([reader], 60) == [reader]
