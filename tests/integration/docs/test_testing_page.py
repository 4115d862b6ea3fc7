"""Each example of docs/testing-jobs.md passes as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.service import ROOT

PAGE = (ROOT / "docs/testing-jobs.md").read_text()


def test_its_examples_pass_in_a_project_of_their_own(tmp_path: Path) -> None:
    blocks = dict(re.findall(r"```python\n# ([\w/]+\.py)\n(.*?)```", PAGE, flags=re.S))
    assert len(blocks) == PAGE.count("```python")
    for path, text in blocks.items():
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    (tmp_path / "shop/__init__.py").touch()
    environ = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    environ.pop("PYTEST_ADDOPTS", None)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), "shop_tests"]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    wanted = sum(text.count("def test_") for text in blocks.values())
    assert f"{wanted} passed" in done.stdout
