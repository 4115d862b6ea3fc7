"""The storm's schedule; a service of it is told where the journal is."""

from __future__ import annotations

import os

from rq import cron

from tests.faults.storm.jobs import work

QUEUE = "default"
#: RQ's history of a line remembers its last thousand jobs: enough for storms of fifty minutes.
INTERVAL_SECONDS = 3
MINUTE_SECONDS = 60

_journal = os.environ.get("STORM_JOURNAL", os.devnull)
cron.register(work.tick, QUEUE, interval=INTERVAL_SECONDS, args=(_journal,), result_ttl=86400)
cron.register(work.tick_each_minute, QUEUE, cron="* * * * *", args=(_journal,), result_ttl=86400)
