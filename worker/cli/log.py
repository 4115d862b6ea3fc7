"""`python -m worker log`: what a job says of itself, while it runs too. Changes nothing."""

from __future__ import annotations

import sys
import time
from typing import Final

import click
from rq.defaults import RQ_KEY_PREFIX

from worker.cli.common import RedisCommand, connect, settings_or_exit
from worker.engine import job_logs
from worker.exits import Exit
from worker.job_log import JobLog
from worker.keys import Keys
from worker.text import counted, json_text, one_line

#: How often --follow looks.
LOOK_SECONDS: Final = 1.0
_ENDED: Final = ("", "finished", "failed", "stopped", "canceled")


@click.command(cls=RedisCommand)
@click.argument("job_id", metavar="JOB")
@click.option("-f", "--follow", is_flag=True, help="Go on until the job has ended.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def log(job_id: str, follow: bool, as_json: bool) -> None:
    """Show what a job has said: its moment (UTC), attempt, progress and text, the last 200 lines."""
    redis, keys = connect(settings_or_exit()), Keys(RQ_KEY_PREFIX)
    shown = 0
    while True:
        status, said = job_logs.read(redis, keys, job_id)
        if not status and not shown:
            click.echo(f"There is no job {one_line(job_id)}: it was deleted, or has expired.", err=True)
            sys.exit(Exit.FAILED)
        shown = _show(said, shown, as_json=as_json)
        if not follow or status in _ENDED:
            break
        time.sleep(LOOK_SECONDS)
    if not shown:
        click.echo(f"The job is {one_line(status)}, and has said nothing.", err=True)


def _show(said: JobLog, shown: int, *, as_json: bool) -> int:
    """Print the lines after the first `shown` ones; returns how many there were in all."""
    total = said.left_out + len(said.lines)
    first = shown if shown <= total else 0  # less than before: the job has begun anew
    missed = said.left_out - first
    if missed > 0 and not as_json:
        click.echo(f"… {counted(missed, 'line')} left out …")
    for line in said.lines[max(0, -missed) :]:
        click.echo(json_text(line._asdict(), ensure_ascii=False) if as_json else job_logs.words(line))
    sys.stdout.flush()
    return total
