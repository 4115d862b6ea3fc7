"""Run a diagnosis: every step in order, each within its time limit; steps that need one that failed are skipped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from threading import Thread
from time import monotonic
from typing import Final

from redis.exceptions import RedisError

from worker.diagnosis.case import Case, Found
from worker.diagnosis.conclusion import conclude
from worker.diagnosis.places import notes
from worker.diagnosis.report import NEEDS, Finding, Report, Status, StepReport, worst
from worker.diagnosis.steps.auth import check_auth
from worker.diagnosis.steps.dns import check_dns
from worker.diagnosis.steps.fitness import check_fitness
from worker.diagnosis.steps.latency import check_latency
from worker.diagnosis.steps.queues import check_queues
from worker.diagnosis.steps.redis import check_redis
from worker.diagnosis.steps.rest import check_rest
from worker.diagnosis.steps.sentinels import check_primary, check_sentinel
from worker.diagnosis.steps.server import check_server
from worker.diagnosis.steps.tcp import check_tcp
from worker.diagnosis.steps.tls import check_tls
from worker.diagnosis.steps.url import check_url
from worker.redis.translate import translate
from worker.redis.troubles import trouble
from worker.text import one_line


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `code` is the exit code when it is the first to fail; `alone`: it runs whatever the others found."""

    name: str
    title: str
    code: int
    check: Callable[[Case], Found]
    alone: bool = False


STEPS: Final = (
    Step("url", "URL", 10, check_url),
    Step("dns", "Name", 11, check_dns),
    Step("tcp", "TCP", 12, check_tcp),
    Step("tls", "TLS", 13, check_tls),
    Step("redis", "Redis", 14, check_redis),
    Step("auth", "Login", 15, check_auth),
    Step("latency", "Latency", 16, check_latency),
    Step("server", "Server", 17, check_server),
    Step("fitness", "Fitness", 18, check_fitness),
    Step("rq", "Queues", 19, check_queues),
    Step("rest", "REST", 20, check_rest, alone=True),
)
#: The steps of a URL that names Sentinels, before Name. The first is made once for each: `sentinel_1`, …
SENTINEL: Final = Step("sentinel", "Sentinel", 21, partial(check_sentinel, number=0))
PRIMARY: Final = Step("primary", "Primary", 22, check_primary)
#: A shorter password could be part of any word.
_SHORTEST_SECRET: Final = 4
#: The steps that find out why Redis cannot be reached; the others need a connection.
REACHING: Final = STEPS[:6]
#: Exit codes of a server that cannot be reached.
UNREACHED: Final = frozenset(step.code for step in (*REACHING, SENTINEL, PRIMARY))


def diagnose(
    case: Case,
    steps: tuple[Step, ...] = STEPS,
    *,
    source: str = "REDIS_URL",
    on_step: Callable[[StepReport], None] | None = None,
) -> Report:
    """Run `steps`, handing each report to `on_step` when it is done; never raises for what is wrong with Redis."""
    began, at = monotonic(), datetime.now(UTC)
    done: list[StepReport] = []
    codes: list[int] = []
    halted = ""
    for step in _course(steps, case):
        if halted and not step.alone:
            report = _skipped(step, f"{NEEDS}{halted}")
        else:
            report, halts = _run(step, case)
            halted = halted or (step.title if halts and not step.alone else "")
        done.append(report)
        codes += [step.code] * (report.status is Status.FAILED)
        if on_step is not None:
            on_step(report)
    if case.client is not None:
        with suppress(RedisError, OSError):
            case.client.close()
    statuses = [step.status for step in done]
    return Report(
        at=at.isoformat(timespec="seconds"),
        target=str(case.target) if case.target is not None else "",
        source=source,
        status=worst(statuses),
        exit_code=codes[0] if codes else 0,
        seconds=round(monotonic() - began, 3),
        steps=tuple(done),
        notes=tuple(notes(case, {report.name: report.facts for report in done})),
        conclusion=conclude(done),
    )


def _course(steps: tuple[Step, ...], case: Case) -> Iterator[Step]:
    """The steps one by one, which are more where the URL has turned out to name Sentinels."""
    for step in steps:
        if step.name == "dns" and case.target is not None and case.target.sentinels:
            for number in range(len(case.target.sentinels)):
                check = partial(check_sentinel, number=number)
                yield replace(SENTINEL, name=f"sentinel_{number + 1}", title=f"Sentinel {number + 1}", check=check)
            yield PRIMARY
        yield step


def _run(step: Step, case: Case) -> tuple[StepReport, bool]:
    """Run one step in a thread, because parts of it take no timeout; also returns whether to halt."""
    outcome: list[Found] = []
    case.began = began = monotonic()
    thread = Thread(target=lambda: outcome.append(_guarded(step, case)), daemon=True, name=f"step-{step.name}")
    thread.start()
    thread.join(case.timeout)
    # A step that is late goes on in its thread and uses the client, so no other step may use that any more.
    found = outcome[0] if outcome else _late(case)
    status = found.status or worst([Status.OK, *(finding.status for finding in found.findings)])
    halts = found.halt if found.halt is not None else status is Status.FAILED
    report = StepReport(
        name=step.name,
        title=step.title,
        status=status,
        seconds=round(monotonic() - began, 6),
        says=_clean(case, found.says),
        findings=tuple(
            finding.model_copy(update={"says": _clean(case, finding.says), "fix": _clean(case, finding.fix)})
            for finding in found.findings
        ),
        facts=found.facts,
    )
    return report, halts


def _guarded(step: Step, case: Case) -> Found:
    """Run a step; an error that it raises becomes its finding."""
    try:
        return step.check(case)
    except (RedisError, OSError) as error:
        reason = translate(error) or trouble("unknown", type(error).__name__)
        # A lost connection is lost for the next steps, too; a refused command does not stop them.
        return Found(
            "ended by an error", [Finding.of(reason)], halt=reason.code not in ("no_permission", "unknown_command")
        )
    except Exception as error:  # noqa: BLE001 — a server may answer in any shape
        return Found("answer not understood", [Finding.of(trouble("unknown", type(error).__name__))], halt=False)


def _late(case: Case) -> Found:
    says = f"The step did not end within {case.timeout:g} s."
    return Found("not done in time", [Finding.of(trouble("read_timeout"), says)], halt=True)


def _skipped(step: Step, why: str) -> StepReport:
    return StepReport(name=step.name, title=step.title, status=Status.SKIPPED, seconds=0.0, says=why)


def _clean(case: Case, text: str) -> str:
    """Make a text safe to print, and take the passwords out of it in case a server quoted one."""
    for secret in case.target.secrets if case.target is not None else ():
        text = text.replace(secret, "***") if len(secret) >= _SHORTEST_SECRET else text
    return one_line(text)
