from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from worker.console.shelf import MOST_KEPT, REST_SECONDS, Seen, Shelf
from worker.redis.troubles import trouble


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def counting(values: list[object]) -> Callable[[], object]:
    """Return each of `values` in turn, raising those that are errors."""

    def read() -> object:
        value = values.pop(0)
        if isinstance(value, Exception):
            raise value
        return value

    return read


def test_it_is_read_again_only_when_it_is_old_or_something_has_changed(clock: Clock) -> None:
    shelf, read = Shelf(clock), counting([1, 2, 3])
    assert shelf.look("a", read, fresh=5) == Seen(1, 0.0)
    clock.now += 4
    assert shelf.look("a", read, fresh=5) == Seen(1, 4.0)
    clock.now += 1
    assert shelf.look("a", read, fresh=5) == Seen(2, 0.0)
    shelf.forget()
    assert shelf.look("a", read, fresh=5) == Seen(3, 0.0)


def test_what_was_read_last_is_shown_with_its_age_and_the_reason_while_redis_is_away(clock: Clock) -> None:
    shelf, read = Shelf(clock), counting([1, trouble("refused"), trouble("refused"), 2])
    shelf.look("a", read, fresh=5)
    clock.now += 60
    seen = shelf.look("a", read, fresh=5)
    assert (seen.value, seen.age) == (1, 60.0)
    assert seen.trouble.startswith("The Redis host refuses the connection.")
    assert shelf.look("a", read, fresh=5).value == 1, "and not asked again at once"
    assert shelf.look("b", counting([]), fresh=5).trouble.startswith("The Redis host refuses"), "nor for something else"
    clock.now += REST_SECONDS
    assert shelf.look("a", read, fresh=5).value == 1
    clock.now += REST_SECONDS
    assert shelf.look("a", read, fresh=5) == Seen(2, 0.0)


def test_a_refusal_of_one_reading_is_none_of_the_others(clock: Clock) -> None:
    shelf = Shelf(clock)
    assert shelf.look("a", counting([trouble("no_permission")]), fresh=5).trouble
    assert shelf.look("b", counting([7]), fresh=5) == Seen(7, 0.0)


def test_who_comes_while_another_one_reads_gets_what_there_is(clock: Clock) -> None:
    shelf = Shelf(clock)
    shelf.look("a", lambda: 1, fresh=5)
    clock.now += 9
    began, go = threading.Event(), threading.Event()

    def slow() -> int:
        began.set()
        assert go.wait(30)
        return 2

    reader = threading.Thread(target=shelf.look, args=("a", slow), kwargs={"fresh": 5})
    reader.start()
    assert began.wait(30)
    assert shelf.look("a", counting([]), fresh=5).value == 1
    go.set()
    reader.join()
    assert shelf.look("a", counting([]), fresh=5).value == 2


def test_it_forgets_what_was_looked_at_longest_ago(clock: Clock) -> None:
    shelf = Shelf(clock)
    for key in range(MOST_KEPT + 1):
        shelf.look(key, lambda: "first", fresh=5)
    assert shelf.known(0) is None
    assert shelf.known(1) == "first"


def test_a_bug_is_not_taken_for_trouble(clock: Clock) -> None:
    with pytest.raises(ZeroDivisionError):
        Shelf(clock).look("a", counting([ZeroDivisionError()]), fresh=5)
