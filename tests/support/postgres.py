"""A real PostgreSQL of Debian's, on a socket in a directory of its own, gone with the tests."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.support.processes import belong_to_the_tests
from tests.support.waiting import eventually

_PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
#: Nothing here must survive a crash of the machine.
_FAST = ("-c", "listen_addresses=", "-c", "fsync=off", "-c", "full_page_writes=off", "-c", "synchronous_commit=off")


@contextmanager
def postgres() -> Iterator[str]:
    """Start a server; yields the directory of its socket, which is psycopg's ``host``. Its user is ``postgres``.

    Without one a developer's test is skipped; CI, which installs it, fails.
    """
    if not _PROGRAMS:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(
            "There is no PostgreSQL here: apt-get install postgresql"
        )
    folder = tempfile.mkdtemp(prefix="worker-test-postgres-")
    user = None
    if os.geteuid() == 0:  # it refuses to run as root
        user = pwd.getpwnam("postgres").pw_uid
        os.chown(folder, user, -1)
    data = f"{folder}/data"
    initdb = [str(_PROGRAMS[-1] / "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "--no-sync"]
    server = None
    try:
        subprocess.run(initdb, user=user, cwd=folder, capture_output=True, check=True)
        server = subprocess.Popen(
            [str(_PROGRAMS[-1] / "postgres"), "-D", data, "-k", folder, *_FAST],
            user=user,
            cwd=folder,
            stderr=subprocess.DEVNULL,
            preexec_fn=None if user is not None else belong_to_the_tests,
        )
        eventually(lambda: _answers(folder), what="PostgreSQL")
        yield folder
    finally:
        if server is not None:
            server.terminate()
            server.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


def _answers(folder: str) -> bool:
    try:
        psycopg.connect(host=folder, user="postgres", dbname="postgres").close()
    except psycopg.OperationalError:
        return False
    return True
