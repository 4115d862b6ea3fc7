"""The shop's sample pages."""

from __future__ import annotations

from demo.shop import PAGES
from tests.support.shop import Answer, page


def sample(name: str) -> Answer:
    """Answer with the sample page `name`, e.g. ``buy.html``."""
    return page((PAGES / name).read_bytes())
