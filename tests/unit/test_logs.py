"""Lines: what they hold, what they never hold, and that they never end a worker."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest
import structlog

from tests.support.service import ROOT
from worker import logs


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root, level = logging.getLogger().handlers[:], logging.getLogger().level
    yield
    logging.getLogger().handlers[:] = root
    logging.getLogger().setLevel(level)
    structlog.contextvars.clear_contextvars()


def lines(out: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


@pytest.fixture
def out() -> io.StringIO:
    stream = io.StringIO()
    logs.configure("INFO", "json", stream=stream)
    return stream


def test_a_line_has_level_time_event_fields_and_context(out: io.StringIO) -> None:
    structlog.contextvars.bind_contextvars(job_id="j1")
    logs.get_logger().info("job.finished", seconds=0.1)
    (line,) = lines(out)
    assert (line["level"], line["event"], line["seconds"], line["job_id"]) == ("info", "job.finished", 0.1, "j1")
    assert str(line["timestamp"]).endswith("+00:00")


def test_lines_below_the_level_are_not_written(out: io.StringIO) -> None:
    logs.get_logger().debug("job.started")
    assert out.getvalue() == ""


def test_an_exception_is_text_in_a_field_of_its_own(out: io.StringIO) -> None:
    try:
        raise ValueError("no price")  # noqa: TRY301 — the traceback is what is tested
    except ValueError as error:
        logs.get_logger().error("job.buried", exc_info=error)
    (line,) = lines(out)
    assert "ValueError: no price" in str(line["exception"])


def test_passwords_in_urls_are_cut_out(out: io.StringIO) -> None:
    logs.get_logger().warning("redis.odd", url="rediss://default:hunter2@host:1/0", text="see redis://:p@ss@h, twice")
    logging.getLogger("library").warning("cannot reach %s", "redis://u:hunter2@host")
    assert "hunter2" not in out.getvalue()
    assert "p@ss" not in out.getvalue()
    assert "host:1/0" in out.getvalue()


def test_the_standard_librarys_loggers_flow_through_and_rqs_chatter_does_not(out: io.StringIO) -> None:
    logging.getLogger("library").warning("hello %s", "there")
    logging.getLogger("rq.worker").info("Worker x: cleaning registries")
    logging.getLogger("rq.worker").error("it matters")
    told = lines(out)
    assert [line["event"] for line in told] == ["hello there", "it matters"]
    assert told[0]["logger"] == "library"


def test_a_value_that_json_does_not_know_is_shown_all_the_same(out: io.StringIO) -> None:
    logs.get_logger().info("job.odd", value={1, 2}, raw=b"x")
    assert lines(out)[0]["raw"] == "b'x'"


URL = "rediss://default:hunter2@host:1/0"


@pytest.mark.parametrize(
    "value",
    [
        "redis://default:hunter2/more@host:1/0",
        {"urls": [URL]},
        {URL: 1},
        [(URL,)],
        {URL},
        ValueError(f"cannot reach {URL}"),
        URL.encode(),
    ],
    ids=["unescaped", "dict", "key", "tuple", "set", "exception", "bytes"],
)
@pytest.mark.parametrize("style", ["json", "console"])
def test_passwords_in_urls_are_cut_out_of_whatever_holds_them(value: object, style: str) -> None:
    stream = io.StringIO()
    logs.configure("INFO", style, stream=stream)
    logs.get_logger().info("redis.odd", value=value)
    assert "hunter2" not in stream.getvalue()
    assert "host:1" in stream.getvalue()


@pytest.mark.parametrize("style", ["json", "console"])
def test_passwords_in_urls_are_cut_out_of_tracebacks(style: str) -> None:
    stream = io.StringIO()
    logs.configure("INFO", style, stream=stream)
    try:
        raise ValueError(f"cannot reach {URL}")  # noqa: TRY301 — the traceback is what is tested
    except ValueError:
        logs.get_logger().exception("job.odd")
    assert "ValueError: cannot reach" in stream.getvalue()
    assert "hunter2" not in stream.getvalue()


def test_the_address_of_a_product_is_left_as_it_is(out: io.StringIO) -> None:
    logs.get_logger().info("job.started", url="https://shop.example/@brand/item")
    assert lines(out)[0]["url"] == "https://shop.example/@brand/item"


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def test_no_value_makes_logging_raise(out: io.StringIO) -> None:
    endless: list[object] = []
    endless.append(endless)
    for value in (Unprintable(), {(1, 2): 3}, endless, {"deep": Unprintable()}):
        logs.get_logger().info("job.odd", value=value)
    assert len(lines(out)) == 4
    assert lines(out)[0]["value"] == "<Unprintable whose repr raises RuntimeError>"


class Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def test_a_full_disk_drops_the_line_and_counts_it() -> None:
    logs.configure("INFO", "json", stream=Full())
    before = logs.dropped
    logs.get_logger().info("job.finished")
    assert logs.dropped == before + 1


def test_the_log_does_without_rich_and_leaves_it_to_commands() -> None:
    code = "import sys; from worker import logs; assert 'rich' not in sys.modules; import rich.table"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_a_closed_pipe_does_not_end_the_process() -> None:
    code = (
        "import sys; from worker import logs; logs.configure('INFO', 'json'); log = logs.get_logger()\n"
        "[log.info('x', text='y' * 1000) for _ in range(1000)]\n"
        "sys.stderr.write(f'dropped {logs.dropped > 0}'); sys.stderr.flush()\n"
        "import os; os._exit(0)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.wait(60) == 0
    assert "dropped True" in process.stderr.read()
    process.stderr.close()


def test_the_console_shows_no_local_variables() -> None:
    stream = io.StringIO()
    logs.configure("INFO", "console", stream=stream)
    card = "4111" * 4
    try:
        raise ValueError(len(card))  # noqa: TRY301 — the traceback is what is tested
    except ValueError as error:
        logs.get_logger().error("job.buried", exc_info=error)
    assert "ValueError: 16" in stream.getvalue()
    assert card not in stream.getvalue()


def test_the_console_is_for_people() -> None:
    stream = io.StringIO()
    logs.configure("INFO", "console", stream=stream)
    logs.get_logger().info("job.finished", seconds=0.1)
    assert "job.finished" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


class Odd:
    def __repr__(self) -> str:
        raise RuntimeError("no words")

    __str__ = __repr__


def test_every_line_is_json_that_any_reader_takes(out: io.StringIO) -> None:
    nan, inf = float("nan"), float("inf")
    logs.get_logger().info(
        "job.spoke", a=nan, b=[inf, {"c": -inf}], d=10**5000, e=[10**5000], f={Odd(): 1}, g=Odd(), h=2**63
    )

    def refuse(name: str) -> None:
        raise AssertionError(name)

    (line,) = [json.loads(text, parse_constant=refuse) for text in out.getvalue().splitlines()]
    assert (line["a"], line["b"]) == (None, [None, {"c": None}])
    described = "<a whole number of 16610 bits>"
    assert (line["d"], line["e"], line["h"]) == (described, [described], 2**63)
    assert "raises RuntimeError" in line["f"]
    assert "raises RuntimeError" in line["g"]


def test_half_characters_lose_no_line() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="utf-8", write_through=True)
    logs.configure("INFO", "json", stream=stream)
    before = logs.dropped
    logs.get_logger().info("job.failed", error="no such file: caf\udce9 – ä")
    (line,) = raw.getvalue().decode().splitlines()
    assert json.loads(line)["error"] == "no such file: caf\udce9 – ä"
    assert logs.dropped == before


def test_a_line_holds_nothing_that_a_terminal_obeys_or_hides(out: io.StringIO) -> None:
    evil = "a\x1b[2J\x7f\x9b31m\u202e\u2066\u200b\u2028\ufeff\U000e0041ü€😀"
    logs.get_logger().info("x", text=evil)
    line = out.getvalue().rstrip("\n")
    assert json.loads(line)["text"] == evil
    assert "ü€😀" in line, "what people read stays readable"
    assert line.isprintable()


HUGE = 20_000_000
SOME_KB = 40_000


class Wordy:
    def __repr__(self) -> str:
        return "w" * HUGE


@pytest.mark.parametrize("style", ["json", "console"])
@pytest.mark.parametrize(
    "fields",
    [
        {"event": "x" * HUGE},
        {"value": "x" * HUGE},
        {"value": "\0" * HUGE},
        {"value": b"x" * HUGE},
        {"value": Wordy()},
        {"value": ["x" * 3000] * 3000},
        {"value": {str(number): "x" for number in range(100_000)}},
        {"value": [[["x" * 50] * 90] * 90]},
        {"x" * HUGE: 1},
        {f"field_{number}": "x" * 3000 for number in range(500)},
    ],
    ids=["event", "text", "control", "bytes", "repr", "list", "dict", "nested", "name", "fields"],
)
def test_a_line_is_some_kilobytes_at_most_and_says_what_is_left_out(style: str, fields: dict[str, object]) -> None:
    stream = io.StringIO()
    logs.configure("INFO", style, stream=stream)
    logs.get_logger().warning(**{"event": "job.odd", **fields})  # type: ignore[arg-type]
    assert len(stream.getvalue()) < SOME_KB
    if style == "json":
        (line,) = lines(stream)
        assert line["level"] == "warning"
        assert line["event"]
        assert "left out" in stream.getvalue() or "more …" in stream.getvalue() or "line_characters" in line


@pytest.mark.parametrize("style", ["json", "console"])
def test_lines_of_libraries_and_tracebacks_are_bounded_too(style: str) -> None:
    stream = io.StringIO()
    logs.configure("INFO", style, stream=stream)
    logging.getLogger("rq.worker").error("Worker %s: job %s", "w", "x" * HUGE)
    try:
        raise ValueError("x" * HUGE)  # noqa: TRY301 — the traceback is what is tested
    except ValueError:
        logging.getLogger("library").exception("it failed")
        logs.get_logger().exception("job.odd")
    assert len(stream.getvalue()) < 3 * SOME_KB
    assert "ValueError: xxx" in stream.getvalue()


def test_the_beginning_and_the_end_of_a_long_text_are_kept(out: io.StringIO) -> None:
    logs.get_logger().info("job.odd", text="begin" + "x" * HUGE + "end")
    text = str(lines(out)[0]["text"])
    assert text.startswith("begin")
    assert text.endswith("end")
    assert "characters left out" in text


@pytest.mark.parametrize("at", range(-30, 30))
def test_half_a_secret_where_a_text_was_cut_is_not_shown(out: io.StringIO, at: int) -> None:
    secret = "hunter2" * 4
    url = f"redis://default:{secret}@host/0"
    for place in (2000 + at, 100_000 - 2000 + at):
        text = "x" * (place - 20) + " " + url + " "
        logs.get_logger().info("job.odd", text=text.ljust(100_000, "x"))
    assert "hunt" not in out.getvalue()
    assert "ter2" not in out.getvalue()


def test_a_record_whose_text_cannot_be_put_together_is_a_line_all_the_same(out: io.StringIO) -> None:
    (handler,) = (one for one in logging.getLogger().handlers if type(one).__module__ == logs.__name__)
    handler.handle(logging.LogRecord("library", logging.WARNING, "shop.py", 7, "%d", ("x" * HUGE,), None))
    (line,) = lines(out)
    assert (line["event"], line["level"], line["unreadable"]) == ("shop.py:7", "warning", "TypeError")


def test_on_a_terminal_a_value_obeys_nobody() -> None:
    out = io.StringIO()
    logs.configure("INFO", "console", stream=out)
    evil = "a\x1b[2J\x07\r\u202eb"
    logs.get_logger().info("job.failed", error=evil, more=[evil], held={evil: evil})
    assert out.getvalue().rstrip("\n").isprintable(), ascii(out.getvalue())
