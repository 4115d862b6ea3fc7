"""What is open is told in words, and one thing from another."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from worker.process import opened


@contextlib.contextmanager
def new() -> Iterator[list[str]]:
    """Yield a list that has, after the block, what was opened in it."""
    before, found = opened.look(), []
    yield found
    found += sorted(words for key, words in opened.look().items() if key not in before)


def test_sockets_pipes_queues_of_events_and_threads_are_told_and_files_are_not(tmp_path: Path) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, name="exporter")
    with contextlib.ExitStack() as stack:
        with new() as found:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            address = f"127.0.0.1:{listener.getsockname()[1]}"
            stack.enter_context(socket.create_connection(listener.getsockname()))
            stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            one, other = socket.socketpair()
            stack.callback(one.close)
            stack.callback(other.close)
            for end in os.pipe():
                stack.callback(os.close, end)
            stack.enter_context(contextlib.closing(select.epoll()))
            stack.enter_context((tmp_path / "file").open("w"))
            thread.start()
        stop.set()
        thread.join()
    assert found == sorted(
        [
            f"a socket that listens on {address}",
            f"a TCP connection to {address}",
            "a UDP socket",
            "a pair of sockets",
            "a pair of sockets",
            "a pipe",
            "a descriptor (eventpoll)",
            "the thread 'exporter'",
        ]
    )


def test_nothing_new_is_told_where_nothing_was_opened() -> None:
    with new() as found:
        pass
    assert found == []


def test_another_socket_with_the_same_number_is_another_one() -> None:
    first = socket.socket()
    with new() as found:
        number = first.fileno()
        first.close()
        second = socket.socket()
        assert second.fileno() == number
    second.close()
    assert found == ["a TCP socket"]
