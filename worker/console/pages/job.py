"""*Job*: one job's whole story, and what may be done to it. Arguments and result are shown when somebody asks."""

from __future__ import annotations

import json
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from worker.console.actions import jobs as acting
from worker.console.actions.letters import editable
from worker.console.answers import Done, Page, Problem
from worker.console.reading import job as reading
from worker.console.reading.job import JobStory
from worker.console.requests import Request, inexact
from worker.console.site import Site
from worker.engine.described import Undescribed
from worker.job_log import JobLog


def show(site: Site, request: Request) -> Page:
    """Return the page."""
    job_id = _named(request)
    seen = site.look(("job", job_id), lambda: reading.story(site.redis, site.keys, job_id), fresh=1.0)
    story = seen.value
    if story is None and not seen.trouble:
        raise Problem(f"There is no job {job_id}: it was deleted, or has expired.", HTTPStatus.NOT_FOUND)
    acts = request.visitor.may_act
    asked = request.text("show") if acts else ""
    data = {
        "age": seen.age if story else None,
        "trouble": seen.trouble,
        "story": None if story is None else _shown(story) if acts else _without_private_data(story),
        "asked": asked,
        "arguments": _private(site, job_id, reading.arguments) if asked else None,
        "result": _private(site, job_id, reading.result) if asked and story and story.status == "finished" else None,
        "call": editable(site.dead_letters, job_id) if asked == "edit" else None,
    }
    return Page("job", story.function if story and story.function else "Job", data)


def act(site: Site, request: Request) -> Done:
    """Run a job again, cancel it, or stop it."""
    job_id, who = inexact(request.form.get("id", "")), request.visitor.who
    what = request.path.rpartition("-")[2]
    if what == "stop":
        sentence = acting.stop(site.redis, site.keys, job_id, who=who)
    else:
        action = acting.run_again if what == "again" else acting.cancel
        sentence = action(site.redis, site.keys, site.settings, job_id, who=who)
    return Done(sentence, request.job_url(job_id).removeprefix(request.prefix))


def _named(request: Request) -> str:
    """Return the id: what stands behind /jobs/, or where a path cannot hold it, a field."""
    return request.path.removeprefix("/jobs/") or request.query.get("id", "")


def _private(site: Site, job_id: str, read: Any) -> dict[str, str]:
    """Read something that may be private; it is not kept."""
    try:
        return {"text": read(site.redis, site.keys, job_id), "problem": ""}
    except Undescribed as problem:
        return {"text": "", "problem": str(problem)}


def _shown(story: JobStory) -> JobStory:
    """Leave out of the meta what the page shows anyway."""
    try:
        meta = json.loads(story.meta or "{}")
    except ValueError:  # it was cut, or is a sentence
        return story
    if not isinstance(meta, dict):
        return story
    own = {name: value for name, value in meta.items() if name not in ("dead_letter", "progress", "progress_text")}
    return replace(story, meta=json.dumps(own, indent=2, ensure_ascii=False) if own else "")


def _without_private_data(story: JobStory) -> JobStory:
    """Return what those may see who only look: no argument, and nothing in which one may be."""
    cursors = tuple(replace(cursor, text="") for cursor in story.cursors)
    return replace(story, description="", meta="", cursors=cursors, log=JobLog((), 0), can=frozenset())
