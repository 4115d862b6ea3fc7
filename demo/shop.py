"""A shop on this machine whose pages the jobs may read."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

PAGES: Final = Path(__file__).with_name("sample_pages")


@contextmanager
def sample_shop() -> Iterator[str]:
    """Serve the sample pages on loopback; yields the shop's URL."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 — the base class's name
            """Log nothing: the worker logs the job."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(PAGES)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
