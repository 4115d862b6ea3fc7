"""One request to the console, read once and with bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, quote, unquote, urlencode

from worker.console.access import Visitor

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

#: Fields of a query or a form.
_MOST_FIELDS: Final = 200


class BadRequest(Exception):
    """The request cannot be read, or asks for what cannot be; the sentence is shown."""


@dataclass(frozen=True, slots=True)
class Request:
    """`path` is without the prefix; `query` and `form` keep the last of several values of a name."""

    method: str
    path: str
    prefix: str
    query: Mapping[str, str]
    form: Mapping[str, str]
    visitor: Visitor
    wants_json: bool

    def text(self, name: str, most: int = 1000) -> str:
        """Return a field of the query, without blanks around it; "" if it is missing."""
        return self.query.get(name, "").strip()[:most]

    def number(self, name: str, default: int, most: int) -> int:
        """Return a field of the query as a number from 0 to `most`."""
        text = self.query.get(name, "").strip()
        return min(int(text), most) if text.isascii() and text.isdigit() and len(text) < 10 else default

    def url(self, path: str, **fields: object) -> str:
        """Return the URL of a path of the console."""
        query = urlencode({name: value for name, value in fields.items() if value not in ("", None)})
        return f"{self.prefix}{path}{'?' if query else ''}{query}"

    def job_url(self, job_id: str) -> str:
        """Return the URL of a job's page. Browsers and proxies read `.` and `/` in a path their own way."""
        if job_id.replace("-", "a").replace("_", "a").isalnum():
            return self.url(f"/jobs/{quote(job_id)}")
        return f"{self.url('/jobs/')}?id={exact(job_id)}"


def exact(text: str) -> str:
    """Return any text, bytes that are no UTF-8 among it, as ASCII from which `inexact` makes the same again."""
    return quote(text, safe="", errors="surrogateescape")


def inexact(quoted: str) -> str:
    """Undo `exact`."""
    return unquote(quoted, errors="surrogateescape")


def read(environ: WSGIEnvironment, prefix: str, visitor: Visitor) -> Request:
    """Read the request; raises `BadRequest`."""
    path = environ["PATH_INFO"].encode("latin-1").decode(errors="surrogateescape")
    if prefix and (path == prefix or path.startswith(f"{prefix}/")):
        path = path[len(prefix) :]
    method = environ["REQUEST_METHOD"]
    accept = environ.get("HTTP_ACCEPT", "")
    form: dict[str, str] = {}
    if method == "POST":
        if environ.get("CONTENT_TYPE", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
            raise BadRequest("A form is expected: application/x-www-form-urlencoded.")
        form = _fields(environ["wsgi.input"].read().decode(errors="replace"))
    return Request(
        method,
        path or "/",
        prefix,
        _fields(environ.get("QUERY_STRING", "")),
        form,
        visitor,
        "application/json" in accept and "text/html" not in accept,
    )


def _fields(text: str) -> dict[str, str]:
    try:
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="surrogateescape"))
    except ValueError:
        raise BadRequest(f"More than {_MOST_FIELDS} fields were sent.") from None
