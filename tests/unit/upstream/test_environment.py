"""What the environment lacks is said once, before a worker could die of it."""

import sys
import types

import pytest

from ccrelay.config.model import Config, Key, Provider
from ccrelay.config.resolve import resolve
from ccrelay.upstream.environment import environment_problems
from tests.child import run_code

KEYS = [Key(key="test-key-1")]
ZAI = Provider(name="zai", type="zai", keys=KEYS)
CLAUDE = Provider(name="claude", type="anthropic")
LOCAL = Provider(name="local", type="ollama")
PLAIN = Provider(name="plain", base_url="http://llm.example", auth="none")


def problems(*providers: Provider, **env: str) -> list[str]:
    config = resolve(Config(providers=list(providers)))
    return [str(problem) for problem in environment_problems(config, env)]


@pytest.fixture
def _no_socks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "python_socks", None)


@pytest.mark.parametrize(
    "url",
    [
        "http://p.example:3128",
        "https://me:test-key-2@p.example",
        "http://me:test#key/2?@p.example:1",
        "socks5://p.example",
        "socks5h://me:test-key-2@p.example:9050",
        "socks4a://me@p.example",
    ],
)
def test_usable_proxies_have_no_problems(url: str) -> None:
    assert problems(ZAI, CLAUDE, ALL_PROXY=url) == []


@pytest.mark.parametrize("variable", ["ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy"])
@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "socks4", "socks4a", "SOCKS5"])
@pytest.mark.usefixtures("_no_socks")
def test_socks_without_the_extra_is_refused_once_with_the_next_step(
    variable: str, scheme: str
) -> None:
    login = "" if "4" in scheme else "me:test-key-2@"
    assert problems(ZAI, CLAUDE, LOCAL, **{variable: f"{scheme}://{login}p.example:1080"}) == [
        f"environment variable {variable}: a SOCKS proxy needs the extra `socks`: pip install "
        "'ccrelay-proxy[socks]'. Used for: zai, claude; NO_PROXY exempts hosts"
    ]


@pytest.mark.parametrize("version", ["2.8.2", "4.0.0", "x", None])
def test_another_version_of_the_library_is_no_extra(
    monkeypatch: pytest.MonkeyPatch, version: str | None
) -> None:
    module = types.ModuleType("python_socks")
    if version is not None:
        module.__dict__["__version__"] = version
    monkeypatch.setitem(sys.modules, "python_socks", module)
    (problem,) = problems(ZAI, ALL_PROXY="socks5h://p.example")
    assert "pip install 'ccrelay-proxy[socks]'" in problem


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://p.example", "must begin with http://, https://, socks5://"),
        ("socks://p.example", "must begin with http://, https://, socks5://"),
        ("http://", "has no host"),
        ("http://me:test-key-2@", "has no host"),
        ("http://p.example:0", "has port 0"),
        ("http://p.example:99999", "is not a URL with a valid host and port"),
        ("http://me:test-key-2@p.example:port", "is not a URL with a valid host and port"),
        ("http://p.example/path", "must end after the port"),
        ("p.example:3128#x", "must end after the port"),
        ("http://me:test-key-2@p_.-example", "has an invalid host"),
        ("http://me:test\x01key-2@p.example", "contains a control character"),
        ("socks5://me@p.example", "SOCKS5 needs both"),
        ("socks5://:test-key-2@p.example", "SOCKS5 needs both"),
        ("socks4://me:test-key-2@p.example", "which SOCKS4 cannot send"),
        ("socks5://me:test-key-\u00e9@p.example", "SOCKS cannot send"),
        (f"socks5://me:{'x' * 256}@p.example", "SOCKS cannot send"),
    ],
)
def test_other_proxies_are_refused_without_their_password(url: str, reason: str) -> None:
    (problem,) = problems(ZAI, CLAUDE, HTTPS_PROXY=url)
    assert problem.startswith("environment variable HTTPS_PROXY: the proxy URL ")
    assert reason in problem
    assert problem.endswith(". Used for: zai, claude; NO_PROXY exempts hosts")
    assert "test" not in problem
    assert "xxx" not in problem


@pytest.mark.parametrize(
    ("providers", "env"),
    [
        ([LOCAL], {"ALL_PROXY": "bad://"}),
        ([ZAI], {"HTTP_PROXY": "bad://"}),
        ([PLAIN], {"HTTPS_PROXY": "bad://"}),
        ([ZAI], {"ALL_PROXY": "bad://", "NO_PROXY": "api.z.ai"}),
        ([ZAI], {"ALL_PROXY": "bad://", "no_proxy": "*"}),
        ([ZAI], {"ALL_PROXY": "bad://", "https_proxy": "http://p.example"}),
        ([ZAI, Provider(name="off", type="anthropic", enabled=False)], {"NO_PROXY": "api.z.ai"}),
    ],
)
def test_a_proxy_that_is_not_used_may_be_anything(
    providers: list[Provider], env: dict[str, str]
) -> None:
    assert problems(*providers, **{"all_proxy": ""} | env) == []


def test_each_variable_is_reported_with_its_providers() -> None:
    found = problems(ZAI, PLAIN, CLAUDE, HTTPS_PROXY="bad://", HTTP_PROXY="worse://")
    assert [line.partition(":")[0] for line in found] == [
        "environment variable HTTPS_PROXY",
        "environment variable HTTP_PROXY",
    ]
    assert "Used for: zai, claude;" in found[0]
    assert "Used for: plain;" in found[1]


@pytest.mark.parametrize(
    ("provider", "env", "count"),
    [
        (ZAI, {}, 1),
        (LOCAL, {}, 0),
        (PLAIN, {}, 0),
        (PLAIN, {"HTTP_PROXY": "https://p.example"}, 1),
        (PLAIN, {"HTTP_PROXY": "http://p.example"}, 0),
    ],
)
def test_missing_certificates_are_a_warning_where_tls_is_used(
    provider: Provider, env: dict[str, str], count: int
) -> None:
    found = problems(provider, SSL_CERT_FILE="/nowhere/ca.pem", **env)
    assert (
        found
        == [
            'environment variable SSL_CERT_FILE: warning: cannot be read: "/nowhere/ca.pem" '
            "(No such file or directory)"
        ]
        * count
    )


def test_a_base_url_that_cannot_be_dialled_is_an_error() -> None:
    (problem,) = problems(Provider(name="p", base_url="http://h.example:0", auth="none"))
    assert "providers[0].base_url: has port 0" in problem


def test_the_check_imports_no_ssl() -> None:
    code = "import sys, ccrelay.upstream.environment as e; print('ssl' in sys.modules)"
    done = run_code(code)
    assert done.stdout == "False\n"
