"""Puts this process's wall clock wrong by `SKEW_SECONDS`, for whoever starts Python with this directory on its path.

Patched are the two clocks that Python code reads: `time.time` and `datetime.now`. Monotonic clocks stay, as on a
machine whose clock was set wrong.
"""

from __future__ import annotations

import datetime as module
import os
import time
from typing import Any

_SKEW = float(os.environ.get("SKEW_SECONDS", "0"))
_real_time = time.time
_real = module.datetime


class _AnyDatetime(type):
    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, _real)

    def __subclasscheck__(cls, kind: type) -> bool:
        return issubclass(kind, _real)


class datetime(_real, metaclass=_AnyDatetime):  # noqa: N801 — it stands in for the real one
    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return _real.fromtimestamp(_real_time() + _SKEW, tz)

    @classmethod
    def utcnow(cls) -> Any:
        return _real.fromtimestamp(_real_time() + _SKEW, module.UTC).replace(tzinfo=None)


time.time = lambda: _real_time() + _SKEW
module.datetime = datetime  # type: ignore[misc]
