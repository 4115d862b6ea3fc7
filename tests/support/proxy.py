"""A TCP proxy in front of a server: slow, silent or absent, and it loses connections exactly where a test wants it."""

from __future__ import annotations

import contextlib
import random
import select
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

from tests.support.resp import NotRespError, is_push, message_end
from tests.support.server import free_port

Moment = Literal["before", "after"]

#: How soon a relay notices that the proxy's switches were thrown while nothing is sent.
LOOK_SECONDS = 0.05


@dataclass
class Loss:
    """A plan to cut the connection on which a command that contains `marker` comes by."""

    marker: bytes
    when: Moment | None  #: None = either, drawn by lot
    countdown: int = 1  #: matching commands until it comes true
    chance: float = 0.0  #: instead of a countdown: for each matching command; such a plan never ends


class Proxy:
    """Relays 127.0.0.1:`port` to the server's port.

    `lose(marker, "before")` cuts the connection on which the next command with `marker` comes, and the server never
    sees that command; "after" lets the server act and drops its reply. In both cases everything before it on that
    connection is done and answered, nothing behind it reaches the server. Commands are told apart by their framing, so
    one that comes in pieces or in a pipeline counts as what it is. Where the bytes are no RESP (TLS), nothing matches.

    `blackhole` relays nothing and closes nothing until it is false again; then what was sent meanwhile arrives.
    `delay_to_server` and `delay_to_client` are seconds; they lengthen the way, they do not narrow it.
    `seed` decides what `lose_at_random` does: the same commands in the same order meet the same fate.
    """

    def __init__(self, upstream_port: int, *, seed: int = 0) -> None:
        self.upstream_port = upstream_port
        self.lost = 0  #: how often a plan has come true
        self.blackhole = False
        self.delay_to_server = 0.0
        self.delay_to_client = 0.0
        self.port = free_port()
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._plans: list[Loss] = []
        self._relays: set[_Relay] = set()

    @property
    def url(self) -> str:
        """Return the URL of the server as seen through the proxy."""
        return f"redis://127.0.0.1:{self.port}/0"

    def lose(self, marker: str, when: Moment, *, nth: int = 1) -> None:
        """Plan one cut, at the nth matching command from now on; replaces every other plan."""
        self._replace(Loss(marker.encode(), when, countdown=nth))

    def lose_at_random(self, marker: str, chance: float) -> None:
        """Cut at each matching command with this chance, before or after it, until `lose_nothing`."""
        self._replace(Loss(marker.encode(), None, chance=chance))

    def lose_nothing(self) -> None:
        """Drop every plan."""
        self._replace()

    def cut(self) -> int:
        """Cut every connection now; returns how many there were."""
        with self._lock:
            relays = list(self._relays)
        for relay in relays:
            relay.shut()
        return len(relays)

    def forget(self, *, subscribers: bool = False) -> None:
        """Hang up on the server and tell no client, as a load balancer whose backend has gone; new ones are served.

        With `subscribers` only those who have subscribed to a channel are forgotten.
        """
        with self._lock:
            relays = [relay for relay in self._relays if relay.subscribes or not subscribers]
        for relay in relays:
            relay.forget()

    def refuse(self) -> None:
        """Refuse new connections, as a server that is down; those that exist live on."""
        # Linux: a listener that was shut down listens no more and keeps its port, if it was bound to it by number.
        self._listener.shutdown(socket.SHUT_RDWR)

    def admit(self) -> None:
        """Take new connections again."""
        self._listener.listen()
        self._listen()

    def __enter__(self) -> Self:
        self._listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.blackhole = False
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def fate(self, command: bytes) -> Moment | None:
        """Tell what happens to a command: cut before it, after it, or nothing."""
        with self._lock:
            for plan in self._plans:
                if plan.marker not in command:
                    continue
                if plan.chance:
                    when = self._random.choice(("before", "after")) if self._random.random() < plan.chance else None
                else:
                    plan.countdown -= 1
                    when = plan.when if plan.countdown == 0 else None
                if when:
                    self.lost += 1
                    return when
        return None

    def _replace(self, *plans: Loss) -> None:
        with self._lock:
            self._plans = list(plans)

    def _listen(self) -> None:
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # refusing, or closed
            while True:
                front, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(front,), daemon=True).start()

    def _serve(self, front: socket.socket) -> None:
        try:
            back = socket.create_connection(("127.0.0.1", self.upstream_port), timeout=5)
        except OSError:
            front.close()
            return
        relay = _Relay(self, front, back)
        with self._lock:
            self._relays.add(relay)
        with contextlib.suppress(OSError):  # an end is gone
            relay.run()
        with self._lock:
            self._relays.discard(relay)
        relay.close()


