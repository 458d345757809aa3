"""Names and values of the conventions."""

import re
from typing import Any

import pytest
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics
from opentelemetry.semconv.attributes import (
    error_attributes,
    http_attributes,
    server_attributes,
    url_attributes,
)

from ccrelay.config.model import Config, Provider
from ccrelay.ledger.record import Result
from ccrelay.telemetry import genai
from ccrelay.telemetry.genai import Target
from ccrelay.telemetry.page import page
from ccrelay.types import RequestClass
from tests.unit.telemetry.records import attempt, record

USAGE: dict[str, Any] = {
    "has_usage": True,
    "input": 10,
    "output": 40,
    "cache_read": 300,
    "cache_write_5m": 20,
    "cache_write_1h": 5,
    "thinking": 15,
}
KNOWN = {"anthropic": Target("anthropic", "api.anthropic.com", 443)}


def test_names_are_those_of_the_installed_conventions() -> None:
    known = {
        value
        for module in (
            gen_ai_attributes,
            gen_ai_metrics,
            error_attributes,
            http_attributes,
            server_attributes,
            url_attributes,
        )
        for value in vars(module).values()
        if isinstance(value, str)
    }
    ours = {
        value
        for name, value in vars(genai).items()
        if name.isupper() and isinstance(value, str) and "." in value
    }
    assert len(ours) > 20
    assert ours <= known


def provider(name: str, **members: Any) -> Provider:
    return Provider(name=name, base_url=f"https://{name}.example:8443/x", **members)


def test_providers_have_the_names_of_the_conventions() -> None:
    config = Config(
        providers=[
            provider("mine", type="anthropic"),
            provider("plan", type="zai"),
            provider("local", type="ollama"),
            provider("ds", type="compatible", preset="deepseek"),
            provider("own", type="compatible"),
        ]
    )
    found = genai.targets(config)
    assert {name: target.name for name, target in found.items()} == {
        "mine": "anthropic",
        "plan": "z_ai",
        "local": "ollama",
        "ds": "deepseek",
        "own": "own",
    }
    assert (found["mine"].address, found["mine"].port) == ("mine.example", 8443)
    known = {value.value for value in gen_ai_attributes.GenAiProviderNameValues}
    assert {"anthropic", "deepseek"} <= known


@pytest.mark.parametrize(
    ("url", "address", "port"),
    [("https://a.example", "a.example", 443), ("http://[::1]", "::1", 80), ("http://a:x", "", 0)],
)
def test_ports_have_defaults(url: str, address: str, port: int) -> None:
    config = Config(providers=[Provider(name="a", type="anthropic", base_url=url)])
    assert genai.targets(config)["a"] == Target("anthropic", address, port)


def test_usage_counts_the_cache_as_input_as_the_conventions_say() -> None:
    made = record(**USAGE, stream=True, first_event_us=700_000, stop_reason="end_turn")
    [only] = genai.attempts(made)
    found = genai.attempt_attributes(made, only, KNOWN, is_last=True)
    assert found == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude-opus-5-5",
        "gen_ai.response.model": "claude-opus-5-5",
        "gen_ai.request.stream": True,
        "gen_ai.response.time_to_first_chunk": 0.7,
        "gen_ai.response.finish_reasons": ("end_turn",),
        "gen_ai.usage.input_tokens": 335,
        "gen_ai.usage.output_tokens": 40,
        "gen_ai.usage.cache_read.input_tokens": 300,
        "gen_ai.usage.cache_creation.input_tokens": 25,
        "gen_ai.usage.reasoning.output_tokens": 15,
        "http.response.status_code": 200,
        "server.address": "api.anthropic.com",
        "server.port": 443,
        "ccrelay.provider": "anthropic",
        "ccrelay.key": "team-a",
        "ccrelay.verdict": "answered",
    }


def test_usage_is_told_once() -> None:
    made = record(**USAGE, attempts=2, tries=[attempt(), attempt(verdict="answered", status=200)])
    names = [genai.exchange_attributes(made)]
    names += [
        genai.attempt_attributes(made, t, KNOWN, is_last=t is made.tries[-1]) for t in made.tries
    ]
    assert sum("gen_ai.usage.input_tokens" in found for found in names) == 1


