"""What a diagnosis says: targets without secrets, the conclusion, hosts' limits, anonymous Markdown."""

from __future__ import annotations

from typing import Any

import pytest

from worker.diagnosis.case import target_of
from worker.diagnosis.conclusion import conclude
from worker.diagnosis.markdown import markdown
from worker.diagnosis.places import notes
from worker.diagnosis.report import Finding, Report, Status, StepReport, worst
from worker.diagnosis.start import case_of
from worker.redis.troubles import TROUBLES, trouble


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host", "redis://host:6379/0"),
        ("rediss://default:hunter2@host:6380/2", "rediss://default:***@host:6380/2"),
        ("redis://:hunter2@[::1]:1", "redis://:***@[::1]:1/0"),
        ("redis://hunter2:hunter2@host", "redis://***:***@host:6379/0"),
        ("redis://host?password=hunter2&db=3", "redis://:***@host:6379/3"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock"),
    ],
)
def test_a_target_is_shown_without_its_secrets(url: str, shown: str) -> None:
    target = target_of(url)
    assert str(target) == shown
    assert "hunter2" not in repr(target)


def step(name: str, *findings: Finding, **facts: Any) -> StepReport:
    status = worst([Status.OK, *(finding.status for finding in findings)])
    return StepReport(name=name, title=name, status=status, seconds=0, says="", findings=findings, facts=facts)


@pytest.mark.parametrize("code", sorted(TROUBLES))
def test_every_trouble_makes_one_sentence(code: str) -> None:
    told = conclude([step("x", Finding.of(trouble(code)))])
    assert told.endswith(".")
    assert told.count(". ") == 0
    assert " — " in told


def test_warnings_are_told_when_nothing_failed() -> None:
    warning = Finding(status=Status.WARNING, says="It is odd.", fix="Look.")
    assert conclude([step("x", warning)]) == "Redis works for the worker; look at this: It is odd — look."


def test_hosts_limits_follow_from_what_was_found() -> None:
    def told(url: str, facts: dict[str, dict[str, Any]], **environ: str) -> str:
        case = case_of(environ, url)
        case.target = target_of(url)
        return " ".join(notes(case, facts))

    assert told("redis://host", {}) == ""
    assert "Netlify: functions have 10 s" in told("redis://host", {"latency": {"p50_ms": 200.0}})
    near = {"latency": {"p50_ms": 1.0}, "fitness": {"max_clients": 30}}
    assert "this server accepts 30" in told("redis://host", near)
    assert "internal" in told("rediss://oregon-keyvalue.render.com", {}, RENDER="true")
    assert "only resolve inside Render" in told("redis://red-abc123:6379", {})
    assert "loses the queue" in told("redis://red-abc123:6379", {"fitness": {"aof": False}}, RENDER="true")
    assert "310 s" in told("rediss://x.upstash.io", {})


def test_markdown_names_the_provider_and_not_the_customer() -> None:
    report = Report(
        at="2026-01-01T00:00:00+00:00",
        target="rediss://:***@eu1-fit-cat-1.upstash.io:6379/0",
        source="REDIS_URL",
        status=Status.FAILED,
        exit_code=12,
        seconds=1,
        steps=(
            step("url", host="eu1-fit-cat-1.upstash.io"),
            step("dns", IPv4=["192.0.2.7"]),
            step("tcp", Finding.of(trouble("refused"), "Address: 192.0.2.7 (IPv4).")),
        ),
        conclusion="eu1-fit-cat-1.upstash.io | refuses.",
    )
    told = markdown(report)
    assert "fit-cat" not in told
    assert "192.0.2.7" not in told
    assert "<host>.upstash.io" in told
    assert "<address 1> (IPv4)" in told
