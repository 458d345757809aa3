"""A key that its provider refuses comes back by itself: by a request, or by a probe."""

import asyncio

import pytest

from ccrelay._fast.rate_limits import Capacity
from ccrelay.config.model import Affinity, Health
from ccrelay.relay import refusals
from tests.loopback.relay.harness import Lab, eventually, provider, routing
from tests.loopback.relay.scripts import JSON, Turns
from tests.loopback.relay.wires import fault, post, response

NOW = {"queue_timeout_s": 0, "affinity": Affinity(enabled=False)}


async def test_a_refused_key_alone_is_told_as_ours_and_tried_by_a_request_when_due(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "FIRST_S", 0.3)
    refused = fault(401, "authentication_error", "invalid x-api-key")
    turns = Turns(refused, refused, JSON)
    lab.start(lab.upstream(turns))
    for tries in (1, 2):
        for text in ("refused the relay's key", "were refused"):
            answer = await lab.ask(post())
            assert (answer.status, answer.get(b"x-should-retry")) == (502, b"false")
            assert answer.get(b"retry-after") is None
            assert "first" in answer.error["message"]
            assert text in answer.error["message"]
            assert b"x-api-key" not in answer.body
        assert len(turns.got) == tries
        await asyncio.sleep(0.3 * tries + 0.05)
    for _ in range(2):
        assert (await lab.ask(post())).status == 200
    assert len(turns.got) == 4
    assert len(lab.sink.named("key_restored")) == 1


@pytest.mark.parametrize("status", [401, 403])
async def test_a_check_that_failed_disables_no_key_and_is_told_as_ours(
    lab: Lab, status: int
) -> None:
    turns = Turns(fault(status, "authentication_error", "auth service unavailable"), JSON)
    lab.start(provider(lab.upstream(turns)), routing=routing(**NOW))
    answer = await lab.ask(post())
    assert (answer.status, answer.get(b"x-should-retry")) == (502, None)
    assert "could not check the relay's key" in answer.error["message"]
    assert (await lab.ask(post())).status == 200
    assert lab.sink.named("key_disabled") == []


COUNTED = response(200, b'{"input_tokens":7}')


@pytest.mark.parametrize(
    ("probes", "health", "paths"),
    [
        ([COUNTED], Health(), ["/v1/messages/count_tokens"]),
        (
            [fault(404, "not_found_error"), JSON],
            Health(),
            ["/v1/messages/count_tokens", "/v1/messages"],
        ),
        (
            [fault(401, "authentication_error"), COUNTED],
            Health(),
            ["/v1/messages/count_tokens", "/v1/messages/count_tokens"],
        ),
        ([], Health(probe="off"), []),
    ],
    ids=["counted", "no counting there", "refused again", "no probes"],
)
async def test_where_others_serve_a_refused_key_is_probed_and_comes_back(
    lab: Lab,
    monkeypatch: pytest.MonkeyPatch,
    probes: list[bytes],
    health: Health,
    paths: list[str],
) -> None:
    monkeypatch.setattr(refusals, "FIRST_S", 0.2)
    bad, good = Turns(fault(401, "authentication_error"), *probes, JSON), Turns(JSON)
    lab.start(
        provider(lab.upstream(bad), "bad", models=["m"], count_tokens="forward"),
        provider(lab.upstream(good), "good"),
        routing=routing(**NOW, strategy="failover"),
        health=health,
    )
    asked = post(b'{"model":"m"}')
    assert (await lab.ask(asked)).status == 200
    target = lab.relay.providers[0].targets[0]
    limits = target.limits
    assert target.refusals.count() == 1
    await eventually(lambda: limits.state(lab.relay.reactor.now, 1, 1) == Capacity.READY)
    assert [seen.line.split()[1].decode() for seen in bad.got[1:]] == paths
    assert {seen.get(b"x-api-key") for seen in bad.got} == {b"provider-key-1"}
    assert (await lab.ask(asked)).status == 200
    assert lab.sink.records[-1]["provider"] == "bad"
    assert len(lab.sink.named("key_restored")) == 1
    assert target.refusals.count() == 0


@pytest.mark.parametrize("reply", [fault(500), fault(404), fault(503, "overloaded_error")])
async def test_a_probe_that_proves_nothing_of_the_key_is_repeated_later(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, reply: bytes
) -> None:
    monkeypatch.setattr(refusals, "FIRST_S", 0.2)
    bad, good = Turns(fault(401, "authentication_error"), reply), Turns(JSON)
    lab.start(
        provider(lab.upstream(bad), "bad", models=["m"], count_tokens="forward"),
        provider(lab.upstream(good), "good"),
        routing=routing(**NOW, strategy="failover"),
    )
    assert (await lab.ask(post(b'{"model":"m"}'))).status == 200
    target = lab.relay.providers[0].targets[0]
    await eventually(lambda: bool(lab.sink.named("probe")))
    (told,) = lab.sink.named("probe")
    assert (told["good"], told["key"]) == (False, target.fingerprint)
    assert target.refusals.count() == 1, "no verdict on the key"
    assert target.limits.state(lab.relay.reactor.now, 1, 1) == Capacity.DISABLED
    assert target.refusals.due_at > lab.relay.reactor.now + 20