def test_the_page_says_where_every_attribute_is() -> None:
    told = {
        (name, where)
        for where, names in re.findall(r"^\| (both|exchange|attempt) \| (`.+`) \|", page(), re.M)
        for name in re.findall(r"`([^`]+)`", names)
    }
    members = {
        "session": "s",
        "agent": "a",
        "project": "p",
        "queued_us": 5000,
        "why": 2,
        "rule": "r",
    }
    members |= {"first_event_us": 700_000, "stop_reason": "end_turn", "stream": True}
    good, bad = (
        record(**USAGE, **members),
        record(status=529, result=Result.LOST, error="overloaded"),
    )
    on_exchange, on_attempt = set(), set()
    for made in (good, bad):
        [only] = genai.attempts(made)
        on_exchange |= genai.exchange_attributes(made).keys()
        on_attempt |= genai.attempt_attributes(made, only, KNOWN, is_last=True).keys()
    found = {(name, "both") for name in on_exchange & on_attempt}
    found |= {(name, "exchange") for name in on_exchange - on_attempt}
    found |= {(name, "attempt") for name in on_attempt - on_exchange}
    assert told == found


def test_an_exchange_tells_who_asked_and_how_it_went() -> None:
    made = record(
        **USAGE,
        model="asked",
        session="s-1",
        agent="a-1",
        project="api",
        cost_micros=0,
        queued_us=3_200_000,
        why=2,
    )
    found = genai.exchange_attributes(made)
    assert found["gen_ai.request.model"] == "asked"
    assert found["gen_ai.conversation.id"] == "s-1"
    assert found["gen_ai.agent.id"] == "a-1"
    assert found["ccrelay.project"] == "api"
    assert found["ccrelay.outcome"] == "ok"
    assert found["ccrelay.why"] == "affinity"
    assert found["ccrelay.cost_micros"] == 0
    assert found["ccrelay.queued_ms"] == 3200
    assert genai.ERROR_TYPE not in found


@pytest.mark.parametrize("cost", [{"cost_micros": -1}, {"has_usage": False, "cost_micros": 0}])
def test_an_unknown_cost_is_absent_not_zero(cost: dict[str, Any]) -> None:
    assert "ccrelay.cost_micros" not in genai.exchange_attributes(record(**USAGE | cost))


@pytest.mark.parametrize(
    ("members", "error"),
    [
        ({"status": 529, "result": Result.LOST, "error": "overloaded"}, "overloaded"),
        ({"status": 502, "result": Result.LOST, "error": "two words"}, "502"),
        ({"status": 0, "result": Result.LOST}, "_OTHER"),
        ({"status": 400, "result": Result.PASSED_ON, "error": "bad_request"}, None),
    ],
)
def test_errors_are_few_words(members: dict[str, Any], error: str | None) -> None:
    assert genai.exchange_attributes(record(**members)).get(genai.ERROR_TYPE) == error


@pytest.mark.parametrize("kind", [*RequestClass, 99])
def test_every_kind_of_request_has_its_words(kind: int) -> None:
    made = record(kind=kind)
    method, path = genai.http(made)
    assert bool(method) == bool(path)
    assert bool(genai.operation(made)) == (kind in (0, 1))


def test_long_texts_of_clients_are_cut() -> None:
    found = genai.exchange_attributes(record(session="x" * 10_000, model="y" * 10_000))
    assert max(len(v) for v in found.values() if isinstance(v, str)) <= 256


def test_no_attempt_makes_no_attempt() -> None:
    assert genai.attempts(record(attempts=0, result=Result.REFUSED)) == []


def test_unknown_numbers_are_told_as_they_are() -> None:
    found = genai.exchange_attributes(record(result=77, why=55))
    assert found["ccrelay.outcome"] == "77"
    assert found["ccrelay.why"] == "55"


@pytest.mark.parametrize(
    ("verdict", "status", "error"),
    [
        ("answered", 200, None),
        ("client_left", 200, None),
        ("overloaded", 529, "overloaded"),
        ("passed_on", 400, "400"),
        ("lost", 502, "502"),
        ("lost", 0, "lost"),
    ],
)
def test_the_error_of_an_attempt(verdict: str, status: int, error: str | None) -> None:
    one = attempt(verdict=verdict, status=status)
    found = genai.attempt_attributes(record(), one, KNOWN, is_last=False)
    assert found.get(genai.ERROR_TYPE) == error
