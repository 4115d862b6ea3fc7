"""The job `notify`: a signed callback that may safely arrive twice."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from typing import Any

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from jobs import notifications
from jobs.notifications import notify
from tests.support.shop import Request, Shop, status
from worker import context
from worker.context import OfflineContext
from worker.retry import GiveUp, PermanentError, Retry, RetryLater, decide, policy_of

SECRET = "correct horse battery staple"


@pytest.fixture
def receiver(shop: Shop) -> Shop:
    shop.routes["/hook"] = status(204)
    return shop


def as_job(job_id: str = "job-1", attempt: int = 1, secret: str | None = SECRET) -> context.use:
    return context.use(
        OfflineContext(
            job_id,
            attempt=attempt,
            allow_private_addresses=True,
            notify_secret=None if secret is None else SecretStr(secret),
        )
    )


def is_genuine(request: Request) -> bool:
    """Verify a callback as receivers do that knew v1 before there was v2."""
    fields = dict(part.split("=", 1) for part in request.headers["webhook-signature"].split(","))
    expected = hmac.new(SECRET.encode(), fields["t"].encode() + b"." + request.body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, fields["v1"]) and abs(time.time() - int(fields["t"])) < 300


def is_bound_to(origin: str, request: Request) -> bool:
    """Verify a callback as the module's documentation tells receivers to."""
    fields = dict(part.split("=", 1) for part in request.headers["webhook-signature"].split(","))
    key = request.headers["idempotency-key"]
    text = f"{fields['t']}\n{origin}\n{key}\n".encode() + request.body
    expected = hmac.new(SECRET.encode(), text, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, fields["v2"]) and abs(time.time() - int(fields["t"])) < 300


def test_a_signature_holds_for_one_receiver_one_key_one_time_and_one_body(receiver: Shop) -> None:
    with as_job():
        notify(receiver.url("/hook"), {"score": 92})
    (sent,) = receiver.requests
    here = receiver.url("")
    assert is_bound_to(here, sent)
    signed = sent.headers["webhook-signature"]
    later = signed.replace(signed[2:12], str(int(signed[2:12]) + 1))
    assert not is_bound_to(receiver.url("", host="other.example"), sent)
    assert not is_bound_to(here, Request(sent.method, sent.path, sent.headers, b'{"score":99}'))
    for forged in ({"idempotency-key": "new"}, {"webhook-signature": later}):
        assert not is_bound_to(here, Request(sent.method, sent.path, sent.headers | forged, sent.body))


def test_with_a_list_of_sites_nothing_goes_to_another(receiver: Shop) -> None:
    def send(*origins: str) -> None:
        secret = SecretStr(SECRET)
        job = OfflineContext(allow_private_addresses=True, notify_secret=secret, callback_origins=origins)
        with context.use(job):
            notify(receiver.url("/hook"), {})

    with pytest.raises(PermanentError, match=r"none of the sites .* add it to WORKER_CALLBACK_ORIGINS"):
        send("https://me.example", receiver.url("").replace("http:", "https:"))
    assert receiver.requests == []
    send("https://me.example", receiver.url(""))
    assert len(receiver.requests) == 1


def test_a_callback_arrives_signed_and_keyed(receiver: Shop) -> None:
    payload = {"verdict": "buy", "name": "Föhn", "score": 92}
    with as_job():
        receipt = notify(receiver.url("/hook"), payload)
    (request,) = receiver.requests
    assert (request.method, request.path) == ("POST", "/hook")
    assert json.loads(request.body) == payload
    assert request.headers["content-type"] == "application/json"
    assert is_genuine(request)
    assert receipt == {"status": 204, "idempotency_key": request.headers["idempotency-key"]}


def test_a_changed_body_is_not_genuine(receiver: Shop) -> None:
    with as_job():
        notify(receiver.url("/hook"), {"score": 92})
    (sent,) = receiver.requests
    assert is_genuine(sent)
    assert not is_genuine(Request(sent.method, sent.path, sent.headers, b'{"score":99}'))


def test_the_key_survives_retries_and_tells_notifications_apart(receiver: Shop) -> None:
    receiver.routes["/other"] = status(200)

    def key(job_id: str, attempt: int, path: str, payload: Any) -> str:
        with as_job(job_id, attempt):
            return notify(receiver.url(path), payload)["idempotency_key"]

    first = key("a", 1, "/hook", {"x": 1})
    assert key("a", 2, "/hook", {"x": 1}) == first
    different = [
        key("b", 1, "/hook", {"x": 1}),
        key("a", 1, "/other", {"x": 1}),
        key("a", 1, "/hook", {"x": 2}),
    ]
    assert len({first, *different}) == 4


