"""What the tools print where the requirements are not installed."""

from __future__ import annotations

import sys
from typing import NoReturn


def end_without(error: ModuleNotFoundError) -> NoReturn:
    """Print how to install what is missing and end with code 2; a missing module of ours is a bug and is raised."""
    if error.name is None or error.name.partition(".")[0] in ("tools", "worker"):
        raise error
    print(
        f"The package {error.name} is not installed: python -m pip install -r requirements.txt, "
        f"or use .venv/bin/python after `make test`.",
        file=sys.stderr,
    )
    sys.exit(2)
