"""The folders of the tests are named as what they test, so that the README's rule leads from a module to its tests."""

from __future__ import annotations

from tests.support.service import ROOT

LEVELS = ("unit", "integration", "faults")
#: What is tested besides packages: how it is deployed, what the docs say, and a web site, which has JavaScript alone.
OTHERS = {"deploy", "docs", "netlify"}


def test_each_folder_of_tests_is_named_as_a_package() -> None:
    folders = {
        path.parent.relative_to(ROOT / "tests" / level)
        for level in LEVELS
        for path in (ROOT / "tests" / level).glob("*/**/test_*.py")
    }
    assert folders
    packages = (ROOT / "worker", ROOT)
    assert {
        str(one) for one in folders if not any((above / one / "__init__.py").exists() for above in packages)
    } <= OTHERS
