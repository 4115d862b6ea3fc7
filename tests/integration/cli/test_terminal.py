"""What people read: one line a row, short ids that commands take, a screen that is watched."""

from __future__ import annotations

import pytest
import redis as redis_py
from rich.cells import cell_len
from rq import Queue

from tests.support import tasks
from tests.support.commands import run
from tests.support.screen import Terminal
from tests.support.server import RedisServer
from tests.support.waiting import eventually
from tests.support.worker import consumer


@pytest.fixture
def ids(redis: redis_py.Redis) -> list[str]:
    """Three dead letters with long texts, and a job that waits."""
    queue = Queue("default", connection=redis)
    jobs = [queue.enqueue(tasks.boom, f"no price on https://shop.example/{'page' * 20}/{n} 価格なし") for n in range(3)]
    consumer(redis).work(burst=True)
    queue.enqueue(tasks.add, 1, 2)
    return [job.id for job in jobs]


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("command", ["dead list", "dead groups", "dead audit", "status"])
def test_no_row_takes_two_lines(server: RedisServer, ids: list[str], command: str, columns: int) -> None:
    done = run("dead", "discard", ids[2], "--yes", url=server.url)
    assert done.returncode == 0, done.stderr
    with Terminal(server.url, *command.split(), columns=columns, rows=60) as terminal:
        assert terminal.wait() == 0
        assert all(cell_len(line) <= columns for line in terminal.lines)
        if command == "dead list":
            assert [line.split()[0] for line in terminal.lines[1:3]] == [ids[1][:8], ids[0][:8]]
            assert terminal.lines[1].endswith("…")


def test_short_ids_are_taken_by_the_commands(server: RedisServer, ids: list[str]) -> None:
    short = ids[0][:8]
    assert ids[0] in run("dead", "show", short, url=server.url).stdout
    assert run("dead", "edit", short, "--args", '["x"]', url=server.url).returncode == 0
    assert len(run("dead", "export", short, url=server.url).stdout.splitlines()) == 1
    assert ids[0] in run("dead", "list", short, "--json", url=server.url).stdout
    assert "1 replayed" in run("dead", "replay", short, url=server.url).stdout
    assert run("dead", "discard", ids[1][:8], "--yes", url=server.url).returncode == 0
    gone = run("dead", "show", short, url=server.url)
    assert gone.returncode == 1
    assert short in gone.stderr


def test_a_short_id_of_several_letters_is_refused_in_words(server: RedisServer, redis: redis_py.Redis) -> None:
    queue = Queue("default", connection=redis)
    for end in ("1", "2"):
        queue.enqueue(tasks.boom, job_id=f"price-{end}")
    consumer(redis).work(burst=True)
    done = run("dead", "discard", "price-", "--yes", url=server.url)
    assert done.returncode == 2
    assert "price- stands for 2 dead letters (price-2, price-1 …)" in done.stderr
    assert "price-1" in run("dead", "show", "price-1", url=server.url).stdout, "an id that is there stands for itself"


def test_watching_leaves_the_terminal_as_it_was_and_ends_well(server: RedisServer, ids: list[str]) -> None:
    with Terminal(server.url, "status", "--watch", "0.2", columns=80, rows=9) as terminal:
        terminal.wait_for("no consumer reads it")
        terminal.wait_for("more lines")
        assert terminal.interrupt() == 0
        assert terminal.written.startswith("\x1b[?1049h")
        assert terminal.written.endswith("\x1b[?1049l")
        frames = terminal.written.split("\x1b[H")[1:]
        assert max(frame.count("\n") for frame in frames) < 9


def test_watching_shows_what_it_last_saw_while_redis_is_away(own_server: RedisServer) -> None:
    with Terminal(own_server.url, "status", "--watch", "0.2", rows=40) as terminal:
        terminal.wait_for("queue")
        own_server.kill()
        terminal.wait_for("! Redis: ")
        terminal.wait_for("As it was")
        own_server.restart(keep_data=True)
        eventually(lambda: "waiting" in terminal.frame() and "As it was" not in terminal.frame())
        assert terminal.interrupt() == 0


def test_attention_comes_first(server: RedisServer, ids: list[str]) -> None:
    lines = run("status", url=server.url).stdout.splitlines()
    assert lines[0].startswith("! ")
    assert lines.index("") < next(at for at, line in enumerate(lines) if line.startswith("queue"))
