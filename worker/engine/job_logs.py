"""Read what a job has said (``worker/job_log.py``)."""

from __future__ import annotations

from datetime import UTC, datetime

from redis import Redis

from worker.job_log import MOST_LINES, JobLog, LogLine, parsed
from worker.keys import Keys
from worker.text import printable, text_of


def read(redis: Redis, keys: Keys, job_id: str) -> tuple[str, JobLog]:
    """Return a job's status ("" when it is gone) and its log, as of one moment. Raises `RedisTrouble`."""
    job, log = (key.encode(errors="surrogateescape") for key in (keys.job(job_id), keys.log(job_id)))
    with redis.pipeline(transaction=True) as pipeline:
        pipeline.hmget(job, "status", "created_at")
        pipeline.lrange(log, 0, MOST_LINES)
        (status, created_at), entries = pipeline.execute()
    return text_of(status), parsed(entries, created_at or b"")


def words(line: LogLine) -> str:
    """Return a line as people read it."""
    at = datetime.fromtimestamp(line.at, UTC).isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00")
    percent = "" if line.percent is None else f"{line.percent} %"
    return f"{at}  {line.attempt:>2}  {percent:>5}  {printable(line.text)}".rstrip()
