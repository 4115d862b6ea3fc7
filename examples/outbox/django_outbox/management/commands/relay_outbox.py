"""`python manage.py relay_outbox`: send what was committed, until the process is stopped."""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import BaseCommand
from worthit_producer import Producer, ProducerError

from ...models import relay


class Command(BaseCommand):
    """Sends what stands in the outbox."""

    help = (
        "Send what was committed to the outbox. Redis is asked for by UPSTASH_REDIS_REST_URL and _TOKEN, or REDIS_URL."
    )

    def add_arguments(self, parser: Any) -> None:
        """Take --once."""
        parser.add_argument("--once", action="store_true", help="End when nothing is left.")

    def handle(self, *_: Any, **options: Any) -> None:
        """Run the relay."""
        with Producer.from_environment() as producer:
            while True:
                try:
                    dealt_with = relay(producer)
                except ProducerError as error:
                    if options["once"]:
                        raise
                    self.stderr.write(f"{error} Trying again in 5 seconds.")
                    time.sleep(5)
                    continue
                if not dealt_with and options["once"]:
                    return
                if not dealt_with:
                    time.sleep(1)
