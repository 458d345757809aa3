import json
from collections.abc import Callable

import pytest

from ccrelay.config.model import Key, Provider
from ccrelay.errors import BadRequest
from ccrelay.providers.base import Dialect
from ccrelay.types import RequestClass

Make = Callable[..., Provider]

SYSTEM_TURN = (
    b'{"model":"a","messages":[{"role":"user","content":"u"},{"role":"system","content":"s"}]}'
)


@pytest.mark.parametrize(
    ("base_url", "host", "prefix"),
    [
        ("https://api.anthropic.com", b"api.anthropic.com", b""),
        ("https://api.z.ai/api/anthropic/", b"api.z.ai", b"/api/anthropic"),
        ("https://relay.example:443/x", b"relay.example", b"/x"),
        ("http://relay.example:443", b"relay.example:443", b""),
        ("http://localhost:11434", b"localhost:11434", b""),
        ("http://[::1]:11434/a b", b"[::1]:11434", b"/a%20b"),
        ("http://[::1]/a%20b", b"[::1]", b"/a%20b"),
        ("https://user:pw@Relay.Example/", b"relay.example", b""),
        ("https://b\u00fccher.example", b"xn--bcher-kva.example", b""),
    ],
)
def test_the_base_url_gives_host_and_prefix(
    make: Make, base_url: str, host: bytes, prefix: bytes
) -> None:
    dialect = Dialect(make(base_url=base_url))
    assert (dialect.host(), dialect.prefix()) == (host, prefix)


@pytest.mark.parametrize(
    ("auth", "lines"),
    [
        ("x-api-key", [(b"x-api-key", b"test-key-1")]),
        ("bearer", [(b"authorization", b"Bearer test-key-1")]),
        ("none", []),
    ],
)
def test_a_key_is_sent_in_the_configured_form(
    make: Make, auth: str, lines: list[tuple[bytes, bytes]]
) -> None:
    dialect = Dialect(make(auth=auth))
    assert dialect.credential_lines("test-key-1") == lines
    assert dialect.credential_lines(None) == []


@pytest.mark.parametrize("key", ["a\r\nx-evil: 1", "tab\t", "cl\u00e9"])
def test_an_unsendable_key_is_rejected_without_being_shown(make: Make, key: str) -> None:
    with pytest.raises(ValueError, match="provider p") as caught:
        Dialect(make()).credential_lines(key)
    assert key not in str(caught.value)


@pytest.mark.parametrize("field", ["base_url", "auth", "count_tokens"])
def test_a_provider_without_defaults_is_rejected(make: Make, field: str) -> None:
    with pytest.raises(ValueError, match="defaults"):
        Dialect(make(**{field: None}))


def test_client_credentials_pass_only_to_keyless_anthropic_providers(make: Make) -> None:
    assert Dialect(make("anthropic")).passes_client_credential
    assert not Dialect(make("anthropic", auth="none")).passes_client_credential
    assert not Dialect(make("anthropic", keys=[Key(key="test-key-1")])).passes_client_credential
    disabled = [Key(key="test-key-1", enabled=False)]
    assert not Dialect(make("anthropic", keys=disabled)).passes_client_credential
    for kind in ("zai", "ollama", "compatible"):
        assert not Dialect(make(kind)).passes_client_credential


def test_static_headers_replace_what_the_client_sent(make: Make) -> None:
    dialect = Dialect(make(headers={"X-Team": "blue"}))
    assert dialect.static_headers == [(b"x-team", b"blue")]
    assert dialect.drop_names == {b"x-team"}


@pytest.mark.parametrize("headers", [{"x": "a\r\nb: c"}, {"x\r\n": "a"}])
def test_static_headers_cannot_inject_lines(make: Make, headers: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="not allowed in headers"):
        Dialect(make(headers=headers))


def test_betas_are_dropped_one_by_one_or_with_their_header(make: Make) -> None:
    plain = Dialect(make())
    assert (plain.drop_betas, plain.drop_names) == (None, frozenset())
    some = Dialect(make(drop_betas=["a-1", "b-2"]))
    assert (some.drop_betas, some.drop_names) == ({b"a-1", b"b-2"}, frozenset())
    every = Dialect(make(drop_betas=["*"]))
    assert (every.drop_betas, every.drop_names) == (None, {b"anthropic-beta"})


def test_models_are_matched_by_the_providers_own_rules(make: Make) -> None:
    dialect = Dialect(make(model_mapping={"a": "b"}, models=["c"]))
    assert [dialect.matcher.resolve(m) for m in "abc"] == ["b", None, "c"]
    assert Dialect(make(models=None)).matcher.resolve("a") is None


def test_system_turns_are_folded_only_when_configured(make: Make) -> None:
    assert not Dialect(make()).needs_rewrite("a")
    folding = Dialect(make(system_role="user"))
    assert folding.needs_rewrite("a")
    rewritten = json.loads(folding.rewrite(SYSTEM_TURN, "b", RequestClass.MESSAGES))
    assert rewritten["model"] == "b"
    assert [turn["role"] for turn in rewritten["messages"]] == ["user"]


def test_other_bodies_only_get_their_model_replaced(make: Make) -> None:
    dialect = Dialect(make(system_role="user"))
    rewritten = dialect.rewrite(SYSTEM_TURN, "b", RequestClass.OTHER_V1)
    assert rewritten == SYSTEM_TURN.replace(b'"a"', b'"b"')


def test_an_invalid_body_is_a_bad_request(make: Make) -> None:
    with pytest.raises(BadRequest):
        Dialect(make(system_role="user")).rewrite(b"{", "b", RequestClass.MESSAGES)


def test_missing_messages_are_left_to_the_provider(make: Make) -> None:
    dialect = Dialect(make(system_role="user"))
    assert dialect.rewrite(b"{}", "b", RequestClass.COUNT_TOKENS) == b'{"model":"b"}'


def test_errors_pass_unchanged_without_a_retry_hint(make: Make) -> None:
    dialect = Dialect(make())
    assert dialect.translate_error(418, b"x") == (418, b"x")
    assert dialect.forbids_retry(b"x") is False
    assert (dialect.translates_errors, dialect.repairs_stream) == (False, False)


def test_a_repr_shows_no_secret(make: Make) -> None:
    dialect = Dialect(make(keys=[Key(key="test-key-1")]))
    assert repr(dialect) == "<Dialect p>"
