"""RQ's webhooks, sent through the guarded client: a producer chooses their URL, and no more than that.

RQ's own go wherever the URL leads, private addresses and redirects included, and wait as long as the receiver likes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final, Self

from rq.job import Job
from rq.webhook import Webhook

from worker import logs
from worker.engine.errands import Errands
from worker.settings import Settings

log = logs.get_logger()

#: The longest that one takes, whatever its own timeout is.
MOST_SECONDS: Final = 10.0
#: Headers about the connection, which are not the producer's business.
_OWN_HEADERS: Final = frozenset({"host", "connection", "content-length", "transfer-encoding", "upgrade"})


@dataclass(frozen=True, slots=True)
class Reach:
    """Where webhooks may go: see WORKER_ALLOW_PRIVATE_ADDRESSES and WORKER_CALLBACK_ORIGINS."""

    allow_private: bool = False
    origins: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return what the settings say."""
        return cls(settings.worker_allow_private_addresses, settings.callback_origins)


PUBLIC: Final = Reach()


class GuardedWebhook(Webhook):  # type: ignore[misc]  # rq is untyped here
    """A webhook of RQ's whose request is a guarded one; `to_dict` is as before, so RQ's code stores the same."""

    _reach = PUBLIC
    _errands: Errands | None = None

    @classmethod
    def of(cls, webhook: Webhook, reach: Reach, errands: Errands | None = None) -> Self:
        """Return one that says the same. With `errands` its request is one of them: `send` does not wait for it."""
        guarded: Self = cls.from_dict(webhook.to_dict())
        guarded._reach, guarded._errands = reach, errands
        return guarded

    def send(self, job: Job, *, exc_string: str | None = None) -> None:
        """Send the request, once; what goes wrong is logged and never raised, as in RQ."""
        try:
            body = self._body(job, exc_string)
        except Exception as error:  # noqa: BLE001 — the job has ended, however its receivers fare
            _Request(self, job.id, None).tell(error)
            return
        request = _Request(self, job.id, body)
        if self._errands is None:
            request.send()
        else:
            self._errands.submit(request, f"webhooks of {job.id}")  # in their order, as RQ sends them

    def request(self, url: Any, body: bytes | None) -> None:
        """Raise whatever keeps the request from an answer of 2xx."""
        import httpx  # noqa: PLC0415 — most services have no webhooks

        from worker.outbound.client import GuardedClient, is_admitted  # noqa: PLC0415

        if not is_admitted(url, self._reach.origins):
            raise PermissionError("WORKER_CALLBACK_ORIGINS does not list this site")
        headers = {"User-Agent": "WorthIt-worker/1 (webhook)"} | ({"Content-Type": "application/json"} if body else {})
        given = httpx.Headers(self.headers or {})
        headers |= {name: value for name, value in given.items() if name not in _OWN_HEADERS}
        client = GuardedClient(min(MOST_SECONDS, self.timeout), allow_private=self._reach.allow_private)
        with client.send(httpx.Request(self.method, url, headers=headers, content=body)) as response:
            if not response.is_success:
                raise ConnectionError(f"it answered {response.status_code}; redirects are not followed")

    def _body(self, job: Job, exc_string: str | None) -> bytes | None:
        return None if self.method == "GET" else json.dumps(self.get_payload(job, exc_string=exc_string)).encode()


@dataclass(frozen=True, slots=True)
class _Request:
    """The request of one webhook about one job, as an errand."""

    webhook: GuardedWebhook
    job_id: str
    body: bytes | None

    def run(self, _errands: Errands) -> None:
        """Send it, whether or not the process is about to end."""
        self.send()

    def send(self) -> None:
        """Send it, once."""
        import httpx  # noqa: PLC0415

        try:
            self.webhook.request(httpx.URL(self.webhook.url), self.body)
        except Exception as error:  # noqa: BLE001
            self.tell(error)

    def forgo(self) -> None:
        """Say that it is not sent."""
        self.tell(InterruptedError("the service stopped before it was its turn"))

    def tell(self, error: Exception) -> None:
        """Log why nobody has heard of the job; a URL's path and query may hold a secret."""
        import httpx  # noqa: PLC0415

        from worker.outbound.client import origin  # noqa: PLC0415

        try:
            site = origin(httpx.URL(self.webhook.url))
        except Exception:  # noqa: BLE001 — it is no URL: then that is the error
            site = ""
        log.warning("job.webhook_failed", job_id=self.job_id, site=site, error=f"{type(error).__name__}: {error}")
