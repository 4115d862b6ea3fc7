"""The scripts of the JavaScript package are those of the Python one."""

from __future__ import annotations

from producer import scripts
from tests.support import js_scripts
from tests.support.node import evaluate, needs_node


@needs_node
def test_the_scripts_are_the_same_text() -> None:
    assert js_scripts.MODULE.read_text() == js_scripts.text(), "renew it with `make docs`"
    module = "./packages/producer-js/src/scripts.js"
    loaded = evaluate(f'import * as s from "{module}"; console.log(JSON.stringify({{ ...s }}))')
    assert loaded == {"ENQUEUE": scripts.ENQUEUE, "CANCEL": scripts.CANCEL, "READ": scripts.READ}
