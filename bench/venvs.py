"""One virtual environment per peer, so that requirements never meet: built on first use, then offline."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

from bench.peers import Peer

BENCH = Path(__file__).parent
VENVS = BENCH / ".venvs"


class EnvironmentBuildError(Exception):
    """A peer's environment could not be built; the message ends with pip's last words."""


def python_of(peer: Peer) -> Path:
    """Return the interpreter that `peer` runs in, building its environment when it is missing or outdated.

    An environment is current when it was completely built by this Python from these very requirements.

    Raises:
        EnvironmentBuildError: pip could not install the requirements.
    """
    if peer.environment is None:
        return Path(sys.executable)
    requirements = BENCH / "peers" / f"{peer.environment}.txt"
    home = VENVS / peer.environment
    python = home / "bin" / "python"
    built = home / "built-from"
    wanted = f"{sys.version}\n{requirements.read_text()}"
    if not (built.exists() and built.read_text() == wanted):
        _build(home, python, requirements)
        built.write_text(wanted)
    return python


def _build(home: Path, python: Path, requirements: Path) -> None:
    print(f"building bench/.venvs/{home.name} from bench/peers/{requirements.name}", file=sys.stderr, flush=True)
    shutil.rmtree(home, ignore_errors=True)
    venv.create(home, with_pip=False, symlinks=True)
    # --python: this interpreter's pip fills the other environment, which then needs no pip of its own.
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps"]
    result = subprocess.run([*pip, "-r", str(requirements)], check=False, capture_output=True, text=True)
    if result.returncode:
        words = result.stderr.strip().splitlines() or ["pip said nothing"]
        raise EnvironmentBuildError(f"{requirements.name} could not be installed: {words[-1]}")
