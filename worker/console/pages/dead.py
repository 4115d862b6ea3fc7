"""*Dead letters*: what failed for good, by cause; replay it after a look, a few first; delete it; who did what."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import islice
from time import time
from typing import Any, Final

from worker.console.actions import letters as acting
from worker.console.actions.replays import Plan
from worker.console.answers import Done, Download, Page, Problem
from worker.console.pages.letters import kind, row
from worker.console.reading import dead as reading
from worker.console.requests import Request, inexact
from worker.console.site import Site
from worker.dead_letters import changes as audits
from worker.dead_letters.changes import Changes, note
from worker.dead_letters.exported import lines
from worker.dead_letters.filter import Filter, moment, rate
from worker.dead_letters.letter import DeadLetter
from worker.engine.dead_letter import REASONS
from worker.text import count_of

#: Letters on a page, lines of the audit, and letters of a download.
MOST_LETTERS: Final = 50
MOST_LINES: Final = 200
MOST_EXPORTED: Final = 1000
#: Ids of a download that the audit names.
SHOWN_IDS: Final = 20
_FILTER: Final = ("queue", "function", "exception", "fingerprint", "reason", "since", "until")


def show(site: Site, request: Request) -> Page:
    """Return the page."""
    chosen, before = _chosen(request.query), request.number("before", 0, 10**9) or None
    survey = site.surveys.look(chosen)
    found = site.look(
        ("letters", chosen, before),
        lambda: reading.letters(site.dead_letters, chosen, before, MOST_LETTERS),
        fresh=2.0,
    )
    page = found.value
    data = {
        "survey": _surveyed(survey),
        "letters": [row(letter) for letter in page.letters] if page else [],
        "looked_at": page.looked_at if page else 0,
        "of": page.of if page else 0,
        "next": page.before if page else None,
        "age": found.age if page else None,
        "trouble": found.trouble or survey.trouble,
        "filter": _texts(request.query),
        "before": before,
        "reasons": REASONS,
        "replays": site.replays.all(),
    }
    return Page("dead", "Dead letters", data)


def plan(site: Site, request: Request) -> Page:
    """Return the page that shows what a replay, or a deletion, would do, and asks."""
    chosen, what = _chosen(request.query), request.path.rpartition("/")[2]
    data = {
        "survey": _surveyed(site.surveys.look(chosen)),
        "filter": _texts(request.query),
        "all": not chosen,
        "most": acting.MOST_DISCARDED,
    }
    return Page(f"dead_{what}", "Replay" if what == "replay" else "Delete", data)


def run(site: Site, request: Request) -> Page:
    """Return the page of one replay."""
    found = site.replays.find(request.path.rpartition("/")[2])
    if found is None:
        raise Problem("This process knows no such replay. It may have been begun before a restart; the audit has it.")
    return Page("dead_run", "Replay", {"replay": found})


def audit(site: Site, _request: Request) -> Page:
    """Return who did what."""
    found = site.look("audit", lambda: audits.audit(site.dead_letters, MOST_LINES), fresh=2.0)
    shown = [
        {
            "at": count_of(line.get("at")) / 1000,
            "who": line.get("who", ""),
            "action": line.get("action", ""),
            "count": count_of(line.get("count")),
            "run": line.get("run", ""),
            "which": line.get("note", ""),
            "ids": tuple(islice(line.get("ids", "").split(), 3)),
        }
        for line in found.value or ()
    ]
    return Page("dead_audit", "Who did what", {"lines": shown, "age": found.age, "trouble": found.trouble})


def replay(site: Site, request: Request) -> Done:
    """Replay one letter at once, or begin a replay of what a filter chooses."""
    form, fresh = request.form, request.form.get("fresh") == "yes"
    to = form.get("to", "").strip()
    if form.get("id"):
        job_id = inexact(form["id"])
        if not _changes(site, request, "1 by id").replay([DeadLetter(job_id)], to, fresh=fresh)[0]:
            raise Problem("It is no dead letter any more: it was replayed or deleted meanwhile.")
        return Done("It waits on its queue again.", _job(request, job_id))
    chosen = _required(form)
    wanted = Plan(
        (),
        chosen,
        to,
        fresh,
        limit=_count(form, "limit"),
        rate=_rate(form.get("rate", "").strip()),
        canary=_count(form, "canary") or 0,
    )
    changes = _changes(site, request, str(chosen) or "all")
    started = site.replays.start(changes, wanted, str(chosen) or "all dead letters")
    return Done("It has begun.", f"/dead/runs/{started.run}")


def abort(site: Site, request: Request) -> Done:
    """Stop a replay after the batch under way."""
    name = request.form.get("run", "")
    if not site.replays.abort(name):
        raise Problem("It does not go on any more.")
    return Done("It stops after the batch under way. What was not replayed is as it was.", f"/dead/runs/{name}")


def discard(site: Site, request: Request) -> Done:
    """Delete one letter, or what a filter chooses."""
    form = request.form
    if form.get("sure") != "yes":
        raise Problem("Deleting cannot be undone: tick the box that says so.")
    if form.get("id"):
        job_id = inexact(form["id"])
        return Done(acting.discard(_changes(site, request, "1 by id"), (job_id,), Filter()), "/dead")
    chosen = _required(form)
    return Done(acting.discard(_changes(site, request, str(chosen) or "all"), (), chosen), "/dead")


def edit(site: Site, request: Request) -> Done:
    """Write what a letter's job calls, or bring the first payload back."""
    form, job_id = request.form, inexact(request.form.get("id", ""))
    if request.path.endswith("undo"):
        done = acting.undo(_changes(site, request, "undo"), job_id)
    else:
        function, args, kwargs = form.get("function", "").strip(), form.get("args", ""), form.get("kwargs", "") or "{}"
        done = acting.edit(_changes(site, request, "payload"), site.settings, job_id, function, args, kwargs)
    return Done(done, _job(request, job_id))


