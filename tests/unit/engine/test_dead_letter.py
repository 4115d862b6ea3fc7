"""The record of a burial: complete, bounded, readable by anybody, and the same fingerprint for the same trouble."""

from __future__ import annotations

import json
import pickle
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from redis import Redis

from tests.support import tasks
from worker.engine import dead_letter
from worker.engine.dead_letter import (
    HISTORY_ENTRIES,
    MESSAGE_CHARACTERS,
    NEXT_STEPS,
    REASONS,
    encodable,
    fields,
    fingerprint,
    in_meta,
    read,
    record,
    words,
)
from worker.engine.meta import MetaKeepingJob
from worker.engine.records import Claim
from worker.engine.serializers import Json
from worker.engine.unpickling import AllowListedPickle

CLAIM = Claim("job-1", "w" + "0" * 31, "high", "other", {})


def raised(function: Any, *args: Any) -> BaseException:
    try:
        function(*args)
    except BaseException as error:
        return error
    raise AssertionError("it did not raise")


NOW = datetime(2026, 12, 1, 4, 30, tzinfo=UTC)


def stored_job(serializer: Any, stored: bytes) -> MetaKeepingJob:
    """A job whose hash holds this meta."""
    job = MetaKeepingJob("job-1", connection=Redis(port=1), serializer=serializer)
    job.restore({b"created_at": b"2026-11-25T04:37:30.000000Z", b"data": b"", b"meta": stored})
    return job


def written(error: BaseException | None, function: str = "tests.support.tasks.boom", **options: Any) -> dict[str, Any]:
    return record(
        "failed", CLAIM, now=NOW, attempts=2, worker="ann", release=None, function=function, error=error, **options
    )


@pytest.mark.parametrize("text", [b"[" * 200_000, b'{"a":' * 200_000, b"\xff", b"5", b"null", b"", None, "[" * 5000])
def test_what_is_no_record_of_ours_is_read_as_none(text: Any) -> None:
    assert dead_letter.read(text) == {}


def test_a_record_stays_small_whatever_names_its_job_has() -> None:
    long = "n" * 1_000_000
    stands = b"now " + json.dumps({"steps": 3, "last": long}).encode()
    claim = Claim(long, "w" + "0" * 31, long, long, {b"journal": stands, b"created_at": b"now"})
    letter = record(
        "failed",
        claim,
        now=NOW,
        attempts=2,
        worker=long,
        release=long,
        function=long,
        first_failed_at=long,
        sentence=long,
    )
    assert set(letter["queue"]) == set("n…")
    assert letter["journal"].startswith("3 steps kept")
    assert len(json.dumps(letter)) < 4_000


def test_a_record_has_all_that_an_operator_asks_for() -> None:
    error = raised(tasks.boom, "no such page")
    letter = written(error)
    assert json.loads(json.dumps(letter)) == letter
    assert {key: letter[key] for key in ("reason", "exception", "message", "function", "queue", "attempts")} == {
        "reason": "failed",
        "exception": "ValueError",
        "message": "no such page",
        "function": "tests.support.tasks.boom",
        "queue": "high",
        "attempts": 2,
    }
    assert (letter["worker"], letter["release"]) == ("ann", "")
    assert "traceback" not in letter, "the result has it"
    assert letter["at"] == "2026-12-01T04:30:00+00:00"


def test_a_sentence_stands_where_there_is_no_exception() -> None:
    letter = written(None, sentence="The job asks for os.system.")
    assert (letter["exception"], letter["message"]) == ("", "The job asks for os.system.")


def test_exceptions_are_named_with_their_module_unless_they_are_pythons_own() -> None:
    assert written(raised(tasks.give_up))["exception"] == "worker.retry.PermanentError"


def recursive(depth: int) -> None:
    if depth == 0:
        raise ValueError("deep")
    recursive(depth - 1)


def chained(length: int) -> None:
    error: Exception | None = None
    for number in range(length):
        try:
            raise ValueError(f"{number} " + "x" * 5000) from error  # noqa: TRY301
        except ValueError as caught:
            error = caught
    assert error is not None
    raise error


@pytest.mark.parametrize(
    "error",
    [
        raised(tasks.boom, "x" * 1_000_000),
        raised(tasks.boom, "line\n" * 100_000),
        raised(recursive, 500),
        raised(chained, 50),
    ],
    ids=["long message", "many lines", "deep", "chained"],
)
def test_a_record_stays_small_whatever_was_raised(error: BaseException) -> None:
    letter = written(error)
    assert len(letter["message"]) <= MESSAGE_CHARACTERS
    assert len(json.dumps(letter)) < 2_000


def test_every_reason_is_explained() -> None:
    import ast
    from pathlib import Path

    used = set()
    for path in Path(dead_letter.__file__).parents[1].rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, (ast.Name, ast.Attribute)):
                name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
                first = node.args[0] if node.args else None
                if name in ("Refused", "GiveUp", "bury") and isinstance(first, ast.Constant):
                    used.add(first.value)
    assert {"refused_class", "unknown_function", "permanent", "crashed"} <= used
    assert used <= set(REASONS)
    assert all(text and not text.endswith(".") for text in REASONS.values())


# -- history -----------------------------------------------------------------------------------------------------------


