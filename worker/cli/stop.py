"""`python -m worker stop`: stop a running job by its id.

Nothing of its payload is read (``engine/stopping.py``).
"""

from __future__ import annotations

import sys

import click
from rq.defaults import RQ_KEY_PREFIX

from worker.cli.common import RedisCommand, connect, settings_or_exit
from worker.engine.stopping import stopped
from worker.exits import Exit
from worker.keys import Keys
from worker.text import one_line


@click.command(cls=RedisCommand)
@click.argument("job_id", metavar="JOB")
@click.option(
    "--wait", default=15.0, show_default=True, type=click.FloatRange(min=0), help="Seconds to wait for the job's end."
)
def stop(job_id: str, wait: float) -> None:
    """Stop a running job: it ends as `stopped`, without a retry or a dead letter. Ends with 0 once it has ended."""
    redis = connect(settings_or_exit())
    ended, sentence = stopped(redis, Keys(RQ_KEY_PREFIX), job_id, wait)
    click.echo(one_line(sentence), err=not ended)
    sys.exit(Exit.OK if ended else Exit.FAILED)
