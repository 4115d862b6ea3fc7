"""A console in this process, on a real port, and a client that behaves like a browser when it is asked to."""

from __future__ import annotations

import base64
import http.client
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from worker.console.app import Console
from worker.health import server
from worker.health.server import Pages
from worker.health.verdict import ProbeStatus, Verdict
from worker.settings.load import load

PASSWORD, VIEW_PASSWORD = "only-for-operators", "only-for-looking"
USERS = {"operator": PASSWORD, "viewer": VIEW_PASSWORD}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: str

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Asks one console. `user` logs in; posts come from the console's own pages unless `headers` say otherwise."""

    def __init__(self, port: int, console: Console) -> None:
        self.port = port
        self.console = console
        self.url = f"http://127.0.0.1:{port}"

    def get(self, path: str, user: str = "operator", **headers: str) -> Answer:
        return self.ask("GET", path, user, **headers)

    def data(self, path: str, user: str = "operator") -> Any:
        answer = self.ask("GET", path, user, Accept="application/json")
        assert answer.status == 200, answer
        return answer.json

    def post(self, path: str, fields: Mapping[str, str], user: str = "operator", **headers: str) -> Answer:
        headers = {"Sec-Fetch-Site": "same-origin", **headers}
        return self.ask("POST", path, user, urlencode(fields), **headers)

    def ask(self, method: str, path: str, user: str = "", body: str | None = None, **headers: str) -> Answer:
        if user:
            login = base64.b64encode(f"{user}:{USERS.get(user, 'wrong')}".encode()).decode()
            headers.setdefault("Authorization", f"Basic {login}")
        if body is not None:
            headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
        headers.setdefault("Accept", "text/html")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            sent = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, sent, answer.read().decode())
        finally:
            connection.close()


@contextmanager
def serving(redis_url: str, **environ: str) -> Iterator[Client]:
    """Serve a console that both users may open, unless `environ` says otherwise."""
    defaults = {"MONITOR_PASSWORD": PASSWORD, "MONITOR_VIEW_PASSWORD": VIEW_PASSWORD, "MONITOR_INTERVAL": "0.5"}
    settings = load({"REDIS_URL": redis_url, "WORKER_JOB_MODULES": "tests.support.tasks", **defaults, **environ})
    console = Console(settings)
    pages = Pages({"/livez": lambda: Verdict(True, ProbeStatus.OK, "")}, dict, lambda *_: ("", b""), None, console)
    listener, over = server.listen("127.0.0.1", 0), threading.Event()
    port = listener.getsockname()[1]
    thread = threading.Thread(target=server.serve, args=(pages, listener, over.is_set))
    thread.start()
    try:
        yield Client(port, console)
    finally:
        over.set()
        thread.join()
        console.close()
