"""What the kernel says of the container's memory."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from worker.process import memory


def test_the_counters_of_both_versions_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path)
    monkeypatch.setattr(memory, "_OWN", tmp_path / "own")
    assert (memory.oom_kills(), memory.limit_bytes()) == (None, None)
    (tmp_path / "own").write_text("0::/a/group\n")
    (tmp_path / "memory.events").write_text("low 0\nhigh 0\nmax 5\noom 2\noom_kill 2\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert (memory.oom_kills(), memory.limit_bytes()) == (2, None)
    (tmp_path / "a" / "group").mkdir(parents=True)
    (tmp_path / "a" / "group" / "memory.events").write_text("oom_kill 7\n")
    (tmp_path / "a" / "group" / "memory.max").write_text("536870912\n")
    assert (memory.oom_kills(), memory.limit_bytes()) == (7, 536870912)
    (tmp_path / "own").write_text("4:memory:/elsewhere\n3:cpu:/\n")
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert (memory.oom_kills(), memory.limit_bytes()) == (3, None)


@pytest.mark.skipif(sys.platform != "linux", reason="counts what /proc shows")
def test_the_memory_of_a_consumer_counts_what_its_forks_have_for_themselves() -> None:
    reader, writer = os.pipe()
    goes_on, go_on = os.pipe()
    fork = os.fork()
    if fork == 0:
        held = bytearray(os.urandom(1000) * 50_000)
        os.write(writer, b"x" if held else b"")
        os.read(goes_on, 1)
        os._exit(0)
    os.read(reader, 1)
    alone, together = (memory.with_forks_bytes(os.getpid(), forks) for forks in ([], [fork]))
    os.write(go_on, b"x")
    os.waitpid(fork, 0)
    assert alone is not None
    assert together is not None
    assert 45_000_000 < together - alone < 90_000_000, "not what it shares with this process"
    assert memory.with_forks_bytes(os.getpid(), [fork]) is not None, "one that has ended counts nothing"