class _Relay:
    """One connection: what is under way in both directions, and where it ends."""

    def __init__(self, proxy: Proxy, front: socket.socket, back: socket.socket) -> None:
        self._proxy = proxy
        self._front, self._back = front, back
        for end in (front, back):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._commands, self._replies = bytearray(), bytearray()  #: received, not yet a whole message
        self._to_server: deque[tuple[float, bytes]] = deque()
        self._to_client: deque[tuple[float, bytes]] = deque()
        self._opaque = False
        self._sent = self._answered = 0  #: commands and replies
        self._fate: Moment | None = None
        self._forgotten = False
        self.subscribes = False  #: whether its client has asked for a channel

    def run(self) -> None:
        """Relay until an end closes or the connection meets its fate."""
        while not self._is_over():
            if self._proxy.blackhole:
                time.sleep(LOOK_SECONDS)
                continue
            pause = self._deliver()
            ends = [self._back] if self._fate else [self._front, self._back]
            ready, _, _ = select.select(ends, [], [], pause)
            if self._proxy.blackhole:
                continue
            if self._forgotten:
                while self._front.recv(1 << 20):
                    pass
                return
            for end in ready:
                data = end.recv(1 << 20)
                if not data:
                    self._deliver(everything=True)
                    return
                if end is self._front:
                    self._from_client(data)
                else:
                    self._from_server(data)
        self._deliver(everything=True)

    def forget(self) -> None:
        """End the connection to the server and swallow what the client sends; from any thread."""
        self._forgotten = True
        with contextlib.suppress(OSError):
            self._back.shutdown(socket.SHUT_RDWR)

    def shut(self) -> None:
        """End both connections; from any thread."""
        for end in (self._front, self._back):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give both sockets back; from the thread that relays, because the numbers are used again."""
        self.shut()
        self._front.close()
        self._back.close()

    def _is_over(self) -> bool:
        """Whether all that was to come through before the cut did."""
        return self._fate is not None and self._answered >= self._sent

    def _from_client(self, data: bytes) -> None:
        self.subscribes = self.subscribes or b"\r\nSUBSCRIBE\r\n" in data
        self._commands += data
        at = 0
        try:
            while not (self._fate or self._opaque) and (end := message_end(self._commands, at)):
                self._fate = self._proxy.fate(bytes(self._commands[at:end]))
                if self._fate != "before":
                    self._sent, at = self._sent + 1, end
        except NotRespError:
            self._opaque = True
        if self._opaque:
            at = len(self._commands)
        due = time.monotonic() + self._proxy.delay_to_server
        self._to_server.append((due, bytes(self._commands[:at])))
        del self._commands[:at]

    def _from_server(self, data: bytes) -> None:
        self._replies += data
        at = 0
        try:
            while not (self._is_over() or self._opaque) and (end := message_end(self._replies, at)):
                self._answered += not is_push(self._replies, at)
                if not (self._fate == "after" and self._is_over()):  # the last reply is the one that gets lost
                    at = end
        except NotRespError:
            self._opaque = True
        if self._opaque:
            at = len(self._replies)
        due = time.monotonic() + self._proxy.delay_to_client
        self._to_client.append((due, bytes(self._replies[:at])))
        del self._replies[:at]

    def _deliver(self, *, everything: bool = False) -> float:
        """Send what is due (`everything`: wait for what is not); return the seconds until the next look."""
        pause = LOOK_SECONDS
        for queue, end in ((self._to_server, self._back), (self._to_client, self._front)):
            while queue:
                wait = queue[0][0] - time.monotonic()
                if wait > 0 and not everything:
                    pause = min(pause, wait)
                    break
                time.sleep(max(0.0, wait))
                end.sendall(queue.popleft()[1])
        return pause
