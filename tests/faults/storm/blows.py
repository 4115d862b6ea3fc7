"""The blows of a storm: one function a blow, and one table for each of its two streams.

The *kills* hit processes of the service. What hits *the server*, or the way to it, goes on beside them: it is killed
and frozen, connections are cut, and for some seconds it refuses.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rq.defaults import RQ_KEY_PREFIX

from tests.faults import fault_table
from tests.faults.storm.kinds import BULK_BYTES
from tests.faults.worlds import World
from tests.support.proxy import Proxy
from tests.support.server import RedisServer
from tests.support.service import Service
from tests.support.waiting import eventually
from worker.keys import Keys
from worker.redis import needs, scripts

MIB: Final = 1 << 20
QUERY_BUFFER_BYTES: Final = 1 << 30
#: The services' user, who may do what the worker needs and nothing else.
USER, PASSWORD = "worker", "a-password"
RULES: Final = ("on", f">{PASSWORD}", *needs.acl_rules(Keys(RQ_KEY_PREFIX)))
#: How long the server refuses.
REFUSAL_SECONDS: Final = (2.0, 5.0)


@contextlib.contextmanager
def stormy(_folder: Path) -> Iterator[World]:
    """A server that keeps what it has acknowledged, whose rules a restart brings back, behind a proxy."""
    arguments = ("--user", USER, *RULES, "--proto-max-bulk-len", str(BULK_BYTES))
    with RedisServer(aof=True, arguments=arguments) as server, Proxy(server.port) as proxy:
        world = World(server, proxy.url.replace("redis://", f"redis://{USER}:{PASSWORD}@"), _proxy=proxy)
        try:
            yield world
        finally:
            world.close()


@dataclass
class Target:
    """What blows hit. `start` gives a new instance; `killed` says when which process was killed (Unix time)."""

    world: World
    services: list[Service]
    start: Callable[[], Service]
    random: random.Random
    killed: dict[int, float] = field(default_factory=dict)

    def child(self, role: str) -> int:
        """Return any child of that role."""
        pids = eventually(lambda: [pid for service in self.services for pid in service.children(role)], what=role)
        return self.random.choice(pids)

    def signal(self, pid: int, number: signal.Signals) -> None:
        """Send a signal to a process that may have ended just now."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    def kill(self, *pids: int) -> None:
        """SIGKILL processes."""
        for pid in pids:
            self.killed[pid] = time.time()
            self.signal(pid, signal.SIGKILL)


Blow = Callable[[Target], None]


# -- kills -------------------------------------------------------------------------------------------------------------


def kill_consumer(target: Target) -> None:
    target.kill(target.child("consumer"))


def kill_dispatcher(target: Target) -> None:
    target.kill(target.child("dispatcher"))


def kill_supervisor(target: Target) -> None:
    """Its children must end by themselves."""
    service = target.random.choice(target.services)
    target.killed |= dict.fromkeys(service.pids(), time.time())
    target.kill(service.pid)
    eventually(lambda: not service.pids(), what="the end of a dead supervisor's children")
    _replace(target, service)


def kill_tree(target: Target) -> None:
    """SIGKILL a whole instance and start another in its place."""
    service = target.random.choice(target.services)
    target.kill(*service.pids())
    service.kill_tree()
    _replace(target, service)


def freeze_consumer(target: Target) -> None:
    """Stop one consumer for a second."""
    victim = target.child("consumer")
    target.signal(victim, signal.SIGSTOP)
    time.sleep(1)
    target.signal(victim, signal.SIGCONT)


def _replace(target: Target, service: Service) -> None:
    service.wait()
    target.services[target.services.index(service)] = target.start()


# -- the server and the way to it --------------------------------------------------------------------------------------


def kill_server(target: Target) -> None:
    """Kill the server and start it again on its append-only file."""
    target.world.server.kill()
    time.sleep(target.random.uniform(0, 1))
    target.world.server.restart(keep_data=True)


def freeze_server(target: Target) -> None:
    """Stop the server for longer than anybody waits for an answer: it will read what was sent and given up."""
    target.world.server.freeze()
    time.sleep(target.random.uniform(5.5, 7.5))
    target.world.server.thaw()


