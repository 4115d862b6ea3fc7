"""`python -m worker dead`: dead letters on the command line."""

from __future__ import annotations

import click

from worker.cli.common import LazyGroup

_HERE = "worker.cli.dead"


@click.group(
    cls=LazyGroup,
    lazy={
        "list": f"{_HERE}.list:list_letters",
        "groups": f"{_HERE}.groups:groups",
        "show": f"{_HERE}.show:show",
        "audit": f"{_HERE}.audit:audit",
        "replay": f"{_HERE}.replay:replay",
        "discard": f"{_HERE}.discard:discard",
        "purge": f"{_HERE}.purge:purge",
        "edit": f"{_HERE}.edit:edit",
        "export": f"{_HERE}.export:export_letters",
        "import": f"{_HERE}.importing:import_letters",
    },
)
def dead() -> None:
    """Look at dead letters, replay, edit or delete them.

    They are ordinary failed RQ jobs: `rq info` counts them and `rq requeue` replays them too.
    """
