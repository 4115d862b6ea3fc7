"""docs/troubleshooting.md says what the code says, and what was recorded."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner

from tests.support.captures import FOLDER
from tests.support.trouble_page import part
from tests.support.troubleshooting_page import CAPTURES, PAGE, PARTS, SYMPTOMS
from tools.diagnostics_command import main as diagnostics
from tools.tester_command import main as services
from worker.diagnosis.course import PRIMARY, STEPS
from worker.diagnosis.start import TIMEOUT_SECONDS
from worker.redis.troubles import TROUBLES


@pytest.mark.parametrize("name", PARTS)
def test_its_generated_parts_are_fresh(name: str) -> None:
    assert part(PAGE.read_text(), name) == PARTS[name](), "make docs"


def test_every_trouble_has_a_symptom_and_a_step_that_exists() -> None:
    assert SYMPTOMS.keys() == TROUBLES.keys()
    assert {step for _, step in SYMPTOMS.values()} <= {"", *(step.name for step in (*STEPS, PRIMARY))}


def test_its_options_exist() -> None:
    page = PAGE.read_text()
    for command, help_text in (
        (r"redis_diagnostics\.py", CliRunner().invoke(diagnostics, ["--help"]).output),
        (r"service_tester", CliRunner().invoke(services, ["--help"]).output),
    ):
        used = {option for line in re.findall(rf"{command}`?(.*)", page) for option in re.findall(r"--[a-z-]+", line)}
        assert used, command
        assert {option for option in used if option not in help_text} == set()


def test_its_codes_of_findings_exist() -> None:
    source = "".join(path.read_text() for path in (PAGE.parent.parent / "worker" / "diagnosis").rglob("*.py"))
    for code in re.findall(r"^\| [^|]+ \| `([a-z_]+)` \| [^|]+ \|$", PAGE.read_text(), flags=re.M):
        assert f'"{code}"' in source, code


def test_every_capture_ends_as_its_exit_code_says() -> None:
    codes = {step.code for step in (*STEPS, PRIMARY)}
    for name in CAPTURES:
        text = (FOLDER / f"{name}.txt").read_text()
        found = re.search(r"\[exit code (\d+)", text)
        assert found
        assert int(found[1]) in {0, 1, *codes}
        assert "***" in text or "@" not in text


def test_what_was_recorded_is_quick_on_a_good_server_and_bounded_on_a_dead_one() -> None:
    def seconds(name: str) -> float:
        found = re.search(r"\[exit code \d+, ([\d.]+) s\]", (FOLDER / f"{name}.txt").read_text())
        assert found
        return float(found[1])

    assert seconds("good") < 2
    for name in ("deleted-host", "refused", "firewall", "frozen"):
        assert seconds(name) < 2 * TIMEOUT_SECONDS < TIMEOUT_SECONDS * len(STEPS), name
