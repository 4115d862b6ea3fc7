"""The two calls of Render's API that the autoscaler makes: read a service, set its number of instances.

Source: Render's OpenAPI document, https://api-docs.render.com/reference (operations list-services, retrieve-service,
scale-service). Dropped connections and 502 to 504 are retried here, within `RETRY_SECONDS`; setting a number twice does
no harm. A 429 is not: its Retry-After may be a minute, so the caller decides.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Final, Self

import httpx
from httpx_retries import Retry, RetryTransport
from pydantic import SecretStr

from worker.errors import WorkerError

TIMEOUT_SECONDS: Final = 4.0
RETRIES: Final = 3
#: The sum of the pauses between the tries of one call.
RETRY_SECONDS: Final = 3.0
#: After a 429 without a Retry-After; Render counts requests by the minute.
RATE_LIMIT_SECONDS: Final = 60.0
_FIXES: Final = {
    401: "Make a new key in Render's account settings and set RENDER_API_KEY.",
    402: "Add a card in Render's billing settings.",
    403: "RENDER_API_KEY belongs to a workspace that does not own the service.",
    404: "Set AUTOSCALE_SERVICE to the service's name or id (srv-…) in the key's workspace.",
}


class RenderApiError(WorkerError):
    """Render's API refused a call or did not answer. The sentence holds no key; call again after `after` seconds."""

    def __init__(self, sentence: str, *, after: float = 0.0) -> None:
        super().__init__(sentence)
        self.after = after


@dataclass(frozen=True, slots=True)
class Service:
    """A service as far as scaling needs it. `instances` is what it is manually scaled to."""

    id: str
    name: str
    instances: int
    suspended: bool
    autoscaled: bool  #: by Render's own autoscaling, which sets the number by CPU and memory


class RenderApi:
    """A client of one account; `url` ends in the API's version."""

    def __init__(self, key: SecretStr, url: str) -> None:
        retry = Retry(
            total=RETRIES,
            allowed_methods=("GET", "POST"),
            status_forcelist=(502, 503, 504),
            backoff_factor=0.2,
            total_timeout=RETRY_SECONDS,
        )
        self._client = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {key.get_secret_value()}", "Accept": "application/json"},
            timeout=TIMEOUT_SECONDS,
            transport=RetryTransport(retry=retry),
        )

    def find(self, service: str) -> Service:
        """Read a service by its id or its name; raises `RenderApiError`."""
        if service.startswith("srv-"):
            return _service(self._call("GET", f"/services/{service}"))
        found = self._call("GET", "/services", params={"name": service, "limit": "2"})
        if not isinstance(found, list):
            raise _odd()
        exact = [row["service"] for row in found if row.get("service", {}).get("name") == service]
        if len(exact) != 1:
            raise RenderApiError(f"Render knows {len(exact)} services named {service!r}. {_FIXES[404]}")
        return _service(exact[0])

    def scale(self, service_id: str, instances: int) -> None:
        """Set the number of instances; raises `RenderApiError`."""
        self._call("POST", f"/services/{service_id}/scale", json={"numInstances": instances})

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _call(self, method: str, path: str, **request: Any) -> Any:
        try:
            answer = self._client.request(method, path, **request)
        except httpx.HTTPError as error:
            raise RenderApiError(f"Render's API does not answer ({type(error).__name__}).") from None
        if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
            raise RenderApiError("Render's API limits the rate of our calls.", after=_retry_after(answer.headers))
        if not answer.is_success:
            fix = _FIXES.get(answer.status_code, "")
            raise RenderApiError(f"Render's API answered {answer.status_code}{_message(answer)}. {fix}".rstrip())
        if not answer.content:
            return None
        try:
            return answer.json()
        except ValueError:
            raise _odd() from None


def _service(body: Any) -> Service:
    try:
        details = body["serviceDetails"]
        return Service(
            str(body["id"]),
            str(body["name"]),
            int(details["numInstances"]),
            body.get("suspended") == "suspended",
            bool((details.get("autoscaling") or {}).get("enabled")),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise _odd() from None


def _odd() -> RenderApiError:
    return RenderApiError("Render's API answered otherwise than its documentation says.")


def _message(answer: httpx.Response) -> str:
    try:
        text = str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return ""
    return f" ({text[:120]})"


def _retry_after(headers: Mapping[str, str]) -> float:
    """Seconds of a Retry-After header: a number or a date (RFC 9110, 10.2.3)."""
    text = headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        now = parsedate_to_datetime(headers["Date"]).timestamp() if "Date" in headers else time.time()
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except ValueError:
        return RATE_LIMIT_SECONDS
