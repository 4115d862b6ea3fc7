"""Do the services around the worker work? `python -m tools.service_tester --all`."""

from __future__ import annotations

import sys
from pathlib import Path

if __package__ in (None, ""):  # run as a file: the checkout is not on the path then
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

try:
    from tools.tester_command import main
except ModuleNotFoundError as error:
    from tools.installed import end_without

    end_without(error)

if __name__ == "__main__":
    main(prog_name="python -m tools.service_tester")
