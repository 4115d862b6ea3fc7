"""The autoscaler against a server that speaks Render's API, with a real Redis for its lead and its memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis as redis_py
from pydantic import SecretStr
from structlog.testing import capture_logs

from tests.support.render_stub import KEY, NAME, SERVICE_ID, Render
from worker.fleet import render_api
from worker.fleet.autoscaler import Autoscaler
from worker.fleet.decision import Policy, Reason
from worker.fleet.render_api import RenderApi, RenderApiError
from worker.fleet.state import ConsumerState, Fleet, QueueState
from worker.keys import Keys

POLICY = Policy(least=1, most=4, step=1, wait=30, idle=300, cooldown=120)


@pytest.fixture
def render() -> Iterator[Render]:
    with Render() as stub:
        yield stub


@pytest.fixture
def api(render: Render) -> Iterator[RenderApi]:
    with RenderApi(SecretStr(KEY), render.url) as client:
        yield client


def scaler(redis: redis_py.Redis, api: RenderApi, policy: Policy = POLICY, *, dry_run: bool = False) -> Autoscaler:
    return Autoscaler(redis, Keys("rq"), api, NAME, policy, dry_run=dry_run)


def fleet(*, waits: float = 0.0, waiting: int = 0, running: int = 0, consumers: int = 2) -> Fleet:
    queue = QueueState("default", waiting, running, 0, 0, 0, waits or None, consumers)
    other = QueueState("of-others", 999, 999, 0, 0, 0, 9999.0, 0)
    # What a consumer's record holds besides its queues is none of the autoscaler's business.
    fields = dict.fromkeys(ConsumerState.__dataclass_fields__)
    workers = tuple(ConsumerState(**{**fields, "queues": ("default",)}) for _ in range(consumers))  # type: ignore[arg-type]
    return Fleet(False, (queue, other), workers, {}, "dead-letter", 0)


LATE = fleet(waits=45, waiting=10)


def test_it_adds_an_instance_when_a_job_waits_too_long_says_why_and_then_cools_down(
    redis: redis_py.Redis, render: Render, api: RenderApi
) -> None:
    autoscaler = scaler(redis, api)
    with capture_logs() as events:
        autoscaler.run(LATE, ["default"], 0)
        decision = autoscaler.run(LATE, ["default"], 0)
    assert (render.instances, render.scaled_to) == (2, [2])
    assert decision is not None
    assert decision.reason == Reason.COOLING_DOWN
    (scaled,) = [event for event in events if event["event"] == "autoscaler.scaled"]
    assert (scaled["before"], scaled["after"], scaled["reason"], scaled["dry_run"]) == (1, 2, "late", False)
    assert "waited 45 s, longer than 30 s" in scaled["sentence"]
    assert autoscaler.decided == {Reason.LATE: 1, Reason.COOLING_DOWN: 1}
    assert redis.hget("rq:autoscaler", "after") == b"2"


def test_it_takes_one_when_the_fleet_was_idle_and_goes_by_its_own_queues_only(
    redis: redis_py.Redis, render: Render, api: RenderApi
) -> None:
    render.instances = 3
    autoscaler = scaler(redis, api)
    autoscaler.run(fleet(), ["default"], 299)
    assert render.instances == 3
    autoscaler.run(fleet(running=1), ["default"], 400)
    assert render.instances == 3
    autoscaler.run(fleet(), ["default"], 301)
    assert render.instances == 2


def test_a_dry_run_says_what_it_would_do_and_does_nothing(
    redis: redis_py.Redis, render: Render, api: RenderApi
) -> None:
    autoscaler = scaler(redis, api, dry_run=True)
    with capture_logs() as events:
        autoscaler.run(LATE, ["default"], 0)
    assert (render.instances, render.scaled_to) == (1, [])
    assert [(event["after"], event["dry_run"]) for event in events if event["event"] == "autoscaler.scaled"] == [
        (2, True)
    ]


def test_one_of_two_monitors_scales_and_the_other_goes_on_with_the_cooldown(
    redis: redis_py.Redis, render: Render, api: RenderApi
) -> None:
    first, second = scaler(redis, api), scaler(redis, api)
    first.run(LATE, ["default"], 0)
    assert second.run(LATE, ["default"], 0) is None
    assert (first.leads, second.leads) == (True, False)
    assert render.instances == 2
    first.give_up_lead()
    decision = second.run(LATE, ["default"], 0)
    assert decision is not None
    assert decision.reason == Reason.COOLING_DOWN
    assert render.instances == 2


def test_a_servers_clock_that_was_set_back_stops_no_scaling(
    redis: redis_py.Redis, render: Render, api: RenderApi
) -> None:
    first, second = scaler(redis, api), scaler(redis, api)
    first.run(LATE, ["default"], 0)
    redis.pexpire("rq:autoscaler-lock", 3_630_000)
    assert second.run(LATE, ["default"], 0) is None
    assert 0 < redis.ttl("rq:autoscaler-lock") <= 30
    redis.delete("rq:autoscaler-lock")
    redis.hset("rq:autoscaler", "at", redis.time()[0] + 3600)
    decision = second.run(LATE, ["default"], 0)
    assert decision is not None
    assert decision.changes, "a cooldown of an hour and two minutes is none"


def test_a_leader_that_was_paused_until_another_led_changes_nothing(
    redis: redis_py.Redis, render: Render, api: RenderApi
) -> None:
    paused, other = scaler(redis, api), scaler(redis, api)
    find = api.find

    def find_slowly(service: str) -> Any:
        found = find(service)
        redis.delete("rq:autoscaler-lock")  # its time is over meanwhile
        assert other._lead()
        return found

    api.find = find_slowly  # type: ignore[method-assign]
    paused.run(LATE, ["default"], 0)
    assert render.scaled_to == []


def test_dropped_connections_and_bad_gateways_are_tried_again(
    redis: redis_py.Redis, render: Render, api: RenderApi
) -> None:
    render.faults = [503, "drop"]
    autoscaler = scaler(redis, api)
    autoscaler.run(LATE, ["default"], 0)
    assert render.instances == 2
    assert autoscaler.api_errors == 0


def test_a_rate_limit_is_kept_for_as_long_as_render_says(redis: redis_py.Redis, render: Render, api: RenderApi) -> None:
    render.faults = [(429, {"Retry_After": "17"})]
    autoscaler = scaler(redis, api)
    decision = autoscaler.run(LATE, ["default"], 0)
    assert decision is not None
    assert decision.reason == Reason.API_AWAY
    assert autoscaler.rests_for == 17
    assert len(render.calls) == 1, "a 429 is not tried again at once"
    render.faults = [(429, {"Retry_After": "Fri, 01 Jan 2100 00:00:00 GMT"}), (429, {}), (429, {"Retry_After": "soon"})]
    autoscaler.run(LATE, ["default"], 0)
    assert autoscaler.rests_for > 1e8
    for _ in range(2):
        autoscaler.run(LATE, ["default"], 0)
        assert autoscaler.rests_for == render_api.RATE_LIMIT_SECONDS


def test_refusals_end_in_words_without_the_key(redis: redis_py.Redis, render: Render) -> None:
    with RenderApi(SecretStr("rnd_a_wrong_key"), render.url) as api:
        autoscaler = scaler(redis, api)
        with capture_logs() as events:
            for _ in range(3):
                autoscaler.run(LATE, ["default"], 0)
    held = [event for event in events if event["event"] == "autoscaler.held"]
    assert len(held) == 1, "edges are logged, not tries"
    assert "401 (Unauthorized)" in held[0]["sentence"]
    assert "set RENDER_API_KEY" in held[0]["sentence"]
    assert "rnd_" not in str(events)
    assert autoscaler.api_errors == 3


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"suspended": True}, Reason.SERVICE_SUSPENDED), ({"autoscaled": True}, Reason.RENDER_SCALES)],
)
def test_it_leaves_a_service_alone_that_is_not_its_business(
    redis: redis_py.Redis, render: Render, api: RenderApi, change: dict[str, Any], reason: Reason
) -> None:
    vars(render).update(change)
    decision = scaler(redis, api).run(LATE, ["default"], 0)
    assert decision is not None
    assert decision.reason == reason
    assert render.scaled_to == []


def test_a_service_is_found_by_name_or_id(api: RenderApi) -> None:
    assert api.find(NAME) == api.find(SERVICE_ID)
    with pytest.raises(RenderApiError, match=r"Render knows 0 services named 'another'\. Set AUTOSCALE_SERVICE"):
        api.find("another")
    with pytest.raises(RenderApiError, match="404"):
        api.find("srv-00000000000000000000")


def test_an_answer_that_is_none_of_renders_is_named_so(render: Render, api: RenderApi) -> None:
    render.faults = [200]
    with pytest.raises(RenderApiError, match="otherwise than its documentation says"):
        api.find(SERVICE_ID)
