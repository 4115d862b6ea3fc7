"""The environment: what is accepted, what is refused, and how it is said."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.support.service import ROOT
from worker.errors import SettingsError
from worker.settings import Settings
from worker.settings import load as loading
from worker.settings.load import load, load_dotenv
from worker.settings.model import variable_of

URL = "redis://user:hunter2@localhost:6379/0"


def refused(**environ: str) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        load({"REDIS_URL": URL, **environ})
    return caught.value


def test_every_setting_is_in_the_example_and_the_example_holds_nothing_else() -> None:
    named = re.findall(r"^# ([A-Z_]+)=", (ROOT / ".env.example").read_text(), flags=re.M)
    assert sorted(named) == sorted(variable_of(name) for name in Settings.model_fields)


def test_every_setting_says_what_it_is_and_what_it_wants() -> None:
    for name, field in Settings.model_fields.items():
        extra = field.json_schema_extra
        assert isinstance(extra, dict)
        assert field.description, name
        assert extra["wants"], name
        assert extra["example"], name


def test_defaults() -> None:
    settings = load({"REDIS_URL": URL})
    assert settings.worker_queues == ("default",)
    assert settings.worker_shutdown_grace == 25
    assert settings.dead_letter_max_age == 30 * 86400
    assert settings.health_port == 8080
    assert settings.worker_scheduler_interval == 1


@pytest.mark.parametrize(
    ("told", "consumers"),
    [
        ({"RENDER_CPU_COUNT": "0.5"}, 1),
        ({"RENDER_CPU_COUNT": "4"}, 4),
        ({"RENDER_CPU_COUNT": "0.5", "WEB_CONCURRENCY": "3"}, 3),
        ({"RENDER_CPU_COUNT": "2", "WEB_CONCURRENCY": "auto"}, 2),
        ({"RENDER_CPU_COUNT": "2", "WEB_CONCURRENCY": "0"}, 2),
        ({"RENDER_CPU_COUNT": "nan", "WEB_CONCURRENCY": "inf"}, os.cpu_count()),
        ({"WEB_CONCURRENCY": "500"}, 64),
        ({"WEB_CONCURRENCY": "3", "WORKER_PROCESSES": "2"}, 2),
    ],
)
def test_as_many_consumers_as_the_platform_says(told: dict[str, str], consumers: int) -> None:
    assert load({"REDIS_URL": URL, **told}).worker_processes == consumers


def test_the_autoscalers_bounds_fit_each_other() -> None:
    assert [problem.variable for problem in refused(AUTOSCALE_MIN="5").problems] == ["AUTOSCALE_MAX"]
    assert load({"REDIS_URL": URL, "AUTOSCALE_MIN": "5", "AUTOSCALE_MAX": "5"}).autoscale_min == 5
    secret = refused(RENDER_API_URL="https://user:hunter2@api.example")
    assert "hunter2" not in str(secret)


def test_all_problems_are_listed_at_once_with_what_was_got_what_is_wanted_and_an_example() -> None:
    error = refused(REDIS_URL="http://x", WORKER_THREADS="many", HEALTH_PORT="70000", WORKER_QUEUES="a,a")
    assert [problem.variable for problem in error.problems] == [
        "REDIS_URL",
        "WORKER_QUEUES",
        "WORKER_THREADS",
        "HEALTH_PORT",
    ]
    for problem in error.problems:
        assert str(problem) in str(error)
        assert f"Example: {problem.variable}=" in str(problem)
    assert "'many'" in str(error)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "nothing"),
        ('"redis://localhost"', "quotes or spaces"),
        (" redis://localhost", "quotes or spaces"),
        ("redis://local host", "spaces or line breaks"),
        ("localhost:6379", "without ://"),
        ("http://localhost", "begins with http://"),
        ("redis://", "without a host"),
        ("redis://:hunter2@:6379", "without a host"),
        ("redis://localhost:99999", "port"),
        ("redis://localhost:port", "port"),
        ("redis://u:hunter2@x@localhost", "unescaped"),
        ("redis://u:hunter2#x@localhost", "unescaped"),
        ("redis://u:hunter2/x@localhost", "unescaped"),
        ("redis://u:hunter2[x@localhost", "unescaped"),
        ("redis://u:hunter2@local\u200bhost", "invisible"),
        ("redis://localhost/zero", "database"),
        ("redis://localhost/²", "database"),
        ("redis://localhost?db=zero", "database"),
        ("redis://default:hunter2@eu1-x.upstash.io:6379", "Upstash"),
        ("rediss://default:hunter2@eu1-x.upstash.io:6379/1", "Upstash"),
        ("rediss://default:hunter2@eu1-x.upstash.io./1", "Upstash"),
        ("rediss://default:hunter2@eu1-x.upstash.io?db=1", "Upstash"),
        ("unix://relative", "path"),
        ("redis://hunter2@localhost", "without a password"),
        ("rediss://default:<hunter2>@host:6379", "placeholder"),
        ("redis://localhost?foo=1", "option foo"),
        ("redis://localhost?ssl=true", "option ssl"),
        ("redis://u:hunter2@localhost?decode_responses=true", "option decode_responses"),
        ("redis://u:x?hunter2@localhost", "unescaped"),
        ("redis://localhost/0?Hunter2=1", "one that is no option"),
        ("redis://localhost?protocol=4", "2 or 3"),
        ("redis://localhost?db=", "database number"),
        ("unix:///run/redis.sock?ssl=true", "option ssl"),
        ("redis://localhost?ssl_cert_reqs=none", "without TLS"),
        ("rediss://localhost?ssl_cert_reqs=maybe", "none, optional or required"),
        ("rediss://localhost?ssl_ca_certs=/nowhere/ca.pem", "a file that exists"),
    ],
)
def test_what_is_wrong_with_a_url_is_said_in_words_and_without_its_secret(url: str, words: str) -> None:
    (problem,) = refused(REDIS_URL=url).problems
    assert words in str(problem)
    assert "hunter2" not in str(problem)


@pytest.mark.parametrize(
    "url",
    [
        URL,
        "rediss://default:a%40b@x.upstash.io:6379",
        "unix:///run/redis.sock",
        "unix:///run/redis.sock?db=1&password=x",
        "redis://[::1]",
        "redis://:hunter2@localhost",
        "redis://localhost?db=1&protocol=2",
        "redis://localhost?socket_timeout=600&health_check_interval=0",
        f"rediss://:x@host:6379/0?ssl_cert_reqs=none&ssl_ca_certs={__file__}",
    ],
)
def test_good_urls_pass(url: str) -> None:
    settings = load({"REDIS_URL": url})
    assert settings.redis_url is not None
    assert settings.redis_url.get_secret_value() == url


def test_secrets_never_show() -> None:
    settings = load(
        {"REDIS_URL": URL, "SENTRY_DSN": "https://hunter2@sentry.example/1", "NOTIFY_SECRET": "hunter2hunter2"}
    )
    for shown in (repr(settings), str(settings), settings.model_dump_json()):
        assert "hunter2" not in shown


def test_a_misspelt_name_is_pointed_out_and_names_of_others_are_left_alone() -> None:
    (problem,) = refused(WORKER_PROCESES="3").problems
    assert "WORKER_PROCESSES" in str(problem)
    load({"REDIS_URL": URL, "WORKER_NAME_OF_SOMETHING_ELSE": "1", "LOG_DIR": "/tmp"})


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("WORKER_PROCESSES", "0"),
        ("WORKER_PROCESSES", "1.5"),
        ("WORKER_JOB_MODULES", "jobs;rm"),
        ("WORKER_JOB_MODULES", "jobs,os"),
        ("WORKER_JOB_MODULES", "importlib.util"),
        ("WORKER_SERIALIZERS", "json,yaml"),
        ("WORKER_SHUTDOWN_GRACE", "301"),
        ("WORKER_MAX_CRASHES", "0"),
        ("DEAD_LETTER_QUEUE", "default"),
        ("DEAD_LETTER_QUEUE", "two words"),
        ("DEAD_LETTER_MAX_AGE", "30 fortnights"),
        ("DEAD_LETTER_MAX_AGE", "4000d"),
        ("DEAD_LETTER_MAX_JOBS", "10000001"),
        ("LOG_LEVEL", "LOUD"),
        ("LOG_FORMAT", "xml"),
        ("SENTRY_TRACES_SAMPLE_RATE", "2"),
        ("RQ_KEY_PREFIX", "rq*"),
        ("WORKER_ALLOW_PRIVATE_ADDRESSES", "perhaps"),
    ],
)
def test_values_that_cannot_work_are_refused(variable: str, value: str) -> None:
    assert [problem.variable for problem in refused(**{variable: value}).problems] == [variable]


@pytest.mark.parametrize(("text", "seconds"), [("90m", 5400), ("12h", 43200), ("30D", 2592000), ("86400", 86400)])
def test_ages_may_have_a_unit(text: str, seconds: int) -> None:
    assert load({"REDIS_URL": URL, "DEAD_LETTER_MAX_AGE": text}).dead_letter_max_age == seconds


def test_what_render_says_is_understood() -> None:
    settings = load(
        {
            "REDIS_URL": "rediss://default:x@eu1-x.upstash.io:6379",
            "RENDER": "true",
            "RENDER_CPU_COUNT": "0.5",
            "RENDER_GIT_COMMIT": "3f2a9c1",
            "RENDER_INSTANCE_ID": "srv-abc-xyz12",
            "PORT": "10000",
        }
    )
    assert settings.worker_processes == 1
    assert settings.health_port == 10000
    assert (settings.release, settings.instance) == ("3f2a9c1", "srv-abc-xyz12")
    assert settings.worker_scheduler_interval == 15
    assert settings.log_format == "json"


def test_health_port_wins_over_port_and_may_be_off() -> None:
    assert load({"REDIS_URL": URL, "PORT": "10000", "HEALTH_PORT": "0"}).health_port == 0


def test_the_settings_cannot_be_changed() -> None:
    settings = load({"REDIS_URL": URL})
    with pytest.raises(ValidationError):
        settings.worker_threads = 3  # type: ignore[misc]


def test_a_dotenv_file_fills_gaps_in_development_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("WORKER_TEST_A=file\nWORKER_TEST_B=file\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORKER_TEST_A", "real")
    monkeypatch.setenv("RENDER", "true")
    monkeypatch.delenv("WORKER_TEST_B", raising=False)
    load_dotenv()
    assert "WORKER_TEST_B" not in os.environ
    monkeypatch.delenv("RENDER")
    load_dotenv()
    assert (os.environ["WORKER_TEST_A"], os.environ.pop("WORKER_TEST_B")) == ("real", "file")


@pytest.mark.parametrize("mark", ["file", "kubernetes"])
def test_a_service_in_a_container_reads_no_dotenv_file_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], mark: str
) -> None:
    (tmp_path / ".env").write_text("WORKER_TEST_C=file\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RENDER", raising=False)
    monkeypatch.delenv("WORKER_TEST_C", raising=False)
    if mark == "file":
        (tmp_path / ".dockerenv").touch()
        monkeypatch.setattr(loading, "_CONTAINER_MARKS", (tmp_path / ".dockerenv",))
    else:
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    load_dotenv(serves=True)
    assert "WORKER_TEST_C" not in os.environ
    assert "is not read in a container" in capsys.readouterr().err
    load_dotenv()
    assert os.environ.pop("WORKER_TEST_C") == "file", "a command, in a development container"


def test_the_example_describes_each_setting_and_shows_its_default() -> None:
    text = (ROOT / ".env.example").read_text()
    for name, field in Settings.model_fields.items():
        assert f"# {field.description}\n# {variable_of(name)}=" in text
    shown = dict(re.findall(r"^# ([A-Z_]+)=(.*)$", text, flags=re.M))
    derived = {"redis_url", "instance"}
    assert load(shown).model_dump(exclude=derived) == Settings().model_dump(exclude=derived)


@pytest.mark.parametrize(
    "url", ["http://user:hunter2@host", "redis://user:hunter2@host:99999", '"redis://user:hunter2@host"']
)
def test_no_secret_is_in_an_error_or_in_what_it_was_raised_from(url: str) -> None:
    error = refused(REDIS_URL=url, NOTIFY_SECRET="hunter2", SENTRY_DSN="hunter2", WORKER_THREADS="x")
    for link in (error, error.__cause__, error.__context__):
        assert "hunter2" not in f"{link} {link!r}"


def test_a_missing_url_is_a_problem_unless_none_is_needed() -> None:
    with pytest.raises(SettingsError) as caught:
        load({})
    assert [problem.variable for problem in caught.value.problems] == ["REDIS_URL"]
    assert load({}, need_redis_url=False).redis_url is None


def test_an_interval_that_is_set_wins_on_upstash_too() -> None:
    url = "rediss://default:x@eu1-x.upstash.io:6379"
    assert load({"REDIS_URL": url, "WORKER_SCHEDULER_INTERVAL": "2"}).worker_scheduler_interval == 2


def test_a_dead_letter_queue_that_is_worked_on_is_listed_beside_other_problems() -> None:
    error = refused(DEAD_LETTER_QUEUE="default", WORKER_THREADS="x")
    assert {problem.variable for problem in error.problems} == {"DEAD_LETTER_QUEUE", "WORKER_THREADS"}


def test_an_endless_interval_is_refused() -> None:
    refused(WORKER_SCHEDULER_INTERVAL="inf")


def test_what_stands_in_front_of_the_scheme_is_not_shown_when_it_may_be_a_secret() -> None:
    assert "hunter2" not in str(refused(REDIS_URL="hunter2@host://"))


def test_a_scheme_that_redis_py_does_not_take_is_refused() -> None:
    refused(REDIS_URL="REDIS://localhost")


@pytest.mark.parametrize("variable", ["WORKER_THREADS", "WORKER_QUEUES", "PORT", "LOG_LEVEL", "RENDER_INSTANCE_ID"])
def test_a_url_with_a_password_in_the_wrong_variable_is_not_shown(variable: str) -> None:
    error = refused(**{variable: "rediss://default:hunter2@host and more"})
    assert [problem.variable for problem in error.problems] == [variable]
    assert "hunter2" not in str(error)


def test_an_endless_value_is_shown_in_part() -> None:
    assert len(str(refused(WORKER_MAX_JOBS="9" * 5000))) < 300


def test_a_wrong_port_is_blamed_on_the_variable_it_came_from() -> None:
    assert [problem.variable for problem in refused(PORT="x", HEALTH_PORT="").problems] == ["PORT"]


def test_a_clash_with_the_dead_letter_queue_is_said_once() -> None:
    error = refused(WORKER_QUEUES="two words", DEAD_LETTER_QUEUE="two words")
    assert [problem.variable for problem in error.problems] == ["WORKER_QUEUES", "DEAD_LETTER_QUEUE"]


def test_the_development_switch_is_refused_on_render() -> None:
    (problem,) = refused(RENDER="true", WORKER_ALLOW_PRIVATE_ADDRESSES="true").problems
    assert problem.variable == "WORKER_ALLOW_PRIVATE_ADDRESSES"
    assert load({"REDIS_URL": URL, "WORKER_ALLOW_PRIVATE_ADDRESSES": "true"}).worker_allow_private_addresses


@pytest.mark.parametrize("name", ["Order", "subprocess.Popen", "builtins.eval", "__main__.Order", "os.system", "a b.C"])
def test_classes_for_pickles_are_dotted_names_and_none_that_could_run_a_command(name: str) -> None:
    (problem,) = refused(WORKER_PICKLE_CLASSES=f"shop.models.Order,{name}").problems
    assert problem.variable == "WORKER_PICKLE_CLASSES"
    assert "classes that hold data" in str(problem)
    allowed = load({"REDIS_URL": URL, "WORKER_PICKLE_CLASSES": "shop.models.Order, http.cookies.SimpleCookie"})
    assert allowed.worker_pickle_classes == ("shop.models.Order", "http.cookies.SimpleCookie")


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"MONITOR_OPEN": "true"}, "MONITOR_OPEN"),
        ({"MONITOR_OPEN": "true", "HEALTH_HOST": "10.0.0.1"}, "MONITOR_OPEN"),
        ({"MONITOR_OPEN": "true", "HEALTH_HOST": "127.0.0.1", "RENDER": "true"}, "MONITOR_OPEN"),
        ({"MONITOR_PASSWORD": "short"}, "MONITOR_PASSWORD"),
        ({"MONITOR_PASSWORD": "p" * 12, "MONITOR_VIEW_PASSWORD": "p" * 12}, "MONITOR_VIEW_PASSWORD"),
        ({"MONITOR_PROXY_HEADER": "X-User"}, "MONITOR_PROXY_ADDRESSES"),
        ({"MONITOR_PROXY_HEADER": "X User", "MONITOR_PROXY_ADDRESSES": "10.0.0.7"}, "MONITOR_PROXY_HEADER"),
        ({"MONITOR_PROXY_ADDRESSES": "somewhere"}, "MONITOR_PROXY_ADDRESSES"),
        ({"MONITOR_PREFIX": "worker"}, "MONITOR_PREFIX"),
        ({"MONITOR_PREFIX": "//evil.example"}, "MONITOR_PREFIX"),
    ],
)
def test_a_console_that_would_be_open_too_wide_does_not_start(environ: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load({"REDIS_URL": URL, **environ})
    assert [problem.variable for problem in refused.value.problems] == [named]
    assert "p" * 12 not in str(refused.value)
    assert not load({"REDIS_URL": URL}).console_is_open
    for host in ("127.0.0.1", "127.0.0.9", "::1", "localhost"):
        assert load({"REDIS_URL": URL, "MONITOR_OPEN": "true", "HEALTH_HOST": host}).console_is_open
