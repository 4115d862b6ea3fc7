"""The console as a WSGI application: the door, then the route, then the page.

``worker.health.server`` calls it on threads of its own; nothing of the engine knows of it.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from worker import logs
from worker.console import headers, requests, routes
from worker.console.access import Access, Refusal, same_origin
from worker.console.actions import ActionRefused
from worker.console.answers import Done, Download, Page, Problem, plain
from worker.console.requests import BadRequest, Request
from worker.console.routes import Route
from worker.console.site import Site
from worker.console.templating import ROOT, environment
from worker.fleet.monitor import Monitor
from worker.redis.trouble import RedisTrouble
from worker.settings import Settings
from worker.text import json_text

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

log = logs.get_logger()

#: Larger answers are compressed for who takes that.
PACKED_BYTES: Final = 1400
_HTML: Final = "text/html; charset=utf-8"
_STATIC: Final = {"console.css": "text/css", "console.js": "text/javascript", "icon.svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent."""

    status: HTTPStatus
    headers: Mapping[str, str]
    body: bytes


class Console:
    """Serves the pages of one site."""

    def __init__(self, settings: Settings, monitor: Monitor | None = None) -> None:
        self.site = Site(settings, monitor)
        self._access = Access(settings)
        self._prefix = settings.monitor_prefix

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        answer = _packed(self._answer(environ), str(environ.get("HTTP_ACCEPT_ENCODING", "")))
        sent = {**headers.ALWAYS, **answer.headers, "Content-Length": str(len(answer.body))}
        start_response(f"{answer.status.value} {answer.status.phrase}", list(sent.items()))
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [answer.body]

    def close(self) -> None:
        """Close the connections to Redis."""
        self.site.close()

    def _answer(self, environ: WSGIEnvironment) -> Answer:
        visitor = self._access.enter(environ)
        if isinstance(visitor, Refusal):
            return Answer(visitor.status, {**visitor.headers, "Content-Type": _HTML}, _bare(visitor.sentence))
        try:
            request = requests.read(environ, self._prefix, visitor)
        except BadRequest as bad:
            return Answer(HTTPStatus.BAD_REQUEST, {"Content-Type": _HTML}, _bare(str(bad)))
        if request.path.startswith("/static/"):
            return _static(request.path.removeprefix("/static/"))
        try:
            return self._show(request, self._page(request, environ))
        except Exception:
            log.exception("console.failed", path=request.path)
            sentence = "The console failed over this page. Its log has the traceback, as console.failed."
            return self._show(request, _problem(sentence, HTTPStatus.INTERNAL_SERVER_ERROR))

    def _page(self, request: Request, environ: WSGIEnvironment) -> Page | Done | Download:
        found = routes.find(request.method, request.path)
        if not isinstance(found, Route):
            return found
        if found.acts and not request.visitor.may_act:
            return _problem("You may look, but not act. Log in as operator to act.", HTTPStatus.FORBIDDEN)
        if found.acts and not same_origin(environ):
            return _problem("Only a page of this console may do that.", HTTPStatus.FORBIDDEN)
        try:
            done = found.page(self.site, request)
        except Problem as problem:
            return _problem(str(problem), problem.status)
        except ActionRefused as refused:
            return _problem(str(refused), HTTPStatus.CONFLICT)
        except RedisTrouble as trouble:
            return _problem(f"Redis: {trouble}", HTTPStatus.SERVICE_UNAVAILABLE)
        if found.acts:
            self.site.forget()
            log.info("console.acted", action=request.path, who=request.visitor.who)
        return done

    def _show(self, request: Request, page: Page | Done | Download) -> Answer:
        if isinstance(page, Download):
            named = f'attachment; filename="{page.name}"'
            return Answer(HTTPStatus.OK, {"Content-Type": page.kind, "Content-Disposition": named}, page.body)
        if isinstance(page, Done):
            if request.wants_json:
                return _json(HTTPStatus.OK, {"done": page.sentence, "then": page.then})
            glue = "&" if "?" in page.then else "?"
            where = f"{request.prefix}{page.then}{glue}note={self.site.notes.leave(page.sentence)}"
            return Answer(HTTPStatus.SEE_OTHER, {"Location": where}, b"")
        if request.wants_json:
            return _json(page.status, plain(page.data), page.headers)
        shown = (
            environment()
            .get_template(f"{page.template}.html")
            .render(
                page.data,
                request=request,
                visitor=request.visitor,
                title=page.title,
                here=page.template,
                tabs=routes.TABS,
                note=self.site.notes.read(request.text("note")),
                settings=self.site.settings,
                dead_letters=self._dead_letters(),
            )
        )
        return Answer(page.status, {**page.headers, "Content-Type": _HTML}, shown.encode(errors="backslashreplace"))

    def _dead_letters(self) -> int:
        """Return how many dead letters there were last, for the tab; asks nobody."""
        fleet = self.site.known_fleet()
        return fleet.dead_letters if fleet else 0


def _packed(answer: Answer, accepted: str) -> Answer:
    """Compress what is worth it: a page that renews itself on a phone. No secret is in it."""
    if "gzip" not in accepted or len(answer.body) < PACKED_BYTES:
        return answer
    body = gzip.compress(answer.body, compresslevel=4, mtime=0)
    return Answer(answer.status, {**answer.headers, "Content-Encoding": "gzip"}, body)


def _problem(sentence: str, status: HTTPStatus) -> Page:
    return Page("problem", status.phrase, {"problem": sentence}, status)


def _json(status: HTTPStatus, data: Any, more: Mapping[str, str] | None = None) -> Answer:
    return Answer(status, {**(more or {}), "Content-Type": "application/json"}, json_text(data).encode() + b"\n")


def _static(name: str) -> Answer:
    if name not in _STATIC:
        return Answer(HTTPStatus.NOT_FOUND, {"Content-Type": _HTML}, _bare("There is no such file."))
    # Its URL changes with what it holds.
    kept = {"Content-Type": f"{_STATIC[name]}; charset=utf-8", "Cache-Control": "private, max-age=31536000, immutable"}
    return Answer(HTTPStatus.OK, kept, (ROOT / "static" / name).read_bytes())


def _bare(sentence: str) -> bytes:
    """Return a page for somebody who was not let in: it knows nothing of the fleet."""
    shown = environment().get_template("bare.html").render(sentence=sentence)
    return shown.encode(errors="backslashreplace")
