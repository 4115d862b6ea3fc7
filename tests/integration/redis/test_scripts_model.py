"""The scripts against a model, by several workers at once, some of them taken for dead while they live.

After each step every job is in exactly the place where the model has it, queues are in the model's order, and not one
execution key is left over or missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from typing import Any

import hypothesis.strategies as st
import redis as redis_py
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from rq import Queue
from rq.job import Job
from rq.registry import FailedJobRegistry, StartedJobRegistry

from tests.support import tasks
from tests.support.engine import LETTERS, QUEUES, buried, desk, finished, register, replay, retried
from tests.support.server import RedisServer
from worker.dispatcher.scheduled_jobs import move_due
from worker.engine.claims import Claims
from worker.engine.leases import LEASE_SECONDS, heartbeat, orphans
from worker.engine.records import Buried, Claim, Finished, LeftBehind, Outcome

WORKERS = ("ann", "bob", "carl")
#: Rounds until all has happened often enough: hypothesis draws otherwise when other modules have been imported.
MOST_ROUNDS = 20
#: The same examples each time. Shrinking one that fails takes minutes: add `Phase.shrink` to see the shortest.
PROFILE = settings(
    phases=[Phase.generate],
    max_examples=25,
    stateful_step_count=50,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


#: How often each must have happened, or the examples prove nothing.
LEAST = {"claimed": 400, "ended": 100, "stale": 40, "rescued": 100, "running": 20, "replayed": 10}
LEAST |= {"suspect": 5, "canceled": 3}


@dataclass
class ModelJob:
    """`place` is queue, wip, scheduled, finished, failed, canceled or gone; "running" canceled jobs are in `owned`."""

    origin: str
    place: str = "queue"
    suspect: bool = False
    letter: bool = False  #: the hash has the field `dead_letter`
    handbacks: int = 0
    hash: bool = True


@dataclass
class ModelWorker:
    claims: Claims
    generation: int = 0
    hands: list[Claim] = field(default_factory=list)  #: what the worker believes to hold, lost claims included
    registered: bool = True
    succeeded: int = 0
    failed: int = 0


class ScriptsMachine(RuleBasedStateMachine):
    """`server` and `redis` are class attributes, set by the test."""

    server: RedisServer
    redis: redis_py.Redis
    covered: Counter[str]

    def __init__(self) -> None:
        super().__init__()
        self.server.flush()
        self.jobs: dict[str, ModelJob] = {}
        self.queues: dict[str, list[str]] = {name: [] for name in (*QUEUES, LETTERS)}
        self.scheduled: dict[str, list[str]] = {name: [] for name in QUEUES}
        self.owned: dict[str, tuple[str, str]] = {}  #: execution → worker, job
        self.notes: dict[
            str, tuple[str, str]
        ] = {}  #: the same for lost claims that their worker does not know to be lost
        self.workers = {name: ModelWorker(self._claims(name, 0)) for name in WORKERS}
        for name in WORKERS:
            register(self.redis, name)

    @initialize()
    def some_work(self) -> None:
        for queue in QUEUES:
            self.enqueue(queue, False, 4)

    # -- producers, users and RQ's tools ---------------------------------------------------------------------------

    @rule(queue=st.sampled_from(QUEUES), at_front=st.booleans(), count=st.integers(1, 4))
    def enqueue(self, queue: str, at_front: bool, count: int) -> None:
        for _ in range(count):
            job_id = f"job-{len(self.jobs)}"
            Queue(queue, connection=self.redis).enqueue(tasks.add, 1, 1, job_id=job_id, at_front=at_front)
            self.jobs[job_id] = ModelJob(queue)
            self.queues[queue].insert(0 if at_front else len(self.queues[queue]), job_id)

    @precondition(lambda self: self._in("queue", "wip", "scheduled"))
    @rule(data=st.data())
    def somebody_meddles(self, data: st.DataObject) -> None:
        """A waiting job's ttl passes, a waiting or running one is canceled, a running or scheduled one is deleted."""
        job_id = data.draw(st.sampled_from(self._in("wip") or self._in("queue", "scheduled")))
        job = self.jobs[job_id]
        if job.place == "queue" and data.draw(st.booleans()):
            self.redis.delete(f"rq:job:{job_id}")
            job.hash, job.place = False, "gone"
        elif job.place != "scheduled" and data.draw(st.integers(0, 3)):
            Job.fetch(job_id, connection=self.redis).cancel()
            self._off_queues(job_id)
            job.place = "canceled"
        elif job.place != "queue":
            Job.fetch(job_id, connection=self.redis).delete()
            self._disown(job_id)
            self.scheduled = {name: [i for i in ids if i != job_id] for name, ids in self.scheduled.items()}
            job.hash, job.place = False, "gone"

    @precondition(lambda self: self._in("failed"))
    @rule(data=st.data(), by_rq=st.booleans())
    def somebody_replays_a_dead_letter(self, data: st.DataObject, by_rq: bool) -> None:
        job_id = data.draw(st.sampled_from(self._in("failed")))
        job = self.jobs[job_id]
        if by_rq:  # the letter stays until the job is claimed
            FailedJobRegistry(job.origin, connection=self.redis).requeue(job_id)
        else:
            assert replay(self.workers["ann"].claims, job_id)
            self.queues[LETTERS] = [i for i in self.queues[LETTERS] if i != job_id]
        job.place = "queue"
        self.queues[job.origin].append(job_id)

    @precondition(lambda self: self._in("wip"))
    @rule(queue=st.sampled_from(QUEUES))
    def rqs_cleaning_takes_the_claims_of_a_queue_for_abandoned(self, queue: str) -> None:
        """`rq info` after a silence longer than the lease. The workers' own notes stay until they speak again."""
        StartedJobRegistry(queue, connection=self.redis).cleanup(timestamp=self.redis.time()[0] + LEASE_SECONDS + 1)
        for execution, (_, job_id) in list(self.owned.items()):
            job = self.jobs[job_id]
            if job.origin == queue and job.place == "wip":
                self.notes[execution] = self.owned.pop(execution)
                job.place = "failed"

    # -- workers ---------------------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(WORKERS), want=st.sampled_from([3, 5, 1]), company=st.booleans(), lost=st.booleans())
    def claim(self, name: str, want: int, company: bool, lost: bool) -> None:
        self._exchange(name, [], want, company=company, lost=lost and company)

    @precondition(lambda self: self._busy())
    @rule(data=st.data(), want=st.integers(0, 5))
    def settle(self, data: st.DataObject, want: int) -> None:
        """Settle some of what is in hand, lost claims too."""
        name = data.draw(st.sampled_from(self._busy()))
        outcomes = self._outcomes(data, name)
        claim = outcomes[0].claim
        if data.draw(st.booleans()):
            ours = claim.execution_id in self.owned and self.jobs[claim.job_id].place == "wip"
            assert self.workers[name].claims.extend(claim) == ours
            self.notes.pop(claim.execution_id, None)
        self._exchange(name, outcomes, want)

    settle_more = settle

    @precondition(lambda self: self._busy())
    @rule(data=st.data(), want=st.integers(0, 5))
    def settle_and_lose_the_reply(self, data: st.DataObject, want: int) -> None:
        name = data.draw(st.sampled_from(self._busy()))
        self._exchange(name, self._outcomes(data, name), want, lost=True)

    @precondition(lambda self: self._busy())
    @rule(data=st.data())
    def settle_while_queues_are_suspended(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self._busy()))
        self.redis.set("rq:suspended", 1)
        self._exchange(name, self._outcomes(data, name), 3, suspended=True)
        self.redis.delete("rq:suspended")

    claim_more = claim

    def _exchange(
        self,
        name: str,
        outcomes: list[Outcome],
        want: int,
        *,
        company: bool = False,
        suspended: bool = False,
        lost: bool = False,
    ) -> None:
        worker = self.workers[name]
        ending = [outcome.claim for outcome in outcomes]
        exchange = worker.claims.settle_and_claim(outcomes, want, others_running=company)
        fenced = [outcome.claim.execution_id for outcome in self._in_order(outcomes) if not self._ends(name, outcome)]
        expected = self._claim(0 if suspended else want, company)
        assert sorted(exchange.fenced) == sorted(fenced)
        assert exchange.unsettled == []
        assert exchange.suspended == (suspended and want > 0)
        assert exchange.registered == worker.registered
        assert [(claim.job_id, claim.queue) for claim in exchange.claims] == expected
        for claim in exchange.claims:
            self.owned[claim.execution_id] = (name, claim.job_id)
        worker.hands = [claim for claim in worker.hands if claim not in ending]
        if lost:  # all is sent again, and what was claimed is recovered
            again = worker.claims.settle_and_claim(outcomes, 0)
            assert sorted(again.fenced) == sorted(outcome.claim.execution_id for outcome in outcomes)
            self._recover(name, "", [claim.execution_id for claim in worker.hands])
        else:
            worker.hands += exchange.claims

    @precondition(lambda self: self._busy())
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self._busy()))
        worker = self.workers[name]
        claims = self._some(data, worker.hands)
        interrupted = frozenset(claim.execution_id for claim in self._some(data, claims))
        lost = worker.claims.release(claims, interrupted=interrupted)
        expected = []
        for claim in reversed(claims):
            job = self.jobs[claim.job_id]
            mine = self._take(claim.execution_id)
            if not mine or job.place == "canceled":
                expected.append(claim.job_id)
                continue
            self._put_back(claim.job_id, claim.queue)
            job.handbacks += claim.execution_id in interrupted
        assert lost == expected
        worker.hands = [claim for claim in worker.hands if claim not in claims]

    @rule(name=st.sampled_from(WORKERS))
    def a_workers_record_expires_and_it_registers_again(self, name: str) -> None:
        """Between the two it counts as dead, if it holds anything; a heartbeat is enough to be alive."""
        self.redis.delete(f"rq:worker:{name}")
        holders = {worker for worker, job_id in self.owned.values() if self.jobs[job_id].place == "wip"}
        claims = self.workers["ann"].claims
        assert orphans(claims, QUEUES).dead == ([name] if name in holders else [])
        assert heartbeat(claims, WORKERS) == [name]
        assert orphans(claims, QUEUES).dead == []
        register(self.redis, name)
        self.workers[name].succeeded = self.workers[name].failed = 0

    # -- death, real or supposed -----------------------------------------------------------------------------------

    @precondition(lambda self: self.owned)
    @rule(data=st.data(), seen=st.sampled_from(["nobody", "one", "none"]))
    def a_worker_is_taken_for_dead(self, data: st.DataObject, seen: str) -> None:
        """It lives on with claims that it has lost, and will send their outcomes."""
        holders = Counter(worker for worker, _ in self.owned.values())
        name = data.draw(st.sampled_from([worker for worker, _ in holders.most_common()]))
        running = "?" if seen == "nobody" else ""
        if seen == "one" and self.workers[name].hands:
            running = data.draw(st.sampled_from(self.workers[name].hands)).execution_id
        left = self._rescue(name, running, [], lambda: desk(self.redis, name).rescue(running))
        self._hand_on(data, name, left)

    a_worker_is_taken_for_dead_again = a_worker_is_taken_for_dead

    @precondition(lambda self: self._busy())
    @rule(data=st.data())
    def a_worker_dies_and_its_successor_recovers(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self._busy()))
        worker = self.workers[name]
        running = data.draw(st.sampled_from([*worker.hands, None]))
        worker.generation += 1
        predecessor = worker.claims
        worker.claims, worker.hands = self._claims(name, worker.generation), []
        self._hand_on(data, name, self._recover(name, running.execution_id if running else "", []))
        self._arrives_late(predecessor)

    @precondition(lambda self: self._in("scheduled"))
    @rule()
    def scheduled_jobs_fall_due(self) -> None:
        for name, ids in self.scheduled.items():
            for at, job_id in enumerate(ids):
                self.redis.zadd(f"rq:scheduled:{name}", {job_id: 1000 + at}, xx=True)
        due = sum(len(ids) for ids in self.scheduled.values())
        assert move_due(self.workers["ann"].claims, QUEUES)[0] == due
        for name, ids in self.scheduled.items():
            self.queues[name] += ids
            for job_id in ids:
                self.jobs[job_id].place = "queue"
            ids.clear()

    # -- what must hold --------------------------------------------------------------------------------------------

    @invariant()
    def everything_is_where_the_model_has_it(self) -> None:
        read = self.redis.pipeline()
        for name in self.queues:
            read.lrange(f"rq:queue:{name}", 0, -1)
        for kind in ("wip", "scheduled", "finished", "failed"):
            for name in QUEUES:
                read.zrange(f"rq:{kind}:{name}", 0, -1)
        for job_id in self.jobs:
            read.hmget(f"rq:job:{job_id}", "status", "suspect", "handbacks")
        replies = read.execute()
        lists = dict(zip(self.queues, replies, strict=False))
        assert {name: [i.decode() for i in ids] for name, ids in lists.items()} == self.queues
        places: dict[str, list[str]] = {}
        for at, kind in enumerate(("wip", "scheduled", "finished", "failed")):
            first = len(self.queues) + 2 * at
            places[kind] = sorted(member.decode() for ids in replies[first : first + 2] for member in ids)
        owners = {f"{job_id}:{execution}": worker for execution, (worker, job_id) in self.owned.items()}
        claimed = {member for member in owners if self.jobs[member.partition(":")[0]].place == "wip"}
        assert places["wip"] == sorted(claimed)
        for kind in ("scheduled", "finished", "failed"):
            assert places[kind] == sorted(self._in(kind)), kind
        statuses = {"queue": "queued", "wip": "started"}
        for (job_id, job), row in zip(self.jobs.items(), replies[len(self.queues) + 8 :], strict=True):
            status, suspect, handbacks = row
            assert (status or b"gone").decode() == statuses.get(job.place, job.place), job_id
            if job.hash and job.place in ("queue", "wip"):
                assert (bool(suspect), int(handbacks or 0)) == (job.suspect, job.handbacks), job_id
        self._no_orphans(owners)

    @invariant()
    def every_job_is_in_one_place(self) -> None:
        found = Counter(job_id for name in QUEUES for job_id in self.queues[name] if self.jobs[job_id].hash)
        found += Counter(job_id for _, job_id in self.owned.values() if self.jobs[job_id].place == "wip")
        for place in ("scheduled", "finished", "failed", "canceled", "gone"):
            found += Counter(self._in(place))
        assert found == Counter(dict.fromkeys(self.jobs, 1))
        letters = [
            i for i in self.queues[LETTERS] if self.jobs[i].place == "failed"
        ]  # others: replayed with RQ's tools
        assert sorted(letters) == sorted(i for i in self._in("failed") if self.jobs[i].letter), "one step, one thing"

    @invariant()
    def outcomes_are_counted_once(self) -> None:
        for name, worker in self.workers.items():
            counts = self.redis.hmget(f"rq:worker:{name}", "successful_job_count", "failed_job_count")
            assert [int(count or 0) for count in counts] == [worker.succeeded, worker.failed], name

    def _no_orphans(self, owners: dict[str, str]) -> None:
        owners = {**owners, **{f"{job_id}:{execution}": worker for execution, (worker, job_id) in self.notes.items()}}
        records = {key.decode().removeprefix("rq:execution:") for key in self.redis.keys("rq:execution:*")}
        assert records == set(owners)
        listed = {key.decode().removeprefix("rq:executions:") for key in self.redis.keys("rq:executions:*")}
        assert {job_id for _, job_id in self.owned.values()} <= listed <= {m.partition(":")[0] for m in owners}
        for name in WORKERS:
            members = {member.decode() for member in self.redis.smembers(f"rq:worker:{name}:executions")}
            assert members == {member for member, worker in owners.items() if worker == name}

    # -- the model -------------------------------------------------------------------------------------------------

    def _claims(self, name: str, generation: int) -> Claims:
        claims = desk(self.redis, name)
        claims.fence = f"w{WORKERS.index(name)}{generation:014x}{0:08x}"
        return claims

    def _in(self, *places: str) -> list[str]:
        return [job_id for job_id, job in self.jobs.items() if job.place in places]

    def _busy(self) -> list[str]:
        return [name for name, worker in self.workers.items() if worker.hands]

    def _take(self, execution: str) -> bool:
        """Give up a claim; a lost one is forgotten with that."""
        self.notes.pop(execution, None)
        return self.owned.pop(execution, None) is not None

    def _outcomes(self, data: st.DataObject, name: str) -> list[Outcome]:
        hands = self.workers[name].hands
        return [self._outcome(data, claim) for claim in self._some(data, hands) or hands[:1]]

    def _some(self, data: st.DataObject, claims: list[Claim]) -> list[Claim]:
        """Some of them, in their order."""
        return [claim for claim in claims if data.draw(st.booleans())]

    def _outcome(self, data: st.DataObject, claim: Claim) -> Outcome:
        kind = data.draw(st.sampled_from(["finished", "dropped", "front", "back", "delayed", "buried"]))
        if kind in ("finished", "dropped"):
            return finished(claim, result_ttl=0 if kind == "dropped" else 500)
        if kind == "buried":
            return buried(claim)
        return retried(claim, at_front=kind == "front", delay=60 if kind == "delayed" else 0)

    def _in_order(self, outcomes: list[Outcome]) -> list[Outcome]:
        """Those that returned go last, in the call that claims."""
        return sorted(outcomes, key=lambda outcome: isinstance(outcome, Finished))

    def _ends(self, name: str, outcome: Outcome) -> bool:
        """Apply an outcome; False when it is fenced."""
        claim = outcome.claim
        job, worker = self.jobs[claim.job_id], self.workers[name]
        owned = self._take(claim.execution_id)
        self.covered["stale" if not owned else "canceled" if job.place == "canceled" else "ended"] += 1
        if not owned or job.place == "canceled":
            return False
        if isinstance(outcome, Finished):
            worker.succeeded += 1
            job.place = "finished" if outcome.result_ttl else "gone"
            job.hash = bool(outcome.result_ttl)
            return True
        worker.failed += 1
        job.suspect = False
        if isinstance(outcome, Buried):
            job.place, job.letter = "failed", True
            self.queues[LETTERS].append(claim.job_id)
        elif outcome.delay:
            job.place = "scheduled"
            self.scheduled[job.origin].append(claim.job_id)
        else:
            job.place = "queue"
            self.queues[job.origin].insert(0 if outcome.at_front else len(self.queues[job.origin]), claim.job_id)
        return True

    def _claim(self, want: int, company: bool) -> list[tuple[str, str]]:
        taken: list[tuple[str, str]] = []
        for name in QUEUES:
            while self.queues[name] and len(taken) < want:
                job_id = self.queues[name][0]
                job = self.jobs[job_id]
                if job.hash and job.suspect and (taken or company):
                    return taken
                self.queues[name].pop(0)
                if not job.hash:
                    continue
                taken.append((job_id, name))
                job.place = "wip"
                self.covered["claimed"] += 1
                if job.letter:
                    self.covered["replayed"] += 1
                    job.letter, job.handbacks = False, 0
                    self.queues[LETTERS] = [i for i in self.queues[LETTERS] if i != job_id]
                if job.suspect:
                    self.covered["suspect"] += 1
                    return taken
        return taken

    def _recover(self, name: str, running: str, keep: list[str]) -> list[Claim]:
        """A worker asks what it holds without knowing it; whatever it had sent before then comes too late."""
        claims = self.workers[name].claims
        late = copy(claims)
        left = self._rescue(name, running, keep, lambda: claims.recover(running, keep))
        self._arrives_late(late)
        return left

    def _arrives_late(self, claims: Claims) -> None:
        exchange = claims.settle_and_claim([], 2)
        assert (exchange.claims, exchange.registered) == ([], False)

    def _rescue(self, name: str, running: str, keep: list[str], rescue: Callable[[], LeftBehind]) -> list[Claim]:
        """LeftBehind what `name` holds, on the server and in the model; returns the claims whose code ran."""
        holding = sorted(
            execution for execution, (worker, _) in self.owned.items() if worker == name and execution not in keep
        )
        live = [execution for execution in holding if self.jobs[self.owned[execution][1]].place == "wip"]
        left = rescue()
        ran = [execution for execution in live if execution == running or (running == "?" and len(live) == 1)]
        assert [claim.execution_id for claim in left.running] == ran
        assert left.released == len(live) - len(ran)
        self.covered["rescued"] += left.released
        self.covered["running"] += len(ran)
        self.notes = {
            execution: owner for execution, owner in self.notes.items() if owner[0] != name or execution in keep
        }
        for execution in reversed([execution for execution in holding if execution not in ran]):
            _, job_id = self.owned.pop(execution)
            job = self.jobs[job_id]
            if job.place == "wip":
                self._put_back(job_id, job.origin)
                job.suspect = job.suspect or running == "?"
        return left.running

    def _hand_on(self, data: st.DataObject, name: str, running: list[Claim]) -> None:
        """The rescuer hands the running job on, buries it, or dies before it does."""
        for claim in running:
            what = data.draw(st.sampled_from(["front", "buried", "nothing"]))
            if what != "nothing":
                outcome: Outcome = retried(claim, at_front=True, crashes=1) if what == "front" else buried(claim)
                dead = desk(self.redis, name)
                assert dead.settle_and_claim([outcome], 0).fenced == []
                assert self._ends(name, outcome)

    def _put_back(self, job_id: str, queue: str) -> None:
        self.jobs[job_id].place = "queue"
        self.queues[queue].insert(0, job_id)

    def _off_queues(self, job_id: str) -> None:
        for name in QUEUES:
            self.queues[name] = [i for i in self.queues[name] if i != job_id]

    def _disown(self, job_id: str) -> None:
        self.owned = {execution: owner for execution, owner in self.owned.items() if owner[1] != job_id}
        self.notes = {execution: owner for execution, owner in self.notes.items() if owner[1] != job_id}


def test_the_scripts_do_what_the_model_says(server: RedisServer, redis: redis_py.Redis) -> None:
    covered: Counter[str] = Counter()
    machine: Any = type("Machine", (ScriptsMachine,), {"server": server, "redis": redis, "covered": covered})
    for number in range(MOST_ROUNDS):
        run_state_machine_as_test(seed(number)(machine), settings=PROFILE)
        if all(covered[what] >= least for what, least in LEAST.items()):
            break
    for what, least in LEAST.items():
        assert covered[what] >= least, f"the examples hardly reach {what}: {dict(covered)}"
