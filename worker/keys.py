"""The names of everything that RQ and this service keep in Redis: the one place that spells a key.

The scripts spell the same keys in Lua and list them in ``redis/scripts/_common.lua``. ``tests/unit/test_keys.py`` holds
that list against this module, and this module against RQ's own code.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

#: The name under which RQ's tools show our cron schedule.
SCHEDULER_NAME: Final = "worker"
#: How the queue begins on which jobs of a paused function wait.
PARKED_QUEUE: Final = "paused:"


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys under RQ's prefix. Each says its type in Redis."""

    prefix: str

    # -- RQ's ------------------------------------------------------------------------------------------------------

    @property
    def queues(self) -> str:
        """Set: the keys of every queue that was ever used."""
        return f"{self.prefix}:queues"

    @property
    def all_workers(self) -> str:
        """Set: the keys of the living workers."""
        return f"{self.prefix}:workers"

    @property
    def suspended(self) -> str:
        """String: there while `rq suspend` holds."""
        return f"{self.prefix}:suspended"

    def queue(self, name: str) -> str:
        """List: the ids that wait on a queue, the next one first."""
        return f"{self.prefix}:queue:{name}"

    def workers(self, queue: str) -> str:
        """Set: the keys of the living workers that read a queue."""
        return f"{self.prefix}:workers:{queue}"

    def worker(self, name: str) -> str:
        """Hash: one worker's record."""
        return f"{self.prefix}:worker:{name}"

    def worker_executions(self, name: str) -> str:
        """Set: what a worker has claimed, as `job:execution`."""
        return f"{self.prefix}:worker:{name}:executions"

    def job(self, job_id: str) -> str:
        """Hash: one job."""
        return f"{self.prefix}:job:{job_id}"

    def results(self, job_id: str) -> str:
        """Stream: the results of a job, the newest last."""
        return f"{self.prefix}:results:{job_id}"

    def executions(self, job_id: str) -> str:
        """Sorted set: the executions of a job."""
        return f"{self.prefix}:executions:{job_id}"

    def execution(self, job_id: str, execution_id: str) -> str:
        """Hash: one execution of a job."""
        return f"{self.prefix}:execution:{job_id}:{execution_id}"

    def dependents(self, job_id: str) -> str:
        """Set: the ids of the jobs that wait for this one."""
        return f"{self.prefix}:job:{job_id}:dependents"

    def dependencies(self, job_id: str) -> str:
        """Set: the ids of the jobs that this one waits for. RQ writes two colons."""
        return f"{self.prefix}:job::{job_id}:dependencies"

    def registry(self, kind: str, queue: str) -> str:
        """Sorted set: RQ's registry of a `kind` (wip, finished, failed, scheduled, deferred, canceled) of a queue."""
        return f"{self.prefix}:{kind}:{queue}"

    def cron_scheduler(self, name: str) -> str:
        """Hash: what RQ's tools show of a cron scheduler."""
        return f"{self.prefix}:cron_scheduler:{name}"

    def cron_history(self, name: str) -> str:
        """Sorted set: the ids of the last jobs of a line of the schedule, by the moment of their enqueuing."""
        return f"{self.prefix}:cron_job:{name}:jobs"

    def channel(self, name: str) -> str:
        """Pub/sub channel of the commands to one worker."""
        return f"{self.prefix}:pubsub:{name}"

    # -- ours ------------------------------------------------------------------------------------------------------

    @property
    def leader(self) -> str:
        """Hash: which instance leads, until when."""
        return f"{self.prefix}:leader"

    @property
    def cron_runs(self) -> str:
        """Hash: when each entry of the schedule was enqueued last."""
        return f"{self.prefix}:cron-runs"

    @property
    def audit(self) -> str:
        """Stream: who changed which dead letters."""
        return f"{self.prefix}:dead-letter:audit"

    @property
    def autoscaler(self) -> str:
        """Hash: what the autoscaler did last."""
        return f"{self.prefix}:autoscaler"

    @property
    def autoscaler_lock(self) -> str:
        """String: held by the monitor that scales."""
        return f"{self.prefix}:autoscaler-lock"

    @property
    def paused(self) -> str:
        """Hash: what `pause` has paused, `<function> <queue>` → its end and who, when and why."""
        return f"{self.prefix}:paused"

    @property
    def parked(self) -> str:
        """Set: `<function> <queue>` of each list of jobs that were put aside because of a pause."""
        return f"{self.prefix}:parked"

    @property
    def resumed(self) -> str:
        """List: there for seconds after the end of a pause."""
        return f"{self.prefix}:resumed"

    def look(self, queues: Iterable[str]) -> str:
        """String: who looks for scheduled jobs for all that read the same queues, where commands are billed."""
        return f"{self.prefix}:look:{','.join(queues)}"

    def parked_queue(self, function: str, queue: str) -> str:
        """List: the jobs of a paused function of one queue, the next one first. RQ's tools show it as a queue."""
        return self.queue(f"{PARKED_QUEUE}{queue}:{function}")

    def journal(self, job_id: str) -> str:
        """Hash: what a job's steps have returned, and where its cursors stand (``worker/journal.py``)."""
        return f"{self.prefix}:journal:{job_id}"

    def log(self, job_id: str) -> str:
        """List: the last lines that a job has said, and its progress (``worker/job_log.py``)."""
        return f"{self.prefix}:log:{job_id}"

    def history(self, period: int, number: int) -> str:
        """Hash: what each function did in the `number`th `period` (seconds) since 1970 (``worker/tallies.py``)."""
        return f"{self.prefix}:history:{period}:{number}"

    @property
    def releases(self) -> str:
        """Hash: when each release of the worker was first and last seen."""
        return f"{self.prefix}:history:releases"

    def cache(self, key: str) -> str:
        """String: what a job has cached."""
        return f"{self.prefix}:cache:{key}"

    def migration(self, name: str) -> str:
        """Hash or sorted set: what `migrate` has carried already."""
        return f"{self.prefix}:migration:{name}"

    def named(self, name: str) -> str:
        """Any key, or a pattern of keys, by its name without the prefix."""
        return f"{self.prefix}:{name}"

    def diagnosis(self, token: str, name: str) -> str:
        """Of any type: what one diagnosis tries commands on, for seconds."""
        return f"{self.prefix}:diagnosis:{token}:{name}"