def cut_everything(target: Target) -> None:
    fault_table.cut(target.world)


def black_hole(target: Target) -> None:
    """Relay nothing for a while; then what was sent meanwhile arrives."""
    _hold(target, fault_table.black_out, fault_table.light_up)


def lose_before(target: Target) -> None:
    """Cut one script call before the server sees it."""
    target.world.proxy.lose(_script(target), "before")


def lose_after(target: Target) -> None:
    """Cut one script call after the server acted, before the client knows."""
    target.world.proxy.lose(_script(target), "after")


def pause_clients(target: Target) -> None:
    with target.world.admin() as redis:
        redis.client_pause(round(target.random.uniform(*REFUSAL_SECONDS) * 1000))
    time.sleep(REFUSAL_SECONDS[1])


def _script(target: Target) -> str:
    return target.random.choice([scripts.CLAIM, scripts.SETTLE, scripts.SETTLE, scripts.RETRY, scripts.BURY]).sha


# -- refusals ----------------------------------------------------------------------------------------------------------


def refuse_command(target: Target) -> None:
    """Take one command away that the worker needs."""
    need = target.random.choice(needs.all_needs()).lower()
    _hold(target, fault_table.execute("ACL", "SETUSER", USER, f"-{need}"), _permit)


def refuse_all_writes(target: Target) -> None:
    _hold(target, fault_table.execute("ACL", "SETUSER", USER, "-@write"), _permit)


def _permit(world: World) -> None:
    fault_table.execute("ACL", "SETUSER", USER, *RULES)(world)


def fill_memory(target: Target) -> None:
    _hold(target, fault_table.configure("maxmemory", 1), fault_table.configure("maxmemory", 0))


def lower_value_limit(target: Target) -> None:
    name = "proto-max-bulk-len"
    _hold(target, fault_table.configure(name, MIB), fault_table.configure(name, BULK_BYTES))


def lower_request_limit(target: Target) -> None:
    """The server hangs up on whoever sends more."""
    name = "client-query-buffer-limit"
    _hold(target, fault_table.configure(name, MIB), fault_table.configure(name, QUERY_BUFFER_BYTES))


def be_replica(target: Target) -> None:
    """Nothing is lost by that, because the primary that it is told does not exist."""
    _hold(target, fault_table.become_replica, fault_table.execute("REPLICAOF", "NO", "ONE"))


def miss_replicas(target: Target) -> None:
    name = "min-replicas-to-write"
    _hold(target, fault_table.configure(name, 1), fault_table.configure(name, 0))


def fail_to_save(target: Target) -> None:
    _hold(target, fault_table.fail_to_save, fault_table.save_again)


def admit_nobody(target: Target) -> None:
    _hold(target, fault_table.fill_up, lambda world: world.kept.config_set("maxclients", 10_000))


def _hold(target: Target, begin: Callable[[World], object], end: Callable[[World], object]) -> None:
    begin(target.world)
    time.sleep(target.random.uniform(*REFUSAL_SECONDS))
    end(target.world)


#: Each blow as often as its weight. A name that begins with "kill" counts as a kill.
ON_PROCESSES: Final[dict[Blow, int]] = {
    kill_consumer: 12,
    kill_dispatcher: 3,
    kill_tree: 2,
    kill_supervisor: 1,
    freeze_consumer: 2,
}
ON_SERVER: Final[dict[Blow, int]] = {
    cut_everything: 4,
    lose_before: 4,
    lose_after: 8,
    kill_server: 4,
    freeze_server: 1,
    black_hole: 1,
    pause_clients: 1,
    refuse_command: 6,
    refuse_all_writes: 2,
    fill_memory: 3,
    lower_value_limit: 2,
    lower_request_limit: 2,
    be_replica: 2,
    miss_replicas: 1,
    fail_to_save: 1,
    admit_nobody: 1,
}
#: Blows under which the server takes less than it says otherwise.
LOWERING_LIMITS: Final = (lower_value_limit.__name__, lower_request_limit.__name__)
