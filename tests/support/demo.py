"""Jobs for the session that docs/dead-letters.md shows."""

from __future__ import annotations

import os
from pathlib import Path

from worker.retry import PermanentError


def fetch_price(product: int) -> float:
    """Fetch from a shop that answers while the file DEMO_SHOP exists."""
    if not Path(os.environ["DEMO_SHOP"]).exists():
        raise ConnectionError("shop.example does not answer")
    return 79.0 + product


def send_invoice(number: int) -> str:
    if number < 100:
        raise PermanentError(f"there is no invoice {number}")
    return f"invoice {number} sent"
