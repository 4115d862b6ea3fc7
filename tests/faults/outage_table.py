"""Do every fault, to an idle service and to a busy one, and write what was measured into docs/redis-trouble.md.

`make outages` does all; `make outages ARGS="frozen denied"` only these, and then writes nothing.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.faults.fault_table import FAULTS
from tests.faults.outages import Row, trial
from tests.support import trouble_page


def main() -> int:
    """Run the trials; returns 1 when one failed."""
    wanted = sys.argv[1:]
    rows: list[Row] = []
    failed = 0
    for fault in FAULTS:
        if wanted and fault.name not in wanted:
            continue
        for load in (False, True):
            with tempfile.TemporaryDirectory() as folder:
                try:
                    row = trial(fault, Path(folder), load=load)
                except AssertionError as error:
                    failed += 1
                    told, state = str(error).splitlines(), "busy" if load else "idle"
                    print(
                        f"FAILED {fault.name} {state}:",
                        *told[:1],
                        *told[-8:],
                        sep="\n",
                        flush=True,
                    )
                    continue
            rows.append(row)
            print(trouble_page.line(row), flush=True)
    if not wanted and not failed:
        trouble_page.write(rows)
        print(f"Written to {trouble_page.PAGE.name}.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
