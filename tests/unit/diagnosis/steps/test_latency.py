"""What the latency step makes of round trips, by a clock of the test's own."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from worker.diagnosis.report import Status
from worker.diagnosis.steps import latency


def warnings(monkeypatch: pytest.MonkeyPatch, *milliseconds: float) -> list[str]:
    """Let the PINGs take so long; returns what is warned of."""
    now = [0.0]
    monkeypatch.setattr(latency, "PINGS", len(milliseconds))
    monkeypatch.setattr(latency, "perf_counter", lambda: now[0])
    trips = iter(milliseconds)

    def ping() -> None:
        now[0] += next(trips) / 1000

    found = latency.check_latency(SimpleNamespace(redis=SimpleNamespace(ping=ping), left=1.0))  # type: ignore[arg-type]
    assert found.facts["pings"] == len(milliseconds)
    return [finding.says for finding in found.findings if finding.status is Status.WARNING]


def test_a_server_nearby_that_answers_steadily_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert warnings(monkeypatch, *[0.3] * 50) == []
    assert warnings(monkeypatch, *[0.3] * 49, 45.0) == [], "a hiccup"


def test_a_server_far_away_is_worth_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    (told,) = warnings(monkeypatch, *[120.0] * 50)
    assert told == "A round trip takes 120 ms: the server is on another continent."


def test_a_way_that_stalls_is_worth_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    (told,) = warnings(monkeypatch, *[2.0] * 48, 400.0, 400.0)
    assert told == "Some round trips take 400 ms, most 2.0 ms."
