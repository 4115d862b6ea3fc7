"""The faults: how each begins, how it ends, and what the service calls it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import redis as redis_py

from tests.faults.outages import Fault
from tests.faults.worlds import PASSWORD, World, direct, encrypted, named, proxied
from tests.support.server import free_port
from tests.support.waiting import eventually

SILENCE: Final = ("read_timeout", "connect_timeout")


def nothing(_world: World) -> None:
    """The fault ends by itself."""


def configure(name: str, value: object) -> Callable[[World], None]:
    """Set one of the server's parameters."""

    def act(world: World) -> None:
        with world.admin() as redis:
            redis.config_set(name, value)

    return act


def execute(*words: str) -> Callable[[World], None]:
    """Send one command to the server."""

    def act(world: World) -> None:
        with world.admin() as redis:
            redis.execute_command(*words)

    return act


def kill_clients(redis: redis_py.Redis) -> None:
    """Close every other connection of the server."""
    for kind in ("normal", "pubsub"):
        redis.client_kill_filter(_type=kind, skipme=True)


def kill_all_clients(world: World) -> None:
    with world.admin() as redis:
        kill_clients(redis)


def black_out(world: World) -> None:
    world.proxy.blackhole = True


def light_up(world: World) -> None:
    world.proxy.blackhole = False


def cut(world: World) -> None:
    world.proxy.cut()


def refuse_and_cut(world: World) -> None:
    world.proxy.refuse()
    world.proxy.cut()


def become_replica(world: World) -> None:
    with world.admin() as redis:
        redis.replicaof("127.0.0.1", free_port())  # type: ignore[no-untyped-call]


def fill_up(world: World) -> None:
    redis = world.keep()
    redis.config_set("maxclients", 1)
    kill_clients(redis)


def rotate(world: World) -> None:
    redis = world.keep()
    redis.config_set("requirepass", "another")
    world.server.password = "another"
    kill_clients(redis)


def rotate_back(world: World) -> None:
    world.kept.config_set("requirepass", PASSWORD)
    world.server.password = PASSWORD


def fail_to_save(world: World) -> None:
    (world.server.directory / "dump.rdb").unlink(missing_ok=True)
    (world.server.directory / "dump.rdb").mkdir()  # where the file should go
    with world.admin() as redis:
        redis.config_set("save", "3600 1")
        redis.set("unsaved", "1")
        redis.bgsave()
        eventually(lambda: redis.info("persistence")["rdb_last_bgsave_status"] == "err")


def save_again(world: World) -> None:
    (world.server.directory / "dump.rdb").rmdir()
    with world.admin() as redis:
        redis.bgsave()
        eventually(lambda: redis.info("persistence")["rdb_last_bgsave_status"] == "ok")
        redis.config_set("save", "")