def export(site: Site, request: Request) -> Download:
    """Return letters as JSON Lines, every byte of them: what `dead import` takes."""
    chosen = _required(request.form)
    ids = [letter.job_id for letter in islice(site.dead_letters.oldest_first(chosen), MOST_EXPORTED)]
    text = "".join(
        f"{json.dumps(line)}\n"
        for at in range(0, len(ids), 100)
        for line in lines(site.dead_letters, ids[at : at + 100])
    )
    who = request.visitor.who
    note(
        site.redis, site.keys, action="export", who=who, job_ids=ids[:SHOWN_IDS], about=f"{len(ids)}: {chosen or 'all'}"
    )
    return Download("dead-letters.jsonl", "application/jsonl", text.encode())


def _chosen(fields: Mapping[str, str]) -> Filter:
    texts = _texts(fields)
    times: dict[str, float | None] = {"since": None, "until": None}
    for name in times:
        if texts[name]:
            try:
                # By the minute, so that the same question asked again is the same.
                times[name] = moment(texts[name], now=lambda: time() // 60 * 60)
            except (ValueError, OverflowError) as error:
                raise Problem(f"{error}.") from None
    return Filter(**{**texts, **times})  # type: ignore[arg-type]


def _texts(fields: Mapping[str, str]) -> dict[str, str]:
    return {name: fields.get(name, "").strip()[:500] for name in _FILTER}


def _required(form: Mapping[str, str]) -> Filter:
    chosen = _chosen(form)
    if not chosen and form.get("all") != "yes":
        raise Problem("Choose which letters with a filter, or say that you mean all.")
    return chosen


def _count(form: Mapping[str, str], name: str) -> int | None:
    text = form.get(name, "").strip()
    if text and not (text.isascii() and text.isdigit() and len(text) < 9):
        raise Problem(f"{name.capitalize()} must be a whole number.")
    return int(text) or None if text else None


def _rate(text: str) -> float | None:
    try:
        return rate(text) if text else None
    except ValueError as error:
        raise Problem(f"{error}.") from None


def _changes(site: Site, request: Request, note: str) -> Changes:
    return Changes(site.dead_letters, request.visitor.who, note)


def _job(request: Request, job_id: str) -> str:
    return request.job_url(job_id).removeprefix(request.prefix)


def _surveyed(survey: reading.Survey) -> dict[str, Any]:
    return {
        "of": survey.of,
        "looked_at": survey.looked_at,
        "total": survey.total,
        "kinds": [kind(one) for one in survey.kinds],
        "sample": [row(letter) for letter in survey.sample],
        "more": survey.more,
        "finished": survey.finished,
    }