def test_a_record_remembers_the_burials_before_it() -> None:
    letter = written(raised(tasks.boom, "first"))
    for number in range(2 * HISTORY_ENTRIES):
        letter = written(raised(tasks.boom, f"{number} {'x' * 400}"), earlier=letter)
    assert [int(entry["message"].split()[0]) for entry in letter["history"]] == list(range(9, 19))
    assert set(letter["history"][0]) == {"at", "reason", "exception", "message", "attempts", "fingerprint"}
    assert len(json.dumps(letter["history"])) < 5000


@pytest.mark.parametrize("earlier", [None, {}, {"history": "spoilt"}, {"reason": 3}])
def test_an_odd_record_before_does_no_harm(earlier: Any) -> None:
    assert isinstance(written(None, earlier=earlier)["history"], list)


def test_the_first_failure_is_that_of_the_first_attempt() -> None:
    assert written(None, first_failed_at="2026-11-25T04:37:30+00:00")["first_failed_at"] == "2026-11-25T04:37:30+00:00"
    alone = written(None)
    assert alone["first_failed_at"] == alone["at"]


def test_the_bulky_part_comes_last_so_that_pages_can_leave_it_out() -> None:
    assert list(written(raised(tasks.boom)))[-1] == "history"


def test_every_next_step_belongs_to_a_reason() -> None:
    assert set(NEXT_STEPS) <= set(REASONS)


# -- fingerprints ----------------------------------------------------------------------------------------------------


def test_the_same_trouble_has_one_fingerprint_whatever_its_words() -> None:
    one = fingerprint("tests.support.tasks.boom", raised(tasks.boom, "page 1"), "failed")
    two = fingerprint("tests.support.tasks.boom", raised(tasks.boom, "page 2"), "attempts_exhausted")
    assert one == two
    assert re.fullmatch("[0-9a-f]{12}", one)


def test_a_fingerprint_survives_edits_elsewhere_in_the_file() -> None:
    found = []
    for blank_lines in (0, 40):
        space: dict[str, Any] = {}
        source = "\n" * blank_lines + "def work():\n    raise ValueError('x')\n"
        exec(compile(source, "/app/jobs/shop.py", "exec"), space)
        found.append(fingerprint("jobs.shop.work", raised(space["work"]), "failed"))
    assert found[0] == found[1]


def test_other_types_functions_and_places_have_others() -> None:
    error = raised(tasks.boom)
    base = fingerprint("tests.support.tasks.boom", error, "failed")
    assert fingerprint("tests.support.tasks.other", error, "failed") != base
    assert fingerprint("tests.support.tasks.boom", raised(tasks.give_up), "failed") != base
    assert fingerprint("tests.support.tasks.boom", raised(recursive, 0), "failed") != base


def test_the_innermost_frame_of_the_jobs_own_code_counts_not_that_of_a_library() -> None:
    deep, flat = raised(tasks.parse, "{"), raised(tasks.parse, "[1,")
    assert deep.__traceback__ is not None
    one = fingerprint("tests.support.tasks.parse", deep, "failed")
    assert one == fingerprint("tests.support.tasks.parse", flat, "failed"), "where json stumbled is its own affair"


def test_without_an_exception_the_reason_is_the_kind() -> None:
    assert fingerprint("a.b", None, "crashed") != fingerprint("a.b", None, "refused_class")
    assert fingerprint("a.b", None, "crashed") == fingerprint("a.b", None, "crashed")


def test_each_class_that_is_refused_is_a_kind_of_its_own() -> None:
    def kind(function: str, subject: str) -> str:
        return str(written(None, function, subject=subject)["fingerprint"])

    assert kind("a.b", "shop.Order") == kind("a.b", "shop.Order")
    assert len({kind("a.b", "shop.Order"), kind("a.b", "shop.Color"), kind("a.c", "shop.Order")}) == 3


# -- writing and reading -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("serializer", [Json(), AllowListedPickle(["tests"])])
def test_the_record_is_json_in_the_hash_and_part_of_the_jobs_meta(serializer: Any) -> None:
    letter = written(raised(tasks.boom))
    assert read(fields(letter)["dead_letter"]) == letter
    change = in_meta(stored_job(serializer, serializer.dumps({"colour": "green"})), letter)
    assert change is not None
    assert serializer.loads(change.written) == {"colour": "green", "dead_letter": letter}


def test_what_the_job_has_not_saved_of_its_meta_is_not_saved_for_it() -> None:
    job = stored_job(Json(), b'{"colour": "green"}')
    job.meta["colour"] = "red"
    change = in_meta(job, {})
    assert change is not None
    assert json.loads(change.written) == {"colour": "green", "dead_letter": {}}


@pytest.mark.parametrize("stored", [b"\x80whatever", b"[1]"])
def test_meta_that_cannot_be_read_is_left_alone(stored: bytes) -> None:
    assert in_meta(stored_job(Json(), stored), {}) is None
    assert in_meta(None, {}) is None


@pytest.mark.parametrize("text", [None, "", b"", "{", "[1]", '"text"', "3", b"\xff", "null"])
def test_what_is_no_record_of_ours_reads_as_nothing(text: Any) -> None:
    assert read(text) == {}


def test_texts_that_utf8_cannot_hold_are_written_out() -> None:
    assert encodable("caf\udce9") == "caf\\udce9"
    assert encodable("café") == "café"
    assert words(ValueError("caf\udce9")) == "caf\\udce9"
    assert words(tasks.Unprintable()) == "(its text cannot be shown)"
    assert pickle.loads(pickle.dumps(words(ValueError("\ud800")))) == "\\ud800"
