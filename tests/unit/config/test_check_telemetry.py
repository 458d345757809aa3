import pytest

from ccrelay.config.check import PLAIN_TEXT_SECRET, check
from ccrelay.config.effects import effects, origins
from ccrelay.config.load import ConfigError
from ccrelay.config.model import Config, Provider, Telemetry
from ccrelay.config.show import redacted
from ccrelay.config.wording import is_secret


def config(**telemetry: object) -> Config:
    return Config(
        providers=[Provider(name="a", type="anthropic", base_url="https://a.example")],
        telemetry=Telemetry(**telemetry),  # type: ignore[arg-type]
    )


def problems(**telemetry: object) -> list[tuple[str, str]]:
    found = check(config(**telemetry))
    return [(p.severity, p.message) for p in found if p.path[0] == "telemetry"]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:4318",
        "https://otlp.example/path/",
        "http://[::1]:4318",
        "http://collector",
    ],
)
def test_a_base_url_is_fine(url: str) -> None:
    assert problems(otlp_endpoint=url, headers={"authorization": "Bearer test-token"}) == []


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("127.0.0.1:4318", "must be http://HOST"),
        ("grpc://host:4317", "must be http://HOST"),
        ("http://", "must be http://HOST"),
        ("http://a b", "must be http://HOST"),
        ("http://host:99999999", "invalid URL"),
        ("http://me:secret-1@host", "must not contain a user name"),
        ("http://host?key=secret-1", "must not contain a query"),
        ("http://host:4318/v1/traces", "must be the URL before /v1/traces"),
        ("http://host:4318/v1/metrics/", "must be the URL before /v1/metrics"),
    ],
)
def test_what_is_no_base_url_is_an_error_that_shows_no_secret(url: str, told: str) -> None:
    [(severity, message)] = problems(otlp_endpoint=url)
    assert severity == "error"
    assert message.startswith(told)
    assert "secret-1" not in message


def test_the_port_of_grpc_is_a_warning() -> None:
    [(severity, message)] = problems(otlp_endpoint="http://host:4317")
    assert severity == "warning"
    assert "4318" in message


@pytest.mark.parametrize(
    "headers",
    [
        {"": "x"},
        {"a b": "x"},
        {"host": "x"},
        {"Content-Type": "x"},
        {"x-key": "a\nb"},
        {"x-key": ""},
        {"x-key": " test"},
        {"x-key": "a", "X-Key": "b"},
    ],
)
def test_headers_that_cannot_be_sent_are_errors(headers: dict[str, str]) -> None:
    [(severity, _)] = problems(otlp_endpoint="http://host", headers=headers)
    assert severity == "error"


def test_a_token_in_plain_text_is_a_warning(load_text) -> None:
    text = (
        "providers: [{name: a, type: anthropic}]\n"
        "telemetry: {otlp_endpoint: 'http://h', headers: {Authorization: 'Bearer test-key-1'}}\n"
    )
    warnings = [str(w) for w in load_text(text).warnings]
    assert any(PLAIN_TEXT_SECRET in w for w in warnings)
    assert not any("test-key-1" in w for w in warnings)


def test_a_missing_secret_is_named_by_its_variable(load_text) -> None:
    text = (
        "providers: [{name: a, type: anthropic}]\n"
        "telemetry: {otlp_endpoint: 'http://h', headers: {Authorization: '${NO_SUCH_TOKEN}'}}\n"
    )
    with pytest.raises(ConfigError, match="NO_SUCH_TOKEN"):
        load_text(text)


def test_headers_and_url_are_shown_without_secrets() -> None:
    made = config(otlp_endpoint="https://h.example/s3cr3tpathpart", headers={"a": "test-key-1"})
    shown = str(redacted(made))
    assert "test-key-1" not in shown
    assert "s3cr3tpathpart" not in shown
    assert "test-key-1" not in repr(made)
    assert "s3cr3tpathpart" not in repr(made)
    assert is_secret(("telemetry", "headers", "a"))


def test_where_telemetry_goes_is_part_of_what_a_file_reaches() -> None:
    made = config(otlp_endpoint="https://me@h.example:4318/x")
    assert origins(made) == {"https://a.example", "https://h.example:4318"}
    lines = effects({}, made).lines()
    assert "  sends to   https://h.example:4318 (traces and metrics)" in lines
    told = effects({}, made, {("telemetry", "otlp_endpoint")})
    assert told.collector == "what a command says"
    assert effects({}, config()).collector is None
