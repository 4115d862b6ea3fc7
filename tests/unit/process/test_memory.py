"""What the kernel says of the container's memory."""

from __future__ import annotations

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
