"""Answers that need no provider, and how provider errors are rendered."""

import json
import random

import pytest

from ccrelay import __version__
from ccrelay._fast.http1 import Head, parse_response
from ccrelay._fast.rate_limits import Cooldown
from ccrelay.errors import NotFound, RelayError
from ccrelay.fleet.provider_state import ProviderState
from ccrelay.relay.api_endpoints import LOCAL_PATHS
from ccrelay.relay.local_reply import local_answer, models_body, not_served, passed_on
from ccrelay.wire.models import ModelEntry
from tests.unit.relay.fakes import FakeDown, FakeRelay, provider, provider_state
from tests.unit.relay.scenario import LIMITED, relay_of, reply, request, sending, with_fields

ENTRIES = [ModelEntry(id=name, body=b'{"id":"%b"}' % name.encode()) for name in ("a", "b c", "d")]


def fell(one: ProviderState) -> None:
    """Open its breaker at 10.0."""
    breaker, rng = one.endpoint.breaker, random.Random(1)
    while breaker.available(10.0):
        breaker.settle(breaker.force(10.0), 10.0, rng, ok=False)


def split(data: bytes) -> tuple[Head, bytes]:
    parsed = parse_response(data)
    assert parsed is not None
    return parsed[0], data[parsed[1] :]


# ---- local paths


def answer(path: bytes, states: list[ProviderState], now: float = 0.0, **given: bool) -> bytes:
    fields = {"is_known": True, "keep_alive": True, "body_wanted": True, **given}
    return local_answer(path, states, now, **fields)


def told(data: bytes) -> object:
    return json.loads(split(data)[1])


@pytest.mark.parametrize("path", sorted(LOCAL_PATHS))
@pytest.mark.parametrize("keep_alive", [True, False])
def test_every_local_path_answers_json(path: bytes, keep_alive: bool) -> None:
    data = answer(path, [provider_state()], keep_alive=keep_alive)
    head, body = split(data)
    assert (head.status, head.keep_alive) == (200, keep_alive)
    assert head.content_length == len(body)
    assert isinstance(json.loads(body), dict)


@pytest.mark.parametrize("path", sorted(LOCAL_PATHS))
def test_head_gets_the_head_of_get(path: bytes) -> None:
    whole = answer(path, [provider_state()])
    bare = answer(path, [provider_state()], body_wanted=False)
    assert bare == whole[: whole.index(b"\r\n\r\n") + 4]


def test_the_root_shows_name_and_version() -> None:
    assert told(answer(b"/", [])) == {"name": "ccrelay", "version": __version__}


def test_ready_lists_usable_providers_and_is_503_without_any() -> None:
    states = [provider_state("one"), provider_state("two")]
    fell(states[0])
    data = answer(b"/ready", states, 10.5)
    assert (split(data)[0].status, told(data)) == (200, {"ready": True, "providers": ["two"]})
    states[1].targets[0].limits.start_cooldown(20.0, int(Cooldown.REFUSED))
    data = answer(b"/ready", states, 10.5)
    assert (split(data)[0].status, told(data)) == (503, {"ready": False, "providers": []})


def test_health_does_not_depend_on_providers() -> None:
    head, body = split(answer(b"/health", []))
    assert (head.status, body) == (200, b'{"status":"ok"}')


@pytest.mark.parametrize("path", sorted(LOCAL_PATHS))
def test_a_client_without_a_token_is_told_the_status_alone(path: bytes) -> None:
    states = [provider_state("one"), provider_state("two")]
    data = answer(path, states, is_known=False)
    assert (split(data)[0].status, told(data)) == (
        200,
        {"ready": True} if path == b"/ready" else {"status": "ok"},
    )
    data = answer(b"/ready", [], is_known=False)
    assert (split(data)[0].status, told(data)) == (503, {"ready": False})
    assert __version__.encode() not in data


# ---- models


def test_the_model_list_is_paged_by_the_query() -> None:
    page = json.loads(models_body(ENTRIES, b"/v1/models", b"limit=2"))
    assert [model["id"] for model in page["data"]] == ["a", "b c"]
    assert page["has_more"] is True


def test_a_model_is_found_by_its_percent_encoded_name() -> None:
    assert models_body(ENTRIES, b"/v1/models/b%20c", b"") == b'{"id":"b c"}'


def test_an_unknown_model_is_a_404_that_lists_served_models() -> None:
    with pytest.raises(NotFound, match=r"'nope'.*Served: a, b c, d\."):
        models_body(ENTRIES, b"/v1/models/nope", b"")


def test_the_404_is_bounded_in_length() -> None:
    error: RelayError = not_served("x" * 10_000, [f"model-{n}" for n in range(1000)])
    assert len(error.message) < 1000
    assert "Served: nothing." in not_served("m", []).message


# ---- provider errors


def test_a_translated_error_keeps_request_id_and_retry_after() -> None:
    head, _ = split(
        b"HTTP/1.1 429 X\r\nrequest-id: up_1\r\nretry-after: 7\r\ncontent-encoding: br\r\n"
        b"content-length: 9\r\nset-cookie: a\r\n\r\n"
    )
    assert passed_on(head, False) == [(b"request-id", b"up_1"), (b"retry-after", b"7")]
    assert passed_on(head, True)[2:] == [(b"x-should-retry", b"false")]


@pytest.mark.parametrize(
    "name",
    [
        b"anthropic-ratelimit-unified-overage-group",
        b"Anthropic-RateLimit-Unified-7d_fable-Status",
        b"x-ratelimit-remaining-requests",
        b"X-RateLimit-Some-New-One",
    ],
)
def test_limits_of_any_name_stay_with_a_translated_error(name: bytes) -> None:
    head, _ = split(b"HTTP/1.1 429 X\r\nx-other: no\r\n" + name + b": on\r\n\r\n")
    assert passed_on(head, False) == [(name.lower(), b"on")]


@pytest.mark.parametrize("word", [b"true", b"false"])
def test_x_should_retry_of_the_provider_is_kept(word: bytes) -> None:
    head, _ = split(b"HTTP/1.1 429 X\r\nx-should-retry: " + word + b"\r\n\r\n")
    assert passed_on(head, True) == [(b"x-should-retry", word)]


def test_a_translated_error_is_sent_with_the_kept_fields() -> None:
    relay = FakeRelay(provider(kind="zai"))
    down = FakeDown(relay.reactor)
    upstream = sending(relay, down)
    upstream.respond(
        b"HTTP/1.1 429 X\r\nrequest-id: up_1\r\nretry-after: 70\r\nx-other: no\r\n"
        b"content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    upstream.feed(b'{"error":{"code":"1302","message":"too fast"}}')
    upstream.finish()
    assert down.heads[0].startswith(b"HTTP/1.1 429 ")
    assert b"request-id: up_1" in down.heads[0]
    assert b"retry-after: 70" in down.heads[0]
    assert b"x-other" not in down.heads[0]
    assert b'"rate_limit_error"' in down.got
    assert relay.log.records[0]["ending"] == "complete"


def test_a_provider_error_is_sent_with_its_head_and_body() -> None:
    relay = relay_of("one")
    down, exchange = request(relay)
    reply(relay, exchange, with_fields(429, b"retry-after: 7\r\nrequest-id: up-1\r\n"), LIMITED)
    assert b"retry-after: 7\r\n" in down.got
    assert b"request-id: up-1\r\n" in down.got
    assert down.got.endswith(b"\r\n\r\n" + LIMITED)
