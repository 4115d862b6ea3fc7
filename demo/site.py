"""The shopper's site on a developer's machine: pages and functions in Node, and the REST API that they ask."""

from __future__ import annotations

import hmac
import json
import os
import secrets
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from producer import ProducerError
from producer.tcp import TcpTransport
from worker.cli.local_service import ROOT, free_port
from worker.process.signals import die_with_parent

DEFAULT_SITE_PORT: Final = 8888
_SITE: Final = ROOT / "netlify" / "dev.mjs"
_CALL_SECONDS: Final = 5.0


@contextmanager
def site(redis_url: str, *, queue: str) -> Iterator[str]:
    """Serve the site; yields its address, or "" where there is no Node to run its functions."""
    node = shutil.which("node")
    if node is None or not _SITE.is_file():
        yield ""
        return
    with ExitStack() as stack:
        server, token = stack.enter_context(_rest(redis_url))
        environ = {
            **os.environ,
            "UPSTASH_REDIS_REST_URL": f"http://127.0.0.1:{server.server_port}",
            "UPSTASH_REDIS_REST_TOKEN": token,
            "WORTHIT_QUEUE": queue,
        }
        parent = os.getpid()
        process = stack.enter_context(
            subprocess.Popen(  # noqa: S603 — our own command
                [node, str(_SITE), str(free_port(DEFAULT_SITE_PORT))],
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,  # out of Ctrl-C's reach: it goes when we go
                preexec_fn=lambda: die_with_parent(parent),
            )
        )
        stack.callback(process.kill)
        threading.Thread(target=server.serve_forever, name="local-rest", daemon=True).start()
        stack.callback(server.shutdown)
        port = process.stdout.readline().strip() if process.stdout else ""
        yield f"http://127.0.0.1:{port}" if port else ""


@contextmanager
def _rest(redis_url: str) -> Iterator[tuple[ThreadingHTTPServer, str]]:
    """Yield a server of as much of Upstash's REST API as producers use, for this machine alone, and its token."""
    token = secrets.token_urlsafe(24)
    transport = TcpTransport(redis_url)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # an answer in two writes would wait 40 ms for the client's ACK

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if not hmac.compare_digest(self.headers.get("Authorization", "").encode(), f"Bearer {token}".encode()):
                self._answer(401, {"error": "WRONGPASS invalid or missing auth token"})
                return
            try:
                sent = json.loads(body)
                rows = sent if self.path == "/pipeline" else [sent]
                answers = [{"result": one} for one in transport.call(rows, _CALL_SECONDS)]
            except ProducerError as error:
                self._answer(400, {"error": f"ERR {error}"})
            except ValueError:
                self._answer(400, {"error": "ERR failed to parse command"})
            else:
                self._answer(200, answers if self.path == "/pipeline" else answers[0])

        def _answer(self, code: int, content: object) -> None:
            body = json.dumps(content).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
            """Log nothing: a line for each poll would hide the worker's."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    try:
        yield server, token
    finally:
        server.server_close()
        transport.close()
