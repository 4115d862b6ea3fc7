"""A TCP proxy in front of Redis that puts distance between client and server and counts what clients send.

Every chunk is handed on `delay` seconds after it came, in order, in both directions: a round trip takes 2 ×
`delay` longer. Chunks overlap in flight, as on a real line, and nothing limits the bandwidth. There is no
back-pressure: a side that does not read makes the proxy's buffers grow, so this is for benchmarks and tests
only.

    python -m bench.delay_proxy --upstream 6379 --delay 0.010
"""

from __future__ import annotations

import argparse
import asyncio
import threading
from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import hiredis

#: epoll sleeps whole milliseconds: handing on what is due within half of one makes the error ±0.5 ms.
SLACK = 0.0005


@dataclass
class Meter:
    """What all clients of one proxy sent so far."""

    commands: int = 0
    #: Bursts of requests that a client sent after it had read a reply; a pipeline is one burst.
    round_trips: int = 0

    def __sub__(self, earlier: Meter) -> Meter:
        return Meter(self.commands - earlier.commands, self.round_trips - earlier.round_trips)


class DelayLine:
    """One direction of a connection: bytes come out as they went in, `delay` seconds later."""

    def __init__(self, delay: float) -> None:
        self.delay = delay
        self.output: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._chunks: deque[tuple[float, bytes | None]] = deque()
        self._armed = False

    def open(self, output: asyncio.Transport) -> None:
        """Hand chunks on to `output` from now on, first those that already wait."""
        self.output = output
        self._release()

    def send(self, chunk: bytes | None) -> None:
        """Take a chunk, or None for the end of the connection."""
        self._chunks.append((self._loop.time() + self.delay, chunk))
        if not self._armed:
            self._release()

    def _release(self) -> None:
        self._armed = False
        if self.output is None:
            return
        due_until = self._loop.time() + SLACK
        while self._chunks and self._chunks[0][0] <= due_until:
            chunk = self._chunks.popleft()[1]
            if chunk is None:
                self.output.close()
            elif not self.output.is_closing():
                self.output.write(chunk)
        if self._chunks:
            self._armed = True
            self._loop.call_at(self._chunks[0][0] - SLACK, self._release)


class _Server(asyncio.Protocol):
    """The proxy's connection to Redis, on behalf of one client."""

    def __init__(self, client: _Client) -> None:
        self._client = client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._client.requests.open(transport)

    def data_received(self, data: bytes) -> None:
        self._client.answered = True
        self._client.replies.send(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._client.replies.send(None)


class _Client(asyncio.Protocol):
    """One client's connection to the proxy."""

    def __init__(self, upstream: int, delay: float, meter: Meter) -> None:
        self.requests = DelayLine(delay)
        self.replies = DelayLine(delay)
        self.answered = True  # a new client's first request begins a round trip
        self._upstream = upstream
        self._meter = meter
        self._reader = hiredis.Reader()  # a request is written like a reply: an array of strings
        self._dial: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.replies.open(transport)
        self._dial = asyncio.get_running_loop().create_task(self._connect(transport))

    async def _connect(self, transport: asyncio.Transport) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: _Server(self), "127.0.0.1", self._upstream)
        except OSError:
            transport.abort()  # the client sees what it would see without the proxy: a connection that breaks

    def data_received(self, data: bytes) -> None:
        if self.answered:
            self._meter.round_trips += 1
            self.answered = False
        self._reader.feed(data)
        while self._reader.gets() is not False:
            self._meter.commands += 1
        self.requests.send(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.requests.send(None)


class DelayProxy:
    """Run the proxy in a thread of its own for the length of a ``with`` block.

    Args:
        upstream: port of the Redis server on this machine.
        delay: seconds that a chunk spends under way, each direction; 0 only counts.
        port: where to listen; 0 takes a free port.
    """

    def __init__(self, upstream: int, delay: float, port: int = 0) -> None:
        self.meter = Meter()
        self.port = port
        self._upstream = upstream
        self._delay = delay
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="delay-proxy", daemon=True)
        self._server: asyncio.Server | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(timeout=5)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def _listen(self) -> asyncio.Server:
        def connection() -> _Client:
            return _Client(self._upstream, self._delay, self.meter)

        return await asyncio.get_running_loop().create_server(connection, "127.0.0.1", self.port)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        self._loop.close()


def main() -> None:
    """Run one proxy until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m bench.delay_proxy", description="Put distance before Redis.")
    parser.add_argument("--upstream", type=int, required=True, help="port of the Redis server")
    parser.add_argument("--delay", type=float, default=0.010, help="seconds each way")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 takes a free one")
    options = parser.parse_args()
    with DelayProxy(options.upstream, options.delay, options.port) as proxy:
        print(f"redis://127.0.0.1:{proxy.port}", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print(proxy.meter)


if __name__ == "__main__":
    main()