def load_for_long(world: World) -> None:
    """Let the server read a large data set: a real reload, slowed down by the server's own debugging aid."""
    redis = world.keep()
    redis.mset({f"bulk-{number}": "x" * 100 for number in range(500)})
    redis.config_set("loading-process-events-interval-bytes", 1024)
    redis.config_set("key-load-delay", 4_000_000 // redis.dbsize())  # microseconds a key: four seconds in all

    def reload() -> None:
        with suppress(redis_py.RedisError):
            redis.execute_command("DEBUG", "RELOAD")

    threading.Thread(target=reload, daemon=True).start()


def loaded(world: World) -> None:
    eventually(lambda: _answers(world), 30, what="the end of the loading")
    configure("key-load-delay", 0)(world)


def _answers(world: World) -> bool:
    with suppress(redis_py.RedisError), world.admin() as redis:
        return bool(redis.ping())
    return False


def deny_doorbell(world: World) -> None:
    """Calls that block already are not affected, so the connections are cut as well."""
    execute("ACL", "SETUSER", "default", "-blmove")(world)
    kill_all_clients(world)


def forget_name(world: World) -> None:
    world.name_is()
    kill_all_clients(world)


def move_name(world: World) -> None:
    """The name points to an address where nobody listens; what was connected is cut, as a failover does."""
    world.name_is("127.0.0.3")
    kill_all_clients(world)


def restart_keeping(world: World) -> None:
    world.server.restart(keep_data=True)


def restart_empty(world: World) -> None:
    world.server.restart(keep_data=False)


def stay_down(world: World) -> None:
    world.server.kill()


FAULTS: Final = (
    Fault(
        "stopped",
        "server killed, started again with its data",
        stay_down,
        restart_keeping,
        ("refused", "reset"),
        direct,
    ),
    Fault(
        "restarted",
        "server restarted at once, with its data",
        restart_keeping,
        nothing,
        ("refused", "reset"),
        direct,
        notices="maybe",
        keeps_data=True,
    ),
    Fault(
        "emptied",
        "server killed, started again without data",
        stay_down,
        restart_empty,
        ("refused", "reset"),
        direct,
        keeps_data=False,
    ),
    Fault(
        "refusing",
        "port closed and connections cut",
        refuse_and_cut,
        lambda world: world.proxy.admit(),
        ("refused", "reset"),
        proxied,
    ),
    Fault("cut", "every connection cut once", cut, nothing, (), proxied, notices="never"),
    Fault("killed", "CLIENT KILL of every connection", kill_all_clients, nothing, (), direct, notices="never"),
    Fault("blackhole", "host swallows everything, closes nothing", black_out, light_up, SILENCE, proxied),
    Fault(
        "frozen",
        "server frozen (SIGSTOP)",
        lambda world: world.server.freeze(),
        lambda world: world.server.thaw(),
        SILENCE,
        direct,
    ),
    Fault(
        "read_only",
        "failover: server becomes a replica, then a primary again",
        become_replica,
        execute("REPLICAOF", "NO", "ONE"),
        ("read_only",),
        direct,
        notices="busy",
    ),
    Fault(
        "max_clients",
        "no more connections (maxclients)",
        fill_up,
        lambda world: world.kept.config_set("maxclients", 10_000),
        ("max_clients",),
        direct,
    ),
    Fault("rotated", "password changed and changed back", rotate, rotate_back, ("wrong_password", "no_auth"), direct),
    Fault(
        "out_of_memory",
        "memory full (maxmemory)",
        configure("maxmemory", 1),
        configure("maxmemory", 0),
        ("out_of_memory",),
        direct,
        notices="busy",
    ),
    Fault(
        "cannot_save",
        "disk refuses the snapshot (MISCONF)",
        fail_to_save,
        save_again,
        ("cannot_save",),
        direct,
        notices="busy",
    ),
    Fault(
        "no_replicas",
        "too few replicas (min-replicas-to-write)",
        configure("min-replicas-to-write", 1),
        configure("min-replicas-to-write", 0),
        ("no_replicas",),
        direct,
        notices="busy",
    ),
    Fault("loading", "server loads a large data set", load_for_long, loaded, ("loading",), direct, notices="busy"),
    Fault(
        "denied",
        "ACL takes EVALSHA away",
        execute("ACL", "SETUSER", "default", "-evalsha"),
        execute("ACL", "SETUSER", "default", "+evalsha"),
        ("no_permission",),
        direct,
    ),
    Fault(
        "doorbell_denied",
        "ACL takes BLMOVE away",
        deny_doorbell,
        execute("ACL", "SETUSER", "default", "+blmove"),
        ("no_permission",),
        direct,
        notices="idle",
    ),
    Fault(
        "expired",
        "TLS certificate expired, then renewed",
        lambda world: world.certificate(days=-1),
        lambda world: world.certificate(),
        ("tls_certificate",),
        encrypted,
    ),
    Fault(
        "other_host",
        "TLS certificate of another host, then the right one",
        lambda world: world.certificate("other.example"),
        lambda world: world.certificate(),
        ("tls_hostname",),
        encrypted,
    ),
    Fault(
        "unresolved",
        "host name does not resolve, then does again",
        forget_name,
        lambda world: world.name_is("127.0.0.1"),
        ("dns",),
        named,
    ),
    Fault(
        "moved",
        "host name moves to another address",
        move_name,
        lambda world: world.name_is("127.0.0.2"),
        ("refused",),
        named,
    ),
)
