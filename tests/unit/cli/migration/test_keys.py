"""Which keys a migration carries over, and how."""

from __future__ import annotations

from worker.cli.migration.keys import Index, job_of, sort_out


def test_keys_are_sorted_into_jobs_indexes_and_others() -> None:
    found = sort_out(
        [
            *("job:a", "job:a:dependents", "job::a:dependencies", "job:b", "results:a", "executions:a"),
            *("queue:default", "queue:dead-letter", "queue:default:intermediate", "queues"),
            *("wip:default", "failed:default", "finished:default", "scheduled:default", "deferred:default"),
            *("rl-keys", "rl:shop", "rl:shop:allowed", "rl:shop:rate_limited", "groups", "group:g"),
            *("execution:a:w1", "cache:product:2:ff", "cron_jobs", "cron-runs"),
            *("worker:w", "worker:w:executions", "workers", "workers:default", "suspended", "clean_registries:default"),
            *(
                "scheduler:x",
                "scheduler-lock:default",
                "rate:ann",
                "migration:moved",
                "leader",
                "leader-token",
                "agenda",
                "autoscaler",
            ),
        ],
        "dead-letter",
    )
    assert found.job_ids == ["a", "b"]
    assert found.others == ["cache:product:2:ff", "cron-runs", "cron_jobs", "execution:a:w1", "rl:shop"]
    assert found.left == 14
    names = [index.name for index in found.indexes]
    assert names[-2:] == ["queue:default", "queue:default:intermediate"], "queues come last"
    runs = {index.name for index in found.indexes if index.runs}
    assert runs == {
        *("queue:default", "queue:default:intermediate", "wip:default", "scheduled:default", "deferred:default"),
        "rl:shop:rate_limited",
    }
    assert all(index.runs for index in found.indexes[-len(runs) :])


def test_members_name_their_jobs() -> None:
    assert job_of(Index("wip:default", "zset"), "a:w123") == "a"
    assert job_of(Index("queue:default", "list"), "a") == "a"
    assert job_of(Index("queues", "set", of_jobs=False), "rq:queue:default") == ""
