"""The folders of the tests are named as what they test, so that the README's rule leads from a module to its tests."""

from __future__ import annotations

from tests.support.service import ROOT

LEVELS = ("unit", "integration", "faults")
#: What is tested besides `worker/`; the last two are no packages: how it is deployed, and what the docs say.
OTHERS = {"jobs", "jobs/reading", "producer", "netlify", "tools", "deploy", "docs"}


def test_each_folder_of_tests_is_named_as_a_package() -> None:
    folders = {
        path.parent.relative_to(ROOT / "tests" / level)
        for level in LEVELS
        for path in (ROOT / "tests" / level).glob("*/**/test_*.py")
    }
    assert folders
    strangers = {str(folder) for folder in folders if not (ROOT / "worker" / folder / "__init__.py").exists()}
    assert strangers == OTHERS
