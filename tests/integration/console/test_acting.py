"""Every action of the console in a real browser, by keyboard alone and without JavaScript: what Redis holds then."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass

import redis as redis_py
from playwright.sync_api import Browser, Page, expect
from rq import Queue
from rq.job import Job

from tests.support import tasks
from tests.support.browser import page, tab_to
from tests.support.console import PASSWORD, Client
from tests.support.engine import desk, register
from tests.support.letters import bury, ids, seed
from tests.support.waiting import PATIENCE_SECONDS, eventually
from tests.support.worker import consumer
from worker.console.routes import ROUTES


@dataclass
class Hands:
    """Somebody who has a keyboard only, and skips the head of each page.

    `act` presses what is called so, once Tab has come to it.
    """

    console: Client
    redis: redis_py.Redis
    opened: Page

    def go(self, path: str) -> None:
        self.opened.goto(f"{self.console.url}{path}")
        self.act("Skip to the page")

    def act(self, name: str, key: str = "Enter") -> None:
        tab_to(self.opened, name)
        self.opened.keyboard.press(key)

    def write(self, name: str, text: str) -> None:
        tab_to(self.opened, name)
        self.opened.keyboard.press("Control+A")
        self.opened.keyboard.type(text)

    def told(self, text: str) -> None:
        expect(self.opened.locator(".note")).to_contain_text(text)

    def sees(self, heading: str) -> None:
        expect(self.opened.get_by_role("heading", name=heading)).to_be_visible()

    @property
    def queue(self) -> Queue:
        return Queue("default", connection=self.redis)

    def job(self, function: Callable[..., object] = tasks.add, *args: object) -> Job:
        return self.queue.enqueue(function, *args)


def run_again(hands: Hands) -> None:
    done = hands.job(tasks.add, 1, 2)
    consumer(hands.redis).work(burst=True)
    hands.go(f"/jobs/{done.id}")
    hands.act("Run it again")
    hands.told("is on its queue again")
    assert hands.queue.job_ids == [done.id]


def cancel(hands: Hands) -> None:
    waits = hands.job(tasks.add, 1, 2)
    hands.go(f"/jobs/{waits.id}")
    hands.act("Cancel it")
    hands.told("is canceled")
    assert waits.get_status(refresh=True) == "canceled"
    assert hands.queue.job_ids == []


def stop(hands: Hands) -> None:
    register(hands.redis, "ann")
    runs = hands.job(tasks.add, 1, 2)
    desk(hands.redis, "ann", "default").settle_and_claim([], 1)
    heard = []

    def obey() -> None:
        for message in channel.listen():
            heard.append(json.loads(message["data"]))
            hands.redis.hset(f"rq:job:{runs.id}", "status", "stopped")
            return

    with hands.redis.pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe("rq:pubsub:ann")
        worker = threading.Thread(target=obey, daemon=True)
        worker.start()
        hands.go(f"/jobs/{runs.id}")
        hands.act("Stop it")
        hands.told("stopped")
        worker.join(PATIENCE_SECONDS)
    assert heard == [{"command": "stop-job", "job_id": runs.id}]


def empty(hands: Hands) -> None:
    hands.job(tasks.add, 1, 2)
    eventually(lambda: hands.console.data("/queues")["queues"][0]["waiting"] == 1, PATIENCE_SECONDS)
    hands.go("/queues")
    hands.act("Empty… default")
    hands.act("Delete the 1 job that wait", "Space")
    hands.act("Empty default")
    hands.told("1 job of the queue 'default' deleted")
    assert hands.queue.job_ids == []


def pause_and_resume(hands: Hands) -> None:
    hands.job(tasks.add, 1, 2)
    hands.go("/queues")
    hands.act("Pause… default")
    hands.write("Because", "the shop is down")
    hands.act("Pause default")
    hands.told("The queue 'default' is paused")
    expect(hands.opened.locator(".stale")).to_contain_text("the shop is down")
    assert desk(hands.redis, "ann", "default").settle_and_claim([], 1).claims == []
    hands.act("Resume")
    hands.told("goes on")
    assert hands.redis.hlen("rq:paused") == 0


def run_line_now(hands: Hands) -> None:
    line = {"name": "tick", "func_name": "tests.support.tasks.add", "args": "[1, 2]", "cron": "0 0 1 1 *"}
    hands.redis.hset("rq:cron_scheduler:worker", "cron_jobs", json.dumps([{**line, "queue_name": "default"}]))
    eventually(lambda: hands.console.data("/schedule")["lines"], PATIENCE_SECONDS)
    hands.go("/schedule")
    hands.act("Run now tick")
    hands.told("tick waits on default")
    (job_id,) = hands.queue.job_ids
    assert list(Job.fetch(job_id, connection=hands.redis).args) == [1, 2]


def replay(hands: Hands) -> None:
    seed(hands.redis, 6)
    hands.go("/dead")
    hands.act("Replay all…")
    hands.sees("6 jobs would be replayed")
    hands.write("Canaries", "2")
    hands.act("Begin the replay")
    hands.opened.wait_for_url(re.compile("/dead/runs/"))
    eventually(lambda: len(ids(hands.redis)) == 4, PATIENCE_SECONDS)
    consumer(hands.redis).work(burst=True)
    eventually(lambda: ids(hands.redis) == [], PATIENCE_SECONDS)
    run = hands.opened.url.partition("?")[0]
    eventually(lambda: hands.opened.goto(run) and "Replayed" in hands.opened.inner_text("h1"), PATIENCE_SECONDS)


def abort(hands: Hands) -> None:
    seed(hands.redis, 3)
    begun = hands.console.post("/do/dead-replay", {"all": "yes", "canary": "1"})
    eventually(lambda: len(ids(hands.redis)) == 2, PATIENCE_SECONDS)
    hands.go(begun.headers["location"].partition("?")[0])
    hands.act("Stop it")
    hands.told("What was not replayed is as it was")
    eventually(lambda: hands.opened.reload() and "Stopped by somebody" in hands.opened.inner_text("h1"))
    consumer(hands.redis).work(burst=True)
    assert ids(hands.redis) == ["letter-1", "letter-2"]


def discard(hands: Hands) -> None:
    seed(hands.redis, 2)
    hands.go("/dead")
    hands.act("Delete all…")
    hands.sees("2 jobs would be deleted")
    hands.act("Delete what matches", "Space")
    hands.act("Delete")
    hands.told("2 dead letters deleted")
    assert ids(hands.redis) == []
    assert not hands.redis.exists("rq:job:letter-0", "rq:job:letter-1")


def edit_and_undo(hands: Hands) -> None:
    dead = bury(hands.redis, tasks.boom, "the first")
    hands.go(f"/jobs/{dead.id}")
    hands.act("Edit arguments…")
    hands.sees("Edit what it calls")
    hands.write("Arguments, a JSON list", '["another"]')
    hands.act("Write it")
    hands.told("with what you wrote now")
    assert list(Job.fetch(dead.id, connection=hands.redis).args) == ["another"]
    hands.go(f"/jobs/{dead.id}?show=edit")
    hands.act("Bring its first arguments back")
    expect(hands.opened.locator(".note")).to_be_visible()
    assert list(Job.fetch(dead.id, connection=hands.redis).args) == ["the first"]


def export(hands: Hands) -> None:
    seed(hands.redis, 2)
    hands.go("/dead")
    tab_to(hands.opened, "Download as JSON Lines")
    with hands.opened.expect_download() as file:
        hands.opened.keyboard.press("Enter")
    assert len(file.value.path().read_text().splitlines()) == 2
    (written,) = hands.console.data("/dead/audit")["lines"]
    assert (written["action"], written["count"]) == ("export", 2)


#: Who adds a route that acts adds what a person does with it.
SCENES = {
    "/do/job-again": run_again,
    "/do/job-cancel": cancel,
    "/do/job-stop": stop,
    "/do/queue-empty": empty,
    "/do/pause": pause_and_resume,
    "/do/resume": pause_and_resume,
    "/do/cron-run": run_line_now,
    "/do/dead-replay": replay,
    "/do/dead-abort": abort,
    "/do/dead-discard": discard,
    "/do/dead-edit": edit_and_undo,
    "/do/dead-undo": edit_and_undo,
    "/do/dead-export": export,
}


def test_every_action_is_done_by_keyboard_alone_and_without_javascript(
    console: Client, redis: redis_py.Redis, browser: Browser
) -> None:
    assert set(SCENES) == {route.path for route in ROUTES if route.acts}
    with page(browser, javascript=False, login=("operator", PASSWORD)) as opened:
        posted: set[str] = set()
        opened.on("request", lambda request: posted.add(request.url.removeprefix(console.url)))
        for scene in dict.fromkeys(SCENES.values()):
            redis.flushdb()
            console.console.site.forget()
            scene(Hands(console, redis, opened))
        assert posted >= set(SCENES)


def test_a_replay_is_begun_by_keyboard_and_followed_while_the_page_renews_itself(
    console: Client, redis: redis_py.Redis, browser: Browser
) -> None:
    with page(browser, login=("operator", PASSWORD)) as opened:
        replay(Hands(console, redis, opened))