def test_an_event_id_becomes_the_key(receiver: Shop) -> None:
    with as_job():
        assert notify(receiver.url("/hook"), {}, event_id="order 17/paid")["idempotency_key"] == "order 17/paid"
    assert receiver.requests[0].headers["idempotency-key"] == "order 17/paid"


@pytest.mark.parametrize("event_id", ["", " x", "a\r\nX-Evil: 1", "ü", "x" * 256, 17, "tab\there"])
def test_an_event_id_that_is_no_header_value_is_permanent(receiver: Shop, event_id: Any) -> None:
    with as_job(), pytest.raises(PermanentError, match="event_id"):
        notify(receiver.url("/hook"), {}, event_id)
    assert receiver.requests == []


@pytest.mark.parametrize("secret", [None, ""])
def test_without_a_secret_nothing_is_sent_and_the_variable_is_named(receiver: Shop, secret: str | None) -> None:
    with as_job(secret=secret), pytest.raises(PermanentError, match="NOTIFY_SECRET is not set"):
        notify(receiver.url("/hook"), {})
    assert receiver.requests == []


@pytest.mark.parametrize("payload", [{1, 2}, object(), float("nan"), {"a": "\ud800"}])
def test_a_payload_that_is_no_json_is_permanent(receiver: Shop, payload: Any) -> None:
    with as_job(), pytest.raises(PermanentError, match="cannot be sent as JSON"):
        notify(receiver.url("/hook"), payload)
    assert receiver.requests == []


@pytest.mark.parametrize("payload", [None, [], "text", 5, {"b": 1, "a": [True, None]}])
def test_any_json_is_a_payload(receiver: Shop, payload: Any) -> None:
    with as_job():
        notify(receiver.url("/hook"), payload)
    assert json.loads(receiver.requests[0].body) == payload
    assert is_genuine(receiver.requests[0])


@pytest.mark.parametrize("code", [408, 409, 425, 429, 500, 503])
def test_trouble_that_may_pass_is_tried_again(receiver: Shop, code: int) -> None:
    receiver.routes["/hook"] = status(code, Retry_After="9")
    with as_job(), pytest.raises(RetryLater, match=f"answered {code}") as raised:
        notify(receiver.url("/hook"), {})
    assert raised.value.after == 9.0


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410, 422])
def test_other_refusals_are_permanent(receiver: Shop, code: int) -> None:
    receiver.routes["/hook"] = status(code)
    with as_job(), pytest.raises(PermanentError, match=f"answered {code}: "):
        notify(receiver.url("/hook"), {})


@pytest.mark.parametrize("code", [301, 302, 307, 308])
def test_a_redirect_is_never_followed(receiver: Shop, code: int) -> None:
    receiver.routes["/hook"] = status(code, Location="/elsewhere")
    receiver.routes["/elsewhere"] = status(200)
    with as_job(), pytest.raises(PermanentError, match=f"answered {code}"):
        notify(receiver.url("/hook"), {})
    assert len(receiver.requests) == 1


def test_a_receiver_that_does_not_answer_in_time_is_tried_again(
    receiver: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifications, "DELIVERY_SECONDS", 0.1)
    over = threading.Event()
    receiver.routes["/hook"] = lambda _: over.wait(60)
    with as_job(), pytest.raises(RetryLater, match="time limit"):
        notify(receiver.url("/hook"), {})
    over.set()


def test_a_private_receiver_is_refused(receiver: Shop) -> None:
    with (
        context.use(OfflineContext(notify_secret=SecretStr(SECRET))),
        pytest.raises(RetryLater, match="cannot be reached"),
    ):
        notify(receiver.url("/hook"), {})
    assert receiver.requests == []


def test_neither_the_secret_nor_the_address_shows_in_errors_or_logs(
    receiver: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    """The path of a callback's address often is its password."""
    with as_job(), capture_logs() as logs, caplog.at_level("INFO"), pytest.raises(PermanentError) as raised:
        notify(receiver.url("/hook/T0K3N"), {})
    told = f"{raised.value} {logs} {caplog.text}"
    assert SECRET not in told
    assert "T0K3N" not in told


def test_its_policy_is_patient_with_receivers() -> None:
    policy = policy_of(notify)
    assert policy is not None
    assert decide(RetryLater("503"), 7, policy, rng=lambda: 0.5) == Retry(64.0)
    assert decide(RetryLater("503"), 8, policy) == GiveUp("attempts_exhausted")
    assert decide(PermanentError("404"), 1, policy) == GiveUp("permanent")
