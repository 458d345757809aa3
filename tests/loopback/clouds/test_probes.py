"""Health checks and model lists where a provider is a cloud."""

import pytest

from ccrelay.config.model import Health, Key
from tests.loopback.clouds.clouds import KEYS, asked, cloud, is_signed, issue, tokens
from tests.loopback.relay.harness import Lab, eventually, provider, routing
from tests.loopback.relay.scripts import JSON, Turns
from tests.loopback.relay.wires import fault, request, response

COUNTED = response(200, b'{"input_tokens":3}')
DOWN = fault(503, "api_error", "Down")


async def open_breaker(lab: Lab, kind: str, turns: Turns, **fields: object) -> None:
    lab.start(
        cloud(kind, lab.upstream(turns), models=["claude-haiku-4-5"], **fields),
        health=Health(failures=1, open_s=0.1, probe="count_tokens"),
        routing=routing(queue_timeout_s=0),
    )
    if not fields:
        issue(lab, kind)
    body = b'{"model":"claude-haiku-4-5","max_tokens":8,"messages":[{"role":"user","content":"x"}]}'
    assert (await lab.ask(asked(body))).status >= 500


async def test_an_endpoint_is_asked_in_the_clouds_form_with_its_token(lab: Lab) -> None:
    turns = Turns(DOWN, COUNTED)
    await open_breaker(lab, "vertex", turns)
    await eventually(lambda: len(turns.got) == 2)
    assert turns.got[1].line.split(b" ")[1].endswith(b"/models/count-tokens:rawPredict")
    assert tokens(turns.got) == ["test-token-1"] * 2
    await eventually(lambda: bool(lab.sink.named("probe")))
    assert lab.sink.named("probe")[0]["good"] is True


async def test_a_probe_is_signed(lab: Lab) -> None:
    turns = Turns(DOWN, COUNTED)
    await open_breaker(lab, "claude-aws", turns)
    await eventually(lambda: len(turns.got) == 2)
    assert is_signed(turns.got[1], KEYS, "aws-external-anthropic")


async def test_a_key_of_a_cloud_is_sent_with_a_probe(lab: Lab) -> None:
    turns = Turns(DOWN, COUNTED)
    await open_breaker(lab, "azure", turns, keys=[Key(key="test-key-1")])
    await eventually(lambda: len(turns.got) == 2)
    assert turns.got[1].get(b"x-api-key") == b"test-key-1"


async def test_without_a_credential_a_probe_asks_nothing(lab: Lab) -> None:
    turns = Turns(DOWN, COUNTED)
    await open_breaker(lab, "vertex", turns)
    issue(lab, "vertex", serial=2, error="No account.")
    await eventually(lambda: bool(lab.sink.named("probe")))
    (event, *_) = lab.sink.named("probe")
    assert event["good"] is False
    assert "no credential" in str(event["reason"])
    assert len(turns.got) == 1


@pytest.mark.parametrize("kind", ["vertex", "bedrock", "azure"])
async def test_no_cloud_is_asked_for_models(lab: Lab, kind: str) -> None:
    turns = Turns(JSON)
    lab.start(
        cloud(kind, lab.upstream(turns), discover_models=True, models=["claude-haiku-4-5"]),
        provider(lab.upstream(Turns(JSON)), "second"),
    )
    issue(lab, kind)
    answer = await lab.ask(request(b"GET", b"/v1/models"), method="GET")
    assert answer.status == 200
    assert "claude-haiku-4-5" in answer.body.decode()
    assert turns.got == []
