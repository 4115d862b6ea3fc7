"""What is wrong with my Redis? `python tools/redis_diagnostics.py`, from a checkout with requirements.txt installed."""

from __future__ import annotations

import sys
from pathlib import Path

if __package__ in (None, ""):  # run as a file: the checkout is not on the path then
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

try:
    from tools.diagnostics_command import main
except ModuleNotFoundError as error:
    if error.name is None or error.name.partition(".")[0] in ("tools", "worker"):
        raise
    print(
        f"The package {error.name} is not installed: python -m pip install -r requirements.txt, "
        f"or use .venv/bin/python after `make test`.",
        file=sys.stderr,
    )
    sys.exit(2)

if __name__ == "__main__":
    main(prog_name="redis_diagnostics")
