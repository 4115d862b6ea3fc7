"""What `make run` shows of the product jobs."""

from __future__ import annotations

from contextlib import ExitStack

import demo
from jobs.products import analyze_product
from tests.support.server import RedisServer
from worker import context
from worker.context import OfflineContext


def test_the_first_analysis_is_told_in_words(server: RedisServer) -> None:
    with ExitStack() as stack:
        shown = demo.show(stack, server.url, "default", local=True)
        stack.enter_context(context.use(OfflineContext(allow_private_addresses=True)))
        lines = shown.tell(analyze_product(*shown.first.arguments))
    assert lines[0].startswith("Aurora 3 desk lamp: BUY (")
    assert any(line.startswith("  + Rated 4.7 of 5") for line in lines)


def test_a_strangers_page_cannot_write_to_the_terminal() -> None:
    hostile = "[/red] \x1b[31m \x1b]0;title\x07 end"
    lines = demo.verdict_lines({"verdict": "buy", "score": 1, "name": hostile, "reasons_for": [hostile]})
    assert "\x1b" not in "".join(lines)


def test_elsewhere_there_is_no_shop(server: RedisServer) -> None:
    with ExitStack() as stack:
        shown = demo.show(stack, server.url, "default", local=False)
    assert shown.first.arguments == ("https://shop.example/buy.html",)
