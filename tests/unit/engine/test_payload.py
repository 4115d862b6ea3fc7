"""The gates before a payload, and that plain payloads pass them unchanged. No Redis: nothing here connects."""

from __future__ import annotations

import argparse
import array
import asyncio
import builtins
import collections
import concurrent.futures.process
import datetime as dt
import decimal
import fractions
import functools
import http.cookies
import ipaddress
import json
import operator
import os
import pathlib
import pickle
import re
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time
import tracemalloc
import types
import urllib.error
import urllib.parse
import uuid
import zlib
import zoneinfo
from base64 import b64decode
from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given
from redis import Redis
from rq import Repeat, Retry
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer, PickleSerializer
from rq.utils import utcparse

from tests.support import engine, tasks, worker
from worker.engine import pickle_names
from worker.engine.payload import Payloads
from worker.engine.plain_hash import LONGEST_SECONDS, read_date
from worker.engine.records import Claim
from worker.engine.serializers import Json, Refused, encode_result
from worker.engine.unpickling import AllowListedPickle
from worker.settings.load import load

PACKAGE = "tests.support.tasks"
NOWHERE = Redis(port=1)


def payloads(*packages: str, serializers: tuple[str, ...] = ("json", "pickle")) -> Payloads:
    return Payloads(packages or (PACKAGE,), serializers)


def claim(data: bytes, **fields: str) -> Claim:
    written = {
        b"data": data,
        b"created_at": b"2026-11-25T04:37:30.123456Z",
        b"enqueued_at": b"2026-11-25T04:37:31.000000Z",
        b"status": b"queued",
        b"origin": b"default",
        **{name.encode(): value.encode() for name, value in fields.items()},
    }
    return Claim("job-1", "w" + "0" * 31, "default", "default", written)


def call(name: Any, *args: Any, instance: Any = None, **kwargs: Any) -> bytes:
    return zlib.compress(pickle.dumps((name, instance, args, kwargs)))


def refusal(act: Callable[[], Any]) -> Refused:
    with pytest.raises(Refused) as caught:
        act()
    assert str(caught.value).endswith("."), "a sentence"
    return caught.value


def function_of(data: bytes, *packages: str, **fields: str) -> Callable[..., Any]:
    made = payloads(*packages)
    return made.function(made.restore(claim(data, **fields), NOWHERE))


# -- pickles -------------------------------------------------------------------------------------------------------


