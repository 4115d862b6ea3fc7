"""Pauses and their ends, asked for on several pages."""

from __future__ import annotations

from worker.console.answers import Done, Problem
from worker.console.requests import Request, inexact
from worker.console.site import Site
from worker.dead_letters.filter import age
from worker.fleet import pauses


def pause(site: Site, request: Request) -> Done:
    """Pause a queue, a function, or everything."""
    form = request.form
    function, queue = form.get("function", "").strip(), inexact(form.get("queue", ""))
    if not function and not queue and form.get("all") != "yes":
        raise Problem("Name a queue or a function, or say that you mean all queues.")
    try:
        length = form.get("for", "").strip()
        sentence = pauses.pause(
            site.redis,
            site.keys,
            function=function,
            queue=queue,
            seconds=age(length) if length else None,
            who=request.visitor.who,
            reason=form.get("reason", "").strip(),
        )
    except ValueError as error:
        raise Problem(str(error)) from None
    return Done(sentence, _page(function))


def resume(site: Site, request: Request) -> Done:
    """End exactly this pause; all of them where neither a queue nor a function is named."""
    function, queue = request.form.get("function", "").strip(), inexact(request.form.get("queue", ""))
    sentence = pauses.resume(site.redis, site.keys, function=function, queue=queue, who=request.visitor.who)
    return Done(sentence, _page(function))


def _page(function: str) -> str:
    """Return the page that shows such a pause; of an instance the function is its name behind an `@`."""
    return "/fleet" if function.startswith("@") else "/queues"
