"""URLs of Sentinels: what they name, and what is wrong with them, in words; read alike by worker and producer."""

from __future__ import annotations

import pytest

from producer import sentinel as of_producer
from worker.errors import SettingsError
from worker.settings.load import load
from worker.settings.sentinel_url import is_sentinel, read

CA = __file__
#: URL → service, the primary's URL, the Sentinels' URLs.
CASES = {
    "redis+sentinel://a:1,b:2/mymaster/3": ("mymaster", "redis://a:1/3", ["redis://a:1", "redis://b:2"]),
    "redis+sentinel://a/s": ("s", "redis://a:26379", ["redis://a:26379"]),
    "redis+sentinel://[::1],[::2]:7/s/": ("s", "redis://[::1]:26379", ["redis://[::1]:26379", "redis://[::2]:7"]),
    "redis+sentinel://u:p%40,x@a:1,b:1/s": ("s", "redis://u:p%40,x@a:1", ["redis://a:1", "redis://b:1"]),
    "rediss+sentinel://:p@a:1/s/0?protocol=2": ("s", "rediss://:p@a:1/0?protocol=2", ["rediss://a:1"]),
    f"rediss+sentinel://a:1/s?ssl_ca_certs={CA}": (
        "s",
        f"rediss://a:1?ssl_ca_certs={CA.replace('/', '%2F')}",
        [f"rediss://a:1?ssl_ca_certs={CA.replace('/', '%2F')}"],
    ),
    "redis+sentinel://a:1/s?sentinel_username=u&sentinel_password=x%26y": (
        "s",
        "redis://a:1",
        ["redis://a:1?username=u&password=x%26y"],
    ),
    "rediss+sentinel://a:1/s?sentinel_tls=false": ("s", "rediss://a:1", ["redis://a:1"]),
    f"redis+sentinel://a:1/s?sentinel_tls=true&ssl_ca_certs={CA}": (
        "s",
        "redis://a:1",
        [f"rediss://a:1?ssl_ca_certs={CA.replace('/', '%2F')}"],
    ),
}


@pytest.mark.parametrize("url", CASES)
def test_a_url_names_a_service_its_primary_and_its_sentinels(url: str) -> None:
    service, primary, sentinels = CASES[url]
    named = read(url)
    assert is_sentinel(url)
    assert named.is_named
    assert (named.service, named.primary, [*named.sentinels]) == (service, primary, sentinels)
    assert "p%40" not in repr(named)
    settings = load({"REDIS_URL": url})
    assert settings.redis_url is not None


@pytest.mark.parametrize("url", CASES)
def test_the_producer_reads_it_alike(url: str) -> None:
    service, primary, sentinels = CASES[url]
    assert of_producer.is_sentinel(url)
    theirs = of_producer._read(url)
    assert (theirs[0], theirs[1].rstrip("?"), [each.rstrip("?") for each in theirs[2]]) == (service, primary, sentinels)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis+sentinel://a:1", "without the name of a service"),
        ("redis+sentinel://a:1/", "without the name of a service"),
        ("redis+sentinel://a:1/my%20master", "without the name of a service"),
        ("redis+sentinel:///mymaster", "without a host"),
        ("redis+sentinel://a:1,/mymaster", "an empty place"),
        ("redis+sentinel://a:1,:2/mymaster", "an empty place"),
        ("redis+sentinel://a:1,b:x/mymaster", "a port that is not a number"),
        ("redis+sentinel://a:1,b:99999/mymaster", "a port that is not a number"),
        ("redis+sentinel://a:1/mymaster/zero", "a database that is not a number"),
        ("redis+sentinel://u:hunter2/x@a:1/mymaster", "unescaped"),
        ("redis+sentinel://u:hunter2@x@a:1/mymaster", "unescaped"),
        ("redis+sentinel://hunter2@a:1/mymaster", "without a password"),
        ("redis+sentinel://u:<hunter2>@a:1/mymaster", "placeholder"),
        ("redis+sentinel://a:1/mymaster?sentinel_tls=maybe", "true or false"),
        ("redis+sentinel://a:1/mymaster?sentinel_password=", "sentinel_password that does not fit"),
        ("redis+sentinel://a:1/mymaster?sentinel_username=u", "without sentinel_password"),
        ("redis+sentinel://a:1/mymaster?sentinel_passwort=hunter2", "option sentinel_passwort"),
        ("redis+sentinel://a:1/mymaster?ssl_ca_certs=/nowhere", "without TLS"),
        ("rediss+sentinel://a:1/mymaster?ssl_ca_certs=/nowhere", "a file that exists"),
        ("redis+sentinels://a:1/mymaster", "begins with redis://"),
    ],
)
def test_what_is_wrong_is_said_in_words_and_without_its_secret(url: str, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load({"REDIS_URL": url})
    (problem,) = caught.value.problems
    assert words in str(problem)
    assert "hunter2" not in str(problem)