class Calls:
    """A pickle that calls `function` when it is loaded."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.function, self.args = function, args

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.function, self.args


def names(module: str, name: str) -> bytes:
    """A pickle of protocol 4 that names something and does nothing with it."""
    return (
        pickle.PROTO
        + b"\x04"
        + b"".join(pickle.SHORT_BINUNICODE + bytes([len(text)]) + text.encode() for text in (module, name))
        + pickle.STACK_GLOBAL
        + pickle.STOP
    )


PLAIN = [
    None,
    1.5,
    2**80,
    "ä€",
    b"\x00\xff",
    (1, [2, {"three": {4, 5}}], frozenset({6})),
    bytearray(b"x"),
    3 + 4j,
    range(3),
    slice(1, 2),
    collections.Counter("aab"),
    collections.OrderedDict(a=1),
    collections.defaultdict(None, a=[1]),
    collections.deque([1, 2], maxlen=3),
    dt.datetime(2026, 11, 25, 4, 37, tzinfo=dt.UTC),
    dt.datetime(2026, 11, 25, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
    dt.datetime(2026, 11, 25, tzinfo=dt.timezone(dt.timedelta(hours=2))),
    dt.date(2026, 11, 25),
    dt.time(4, 37),
    dt.timedelta(seconds=1.5),
    decimal.Decimal("1.50"),
    fractions.Fraction(1, 3),
    ipaddress.ip_address("127.0.0.1"),
    ipaddress.ip_address("::1"),
    ipaddress.ip_network("10.0.0.0/8"),
    ipaddress.ip_network("fd00::/8"),
    ipaddress.ip_interface("10.0.0.1/8"),
    ipaddress.ip_interface("fd00::1/8"),
    pathlib.PurePosixPath("/a/b"),
    pathlib.PureWindowsPath("c:/a"),
    pathlib.Path("/a/b"),
    uuid.UUID(int=7),
    uuid.uuid1(),
    uuid.SafeUUID.safe,
    http.HTTPStatus.NOT_FOUND,
    http.HTTPMethod.GET,
    signal.SIGTERM,
    socket.AF_INET,
    re.IGNORECASE | re.MULTILINE,
    re.compile("a+", re.IGNORECASE),
    types.SimpleNamespace(a=[1]),
    argparse.Namespace(a=1),
    collections.defaultdict(list, a=[1]),
    collections.defaultdict(int),
    collections.ChainMap({"a": 1}),
    collections.UserDict(a=1),
    collections.UserList([1]),
    collections.UserString("x"),
    array.array("d", [1.5, 2]),
    decimal.Decimal(1).as_tuple(),
    urllib.parse.urlsplit("https://shop.example/p?q=1"),
    urllib.parse.urlparse("https://shop.example/p?q=1"),
    time.gmtime(0),
    os.stat("/"),
    ...,
    int,
    tasks.Parcel("p-1", [1.5]),
    tasks.Size.LARGE,
    tasks.Marks.FRAGILE | tasks.Marks.URGENT,
]
ERRORS = [
    ValueError("no such product"),
    KeyError("a"),
    FileNotFoundError(2, "No such file or directory", "a.txt"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    ExceptionGroup("two", [ValueError(1), KeyError(2)]),
    decimal.InvalidOperation("1/0"),
    json.JSONDecodeError("Expecting value", "x", 0),
    subprocess.CalledProcessError(3, ["false"]),
    subprocess.TimeoutExpired(["sleep"], 1.5),
    urllib.error.URLError("refused"),
    socket.gaierror(-2, "Name or service not known"),
    ssl.SSLError(1, "handshake"),
    asyncio.IncompleteReadError(b"a", 3),
    concurrent.futures.process.BrokenProcessPool("gone"),
    struct.error("unpack"),
    tasks.Unprintable(),
]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("value", PLAIN, ids=lambda value: type(value).__name__)
def test_plain_data_passes_unchanged(value: Any, protocol: int) -> None:
    loaded = AllowListedPickle([PACKAGE]).loads(pickle.dumps(value, protocol=protocol))
    assert loaded == value
    assert type(loaded) is type(value)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__qualname__)
def test_exceptions_of_pythons_own_are_plain_data(error: Exception, protocol: int) -> None:
    loaded = AllowListedPickle([PACKAGE]).loads(pickle.dumps(error, protocol=protocol))
    assert type(loaded) is type(error)
    assert (repr(loaded.args), vars(loaded).keys()) == (repr(error.args), vars(error).keys())


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (pickle.dumps(Calls(getattr, http.HTTPStatus, "OK")), http.HTTPStatus.OK),  # as Python 3.11.0 does
        (pickle.dumps(Calls(operator.or_, re.IGNORECASE, re.MULTILINE)), re.IGNORECASE | re.MULTILINE),
        (pickle.dumps(Calls(getattr, tasks.Size, "LARGE")), tasks.Size.LARGE),
        (names("signal", "SIGTERM"), signal.SIGTERM),  # as Python 3.10
        (names("pathlib._local", "PurePosixPath"), pathlib.PurePosixPath),  # as Python 3.13
    ],
)
def test_pickles_of_other_releases_of_python_are_read(data: bytes, value: Any) -> None:
    assert AllowListedPickle([PACKAGE]).loads(data) == value


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner),
    )
)
def test_what_we_pickle_rq_reads_and_the_other_way_round(value: Any) -> None:
    ours = AllowListedPickle([PACKAGE])
    assert PickleSerializer.loads(ours.dumps(value)) == value
    assert ours.loads(PickleSerializer.dumps(value)) == value
    assert ours.dumps(value) == PickleSerializer.dumps(value), "byte for byte, as results are compared"


def test_values_of_rq_and_classes_of_the_job_packages_pass() -> None:
    ours = AllowListedPickle([PACKAGE])
    assert ours.loads(pickle.dumps(Retry(max=3, interval=[1, 2]))).intervals == [1, 2]
    assert ours.loads(pickle.dumps(Repeat(times=2))).times == 2
    assert ours.loads(pickle.dumps(tasks.Greeter("Hello"))).greeting == "Hello"


@pytest.mark.parametrize(
    "data",
    [
        *(
            pickle.dumps(Calls(function, *args))
            for function, *args in [
                (os.system, "true"),
                (builtins.eval, "1"),
                (builtins.exec, "1"),
                (builtins.getattr, 1, "real"),
                (builtins.getattr, zoneinfo.ZoneInfo, "from_file"),
                (builtins.getattr, dt.datetime, "_unpickle"),
                (builtins.print,),
                (builtins.open, "/etc/passwd"),
                (subprocess.Popen, ["true"]),
                (functools.partial, print),
                (collections.namedtuple, "a", "b"),
                (os.getcwd,),
                (operator.or_, 1, 2),
                (http.HTTPStatus.__or__, 1, 2),
            ]
        ),
        names("builtins", "__import__"),
        names("builtins", "type"),
        names("builtins", "memoryview"),
        names("http", "IntEnum"),
        names("http", "HTTPStatus.__init__"),
        names("socket", "socket"),
        names("socket", "os.system"),
        names("subprocess", "Popen"),
        names("signal", "raise_signal"),
        names("re", "compile"),
        names("urllib.error", "HTTPError"),
        names("importlib.metadata", "sys.exit"),
        names("datetime", "datetime.strptime"),
        names("datetime", "sys"),
        names("uuid", "os"),
        names("uuid", "UUID.__init__"),
        names("collections", "abc"),
        names("rq.job", "Job"),
        names("rq.job", "Retry.__init__.__globals__"),
        names(PACKAGE, "os"),
        names(PACKAGE, "os.system"),
        names(PACKAGE, "time.sleep"),
        names(PACKAGE, "Job"),
        names(PACKAGE, "add.__globals__"),
        names(PACKAGE, "add.__class__"),
        names(PACKAGE, "add.__code__.co_code"),
        names(PACKAGE, "Greeter.__init__.__globals__"),
        names(PACKAGE, "Greeter.__subclasses__"),
        names(PACKAGE, "observer"),
        names("tests.support", "tasks"),
        names("tests.support.tasks_of_others", "add"),
        names("", "tests"),
        pickle.dumps(collections.defaultdict(print, a=1)),
    ],
)
def test_what_is_neither_data_nor_ours_is_refused_before_it_is_touched(data: bytes) -> None:
    error = refusal(lambda: AllowListedPickle([PACKAGE]).loads(data))
    assert error.code == "refused_class"
    assert PACKAGE in str(error), "it says what is allowed"


def test_a_refused_pickle_runs_nothing(tmp_path: pathlib.Path) -> None:
    trace = tmp_path / "trace"
    data = pickle.dumps(("x", None, (Calls(os.system, f"touch {trace}"),), {}))
    assert refusal(lambda: function_of(zlib.compress(data))).code == "refused_class"
    assert not trace.exists()


def test_a_class_that_the_setting_names_passes_whatever_name_it_has_there() -> None:
    cookie = http.cookies.SimpleCookie("cart=7")
    allowed = ["http.cookies.SimpleCookie", "http.cookies.Morsel", "tests.support.shop.Shop"]
    assert AllowListedPickle(["jobs"], allowed).loads(pickle.dumps(cookie)) == cookie
    parcel = pickle.dumps(tasks.Parcel("p-1", []))
    assert AllowListedPickle(["jobs"], ["tests.support.tasks.Parcel"]).loads(parcel).name == "p-1"
    assert AllowListedPickle(["jobs"], [f"{engine.__name__}.tasks.Parcel"]).loads(parcel).name == "p-1", "a second name"
    assert refusal(lambda: AllowListedPickle(["jobs"], ["tests.support.tasks"]).loads(parcel)).code == "refused_class"
    function = names(PACKAGE, "add")
    assert refusal(lambda: AllowListedPickle(["jobs"], [f"{PACKAGE}.add"]).loads(function)).code == "refused_class"


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("http.cookies", "SimpleCookie"),
        ("graphlib", "TopologicalSorter"),
        ("tests.support.tasks", "Parcel"),
        (worker.__name__, "consumer"),
        ("subprocess", "Popen"),
        ("os", "system"),
        ("builtins", "eval"),
        ("functools", "partial"),
        ("operator", "attrgetter"),
        ("json", "loads"),
        ("tests.support.tasks", "os.system"),
        ("tests.support.of_somebody_else", "Order"),
    ],
)
def test_what_the_sentence_of_a_refusal_says_works_when_it_is_followed(module: str, name: str) -> None:
    sentence = str(refusal(lambda: AllowListedPickle(["jobs"]).loads(names(module, name))))
    told = {variable: value for value, variable in re.findall(r"add (\S+) to (WORKER_[A-Z_]+)", sentence)}
    for variable, value in told.items():
        environ = {"WORKER_JOB_MODULES": f"jobs,{value}"} if variable == "WORKER_JOB_MODULES" else {variable: value}
        settings = load(environ, need_redis_url=False)
        if module == "tests.support.of_somebody_else":
            continue  # whether that is a class or a function nobody knows here
        assert not any(map(pickle_names.problem, settings.worker_pickle_classes))
        pickles = AllowListedPickle(settings.worker_job_modules, settings.worker_pickle_classes)
        assert pickles.loads(names(module, name)).__qualname__ == name
    if not told:
        assert "it cannot be allowed" in sentence


def test_a_class_of_the_script_that_enqueued_it_has_advice_of_its_own() -> None:
    sentence = str(refusal(lambda: AllowListedPickle(["jobs"]).loads(names("__main__", "Order"))))
    assert "define it in a module that the worker has" in sentence


def test_what_is_wrong_with_a_name_of_the_setting_is_said() -> None:
    assert pickle_names.problem("http.cookies.SimpleCookie") == ""
    assert "is not a class" in pickle_names.problem("json.loads")
    assert "No module named 'no_such_shop'" in pickle_names.problem("no_such_shop.models.Order")
    assert "cannot be imported" in pickle_names.problem("http.cookies.NoSuchCookie")


# -- functions -----------------------------------------------------------------------------------------------------


def test_functions_and_methods_of_the_job_packages_are_found() -> None:
    assert function_of(call(f"{PACKAGE}.add")) is tasks.add
    assert function_of(call(f"{PACKAGE}.add"), "tests") is tasks.add, "a package above it is enough"
    assert function_of(call("greet", "Ann", instance=tasks.Greeter("Hello")))("Ann") == "Hello, Ann"
    assert function_of(call("tests.support.tasks.Greeter"))("Hello").greeting == "Hello"
    assert function_of(json.dumps([f"{PACKAGE}.add", None, [1], {}]).encode()) is tasks.add


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "builtins.eval",
        "eval",
        "",
        ".",
        "..tasks.add",
        "tests.support.tasks",
        f"{PACKAGE}.os.system",
        f"{PACKAGE}.Job.fetch",
        f"{PACKAGE}.PermanentError",
        f"{PACKAGE}.add.__globals__",
        f"{PACKAGE}.add.__globals__.pop",
        f"{PACKAGE}.add.__class__",
        f"{PACKAGE}.add.__call__",
        f"{PACKAGE}x.add",
        f"x{PACKAGE}.add",
    ],
)
def test_what_is_not_defined_in_a_job_package_is_refused(name: str) -> None:
    assert refusal(lambda: function_of(call(name))).code == "refused_function"


@pytest.mark.parametrize(
    "name", [f"{PACKAGE}.nothing", f"{PACKAGE}.add.nothing", f"{PACKAGE}.a.b.c", f"{PACKAGE}..add"]
)
def test_what_this_release_does_not_have_is_named_so(name: str) -> None:
    error = refusal(lambda: function_of(call(name)))
    assert error.code == "unknown_function"
    assert name in str(error)


@pytest.mark.parametrize(
    "data",
    [names(PACKAGE, "Nothing"), names(PACKAGE, "Greeter.Nothing"), names(f"{PACKAGE}.of_the_next_release", "Thing")],
)
def test_a_class_that_this_release_does_not_have_is_unknown_and_not_unreadable(data: bytes) -> None:
    error = refusal(lambda: AllowListedPickle([PACKAGE]).loads(data))
    assert error.code == "unknown_function"
    assert "in this release" in str(error)


def test_nothing_outside_the_packages_is_imported_because_a_payload_names_it() -> None:
    before = set(sys.modules)
    for name in ("antigravity.fly", "this.s", "tests.support.shop.Shop", "idlelib.run.main"):
        assert refusal(lambda name=name: function_of(call(name))).code == "refused_function"
    assert set(sys.modules) == before


def test_an_error_inside_a_job_module_is_not_taken_for_a_missing_function(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_jobs.py").write_text("import a_dependency_that_is_not_installed\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="a_dependency_that_is_not_installed"):
        function_of(call("broken_jobs.work"), "broken_jobs")


@pytest.mark.parametrize(
    ("instance", "name", "code"),
    [
        (tasks.Greeter("x"), "__init__", "refused_function"),
        (tasks.Greeter("x"), "_private", "refused_function"),
        (tasks.Greeter("x"), "nothing", "unknown_function"),
        (tasks.Greeter("x"), "greeting", "unknown_function"),
        ("text", "upper", "refused_function"),
        ({"a": 1}, "clear", "refused_function"),
        (dt.datetime(2026, 1, 1), "isoformat", "refused_function"),  # noqa: DTZ001
    ],
)
def test_methods_are_those_of_our_own_classes(instance: Any, name: str, code: str) -> None:
    assert refusal(lambda: function_of(call(name, instance=instance))).code == code


@pytest.mark.parametrize("which", ["success", "failure", "stopped"])
def test_callbacks_pass_the_same_gate_as_the_job(which: str) -> None:
    made = payloads()
    good = made.restore(claim(call(f"{PACKAGE}.add"), **{f"{which}_callback_name": f"{PACKAGE}.on_success"}), NOWHERE)
    made.function(good)
    assert getattr(good, f"{which}_callback") is tasks.on_success
    bad = made.restore(claim(call(f"{PACKAGE}.add"), **{f"{which}_callback_name": "antigravity.fly"}), NOWHERE)
    assert refusal(lambda: made.function(bad)).code == "refused_function"
    assert getattr(bad, f"{which}_callback") is None, "nor does RQ import it later"
    assert "antigravity" not in sys.modules


# -- hashes --------------------------------------------------------------------------------------------------------


def test_a_hash_becomes_the_job_that_rq_would_have_made() -> None:
    made = payloads()
    fields = {
        "timeout": "180",
        "result_ttl": "60",
        "ttl": "100",
        "retries_left": "2",
        "retry_intervals": "[60, 120]",
        "description": "addition",
        "group_id": "crowd",
        "ended_at": "",
    }
    ours = made.restore(claim(call(f"{PACKAGE}.add", 1, right=2), **fields), NOWHERE)
    theirs = Job("job-1", connection=NOWHERE)
    theirs.restore(claim(call(f"{PACKAGE}.add", 1, right=2), **fields).fields)
    assert ours.to_dict() == theirs.to_dict()
    assert (ours.created_at, ours.enqueued_at, ours.ended_at) == (theirs.created_at, theirs.enqueued_at, None)
    assert (ours.args, ours.kwargs, ours._status) == ((1,), {"right": 2}, JobStatus.QUEUED)


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("serializer", ["json", "pickle"])
def test_payloads_are_read_compressed_or_not(serializer: str, compressed: bool) -> None:
    content = [f"{PACKAGE}.add", None, [1], {"right": 2}]
    data = json.dumps(content).encode() if serializer == "json" else pickle.dumps(tuple(content))
    job = payloads().restore(claim(zlib.compress(data) if compressed else data), NOWHERE)
    assert (job._func_name, list(job._args), job._kwargs) == (f"{PACKAGE}.add", [1], {"right": 2})
    assert isinstance(job.serializer, Json if serializer == "json" else AllowListedPickle)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "unreadable_hash"),
        (b"\x80garbage", "unreadable_payload"),
        (b"x\x9cgarbage", "unreadable_payload"),
        (b"[not json", "unreadable_payload"),
        (b"nothing at all", "unreadable_payload"),
        (b'{"a": 1}', "unreadable_payload"),
        (b'["tests.support.tasks.add"]', "unreadable_payload"),
        (b"null", "unreadable_payload"),
        (b'"abcd"', "refused_function"),
        (zlib.compress(b""), "unreadable_payload"),
        (pickle.dumps(("a", "b")), "unreadable_payload"),
        (pickle.dumps((3, None, (), {})), "unreadable_payload"),
        (pickle.dumps((f"{PACKAGE}.add", None, (), {}))[:-8], "unreadable_payload"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_reason(data: bytes, code: str) -> None:
    assert refusal(lambda: function_of(data)).code == code


@pytest.mark.parametrize(
    "fields",
    [
        {"created_at": "yesterday"},
        {"enqueued_at": "2026-13-45T00:00:00.000000Z"},
        {"timeout": "soon"},
        {"status": "wat"},
        {"retries_left": "many"},
        {"result_ttl": "1.5"},
        {"retry_intervals": "[1"},
        {"dependency_ids": "{"},
        {"success_callback_timeout": ""},
    ],
)
def test_a_hash_on_which_rqs_worker_would_quit_is_refused(fields: dict[str, str]) -> None:
    error = refusal(lambda: payloads().restore(claim(call(f"{PACKAGE}.add"), **fields), NOWHERE))
    assert error.code == "unreadable_hash"
    assert "job-1" in str(error)


def test_meta_that_may_not_be_loaded_is_kept_as_it_is() -> None:
    evil = pickle.dumps({"a": Calls(os.system, "true")})
    given = claim(call(f"{PACKAGE}.add"))
    given.fields[b"meta"] = evil
    job = payloads().restore(given, NOWHERE)
    assert job._serialize_meta() == evil


def test_a_serializer_that_is_not_accepted_is_refused() -> None:
    only_json = payloads(serializers=("json",))
    assert refusal(lambda: only_json.restore(claim(call(f"{PACKAGE}.add")), NOWHERE)).code == "refused_serializer"
    only_pickle = payloads(serializers=("pickle",))
    error = refusal(lambda: only_pickle.restore(claim(b'["a", null, [], {}]'), NOWHERE))
    assert "only pickle" in str(error)


def test_a_job_without_origin_gets_that_of_its_claim() -> None:
    assert payloads().restore(claim(call(f"{PACKAGE}.add"), origin=""), NOWHERE).origin == "default"


# -- dates and results -----------------------------------------------------------------------------------------------


@given(st.datetimes(min_value=dt.datetime(1970, 1, 2), max_value=dt.datetime(2200, 1, 1)))  # noqa: DTZ001
def test_dates_are_read_as_rq_reads_them(moment: dt.datetime) -> None:
    text = moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert read_date(text.encode()) == utcparse(text)


@pytest.mark.parametrize("text", ["2026-11-22T19:17:05Z", "2026-11-22T19:17:05.123Z"])
def test_other_forms_of_a_date_that_rq_reads_are_read_too(text: str) -> None:
    assert read_date(text.encode()) == utcparse(text)


@pytest.mark.parametrize("text", ["yesterday", "2026-11-22", "2026-11-22T19:17:05+00:00", "X" * 26 + "Z"])
def test_what_is_no_date_of_rqs_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        read_date(text.encode())


@pytest.mark.parametrize("serializer", [Json(), AllowListedPickle([PACKAGE])])
def test_results_are_stored_as_rq_stores_them(serializer: Any) -> None:
    reference: Any = JSONSerializer if isinstance(serializer, Json) else PickleSerializer
    assert encode_result(serializer, None) == b""
    for value in (0, "", False, {"a": [1, "ä"]}):
        assert b64decode(encode_result(serializer, value)) == reference.dumps(value)


@pytest.mark.parametrize("value", [lambda: 1, object, {1: {2}, "x": open}, tasks.Unprintable()])
def test_a_result_that_cannot_be_serialized_becomes_rqs_note_of_that(value: Any) -> None:
    assert json.loads(b64decode(encode_result(Json(), value))) == "Unserializable return value"


def test_a_result_whose_pickling_raises_becomes_the_note_too() -> None:
    class Stubborn:
        def __reduce__(self) -> Any:
            raise MemoryError

    packed = b64decode(encode_result(AllowListedPickle([PACKAGE]), Stubborn()))
    assert packed == b64decode(encode_result(AllowListedPickle([PACKAGE]), tasks.Vicious("SystemExit, as in RQ")))
    assert pickle.loads(packed) == "Unserializable return value"


def test_json_results_have_null_where_json_has_no_number() -> None:
    nan, inf = float("nan"), float("inf")
    assert b64decode(encode_result(Json(), {"price": nan, "span": [inf, -inf, 1.5]})) == (
        b'{"price": null, "span": [null, null, 1.5]}'
    )
    assert Json().dumps({"a": ["ä", None, 1]}) == JSONSerializer.dumps({"a": ["ä", None, 1]}), "byte for byte as RQ"
    assert str(AllowListedPickle([PACKAGE]).loads(b64decode(encode_result(AllowListedPickle([PACKAGE]), nan)))) == "nan"


@pytest.mark.parametrize("name", ["retry_intervals", "repeat_intervals"])
@pytest.mark.parametrize("intervals", ["[NaN]", "[Infinity]", "[1, -Infinity]"])
def test_an_interval_that_is_no_number_is_refused(name: str, intervals: str) -> None:
    made = payloads()
    error = refusal(lambda: made.restore(claim(call(f"{PACKAGE}.add", 1, 1), **{name: intervals}), NOWHERE))
    assert error.code == "unreadable_hash"


@pytest.mark.parametrize("name", ["retry_intervals", "repeat_intervals"])
def test_an_interval_beyond_all_measure_is_cut(name: str) -> None:
    given = claim(call(f"{PACKAGE}.add", 1, 1), **{name: f"[1{'0' * 400}, -1e300, 2.5]"})
    assert getattr(payloads().restore(given, NOWHERE), name) == [LONGEST_SECONDS, -LONGEST_SECONDS, 2.5]


# -- sizes ---------------------------------------------------------------------------------------------------------


def test_a_payload_that_grows_beyond_the_limit_is_refused_before_it_has_grown() -> None:
    made = Payloads([PACKAGE], ["json"], most_bytes=1_000_000)
    bomb = zlib.compress(b"[" + b" " * 50_000_000 + b"]", 9)
    tracemalloc.start()
    try:
        error = refusal(lambda: made.restore(claim(bomb), NOWHERE))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert error.code == "payload_too_large"
    assert "1,000,000 bytes that WORKER_MAX_PAYLOAD_BYTES allows" in str(error)
    assert peak < 5_000_000


def test_a_payload_up_to_the_limit_is_read_compressed_or_not() -> None:
    data = json.dumps([f"{PACKAGE}.add", None, ["x" * 1000, "y"], {}]).encode()
    exact, short = (Payloads([PACKAGE], ["json"], most_bytes=len(data) - less) for less in (0, 1))
    for stored in (data, zlib.compress(data)):
        assert exact.restore(claim(stored), NOWHERE).args == ["x" * 1000, "y"]
        assert refusal(lambda stored=stored: short.restore(claim(stored), NOWHERE)).code == "payload_too_large"


def test_an_old_traceback_on_the_hash_is_not_decompressed() -> None:
    given = claim(call(f"{PACKAGE}.add", 1, 1))
    given.fields[b"exc_info"] = zlib.compress(b"x" * 50_000_000, 9)
    tracemalloc.start()
    try:
        payloads().restore(given, NOWHERE)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("length", [256, 2_000_000])
def test_a_name_that_is_too_long_is_refused_at_once(length: int) -> None:
    name = (PACKAGE + ".a" * length)[:length]
    error = refusal(lambda: function_of(json.dumps([name, None, [], {}]).encode()))
    assert (error.code, name in str(error)) == ("refused_function", False)
    assert f"{length:,} characters; 255 are allowed" in str(error)
