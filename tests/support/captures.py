"""Record what the tools print for broken and good targets: `make captures` writes docs/captures/*.txt.

The output is real: each target is a real server or socket on this machine, the command is run as a person runs it, and
nothing is edited. The URL is shown as the command got it, without its password.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Final

from tests.support import broken
from tests.support.processes import belong_to_the_tests
from tests.support.server import RedisServer
from tests.support.service import ROOT, Service
from tests.support.waiting import eventually

FOLDER: Final = ROOT / "docs" / "captures"
DIAGNOSE: Final = ("python", "tools/redis_diagnostics.py")
Target = Callable[[], AbstractContextManager[str]]


def record(name: str, target: Target, *arguments: str, command: tuple[str, ...] = DIAGNOSE) -> None:
    """Run a command against a target and keep what it printed."""
    with target() as url:
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, *command[1:], *arguments],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "REDIS_URL": url},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        took = time.monotonic() - began
    _keep(name, url, (*command, *arguments), done.stdout + done.stderr, f"exit code {done.returncode}, {took:.2f} s")


def record_blip() -> None:
    """Watch a server that is restarted meanwhile."""
    arguments = ("--watch", "--interval", "0.2")
    with RedisServer(aof=True) as server:
        process = subprocess.Popen(
            [sys.executable, "-u", *DIAGNOSE[1:], *arguments],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "REDIS_URL": server.url},
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=belong_to_the_tests,
        )
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        server.kill()
        lines.append(process.stdout.readline())
        server.restart(keep_data=True)
        lines.append(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        lines.append(process.communicate(timeout=20)[0])
        _keep("blip", server.url, (*DIAGNOSE, *arguments), "".join(lines), f"exit code {process.returncode}")


def _keep(name: str, url: str, command: tuple[str, ...], output: str, end: str) -> None:
    shown = url.replace(broken.PASSWORD, "…")
    text = f"$ export REDIS_URL='{shown}'\n$ {' '.join(command)}\n{output.rstrip()}\n[{end}]\n"
    if broken.PASSWORD in text:
        raise RuntimeError(f"the capture {name} holds the password")
    text = text.replace(tempfile.gettempdir(), "/tmp")
    (FOLDER / f"{name}.txt").write_text(text)
    print(f"{name}: {end}")


@contextmanager
def good() -> Iterator[str]:
    with RedisServer(aof=True, password=broken.PASSWORD) as server:
        yield server.url


@contextmanager
def expired() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder, RedisServer() as server:
        authority = broken.Authority(Path(folder))
        with broken.tls_in_front_of(server.port, authority.good(days=-3.5)) as port:
            yield f"rediss://127.0.0.1:{port}?ssl_ca_certs={authority.file}"


@contextmanager
def plain_to_tls() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder, RedisServer() as server:
        with broken.tls_in_front_of(server.port, broken.Authority(Path(folder)).good()) as port:
            yield f"redis://:{broken.PASSWORD}@127.0.0.1:{port}"


@contextmanager
def wrong_password() -> Iterator[str]:
    with RedisServer(password="another one") as server:
        yield f"redis://:{broken.PASSWORD}@127.0.0.1:{server.port}"


@contextmanager
def limited_user() -> Iterator[str]:
    with RedisServer(aof=True) as server, server.client() as admin:
        rules = ("on", f">{broken.PASSWORD}", "~*", "&*", "+@all", "-@scripting", "-zadd", "-info")
        admin.execute_command("ACL", "SETUSER", "app", *rules)
        yield f"redis://app:{broken.PASSWORD}@127.0.0.1:{server.port}"


@contextmanager
def evicting() -> Iterator[str]:
    with RedisServer(aof=True, maxmemory="100mb") as server, server.client() as admin:
        admin.config_set("maxmemory-policy", "allkeys-lru")
        yield server.url


@contextmanager
def frozen() -> Iterator[str]:
    with RedisServer() as server:
        server.freeze()
        yield server.url


@contextmanager
def working() -> Iterator[str]:
    """A server with a service that runs the probe."""
    with RedisServer(aof=True) as server, server.client() as redis:
        with Service(server.url, WORKER_JOB_MODULES="jobs", WORKER_QUEUES="default"):
            eventually(lambda: redis.smembers("rq:workers:default"), 20)
            yield server.url


TARGETS: Final[dict[str, Target]] = {
    "good": good,
    "deleted-host": lambda: nullcontext(broken.unknown_name()),
    "refused": lambda: nullcontext(broken.refused()),
    "firewall": broken.blackhole,
    "frozen": frozen,
    "plain-to-tls": plain_to_tls,
    "expired-certificate": expired,
    "wrong-password": wrong_password,
    "acl": limited_user,
    "loading": broken.loading,
    "replica": broken.replica,
    "evicting": evicting,
    "full-memory": broken.full,
    "old-server": broken.old,
}


def main() -> None:
    """Record every capture."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, target in TARGETS.items():
        record(name, target)
    record_blip()
    record("service-tester", working, "--all", command=("python", "-m", "tools.service_tester"))


if __name__ == "__main__":
    main()
