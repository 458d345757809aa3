"""Credentials of clouds as requests see them: awaited, expired, refused, of a wrong clock."""

import asyncio
import json
import time
from email.utils import formatdate

from ccrelay.fleet.layout import Layout
from ccrelay.wire.cloud_credential import AwsKeys, BearerToken
from tests.loopback.clouds.clouds import (
    BODY,
    KEYS,
    asked,
    cloud,
    is_signed,
    issue,
    tokens,
)
from tests.loopback.relay.harness import Lab, eventually, provider, routing
from tests.loopback.relay.scripts import JSON, Turns
from tests.loopback.relay.wires import response

AWS_HEAD = (b"content-type", b"application/json")
SECOND = BearerToken("test-token-2")


def refused(name: str, message: str, status: int = 403, *more: tuple[bytes, bytes]) -> bytes:
    """An error as AWS words it."""
    head = [AWS_HEAD, (b"x-amzn-errortype", name.encode()), *more]
    return response(status, json.dumps({"message": message}).encode(), head)


EXPIRED = refused("ExpiredTokenException", "The security token included in the request is expired")
GOOGLE_EXPIRED = response(
    401,
    json.dumps(
        {
            "error": {
                "code": 401,
                "message": "Request had invalid authentication credentials.",
                "status": "UNAUTHENTICATED",
            }
        }
    ).encode(),
)


class Asks(list[tuple[str, str, int]]):
    """What the process that obtains credentials is asked for."""

    def __init__(self, lab: Lab) -> None:
        super().__init__()
        lab.relay.credentials.refresh = lambda *ask: self.append(ask)


# ---- awaited


async def test_requests_wait_for_the_first_credential(lab: Lab) -> None:
    turns = Turns(JSON)
    lab.start(cloud("vertex", lab.upstream(turns)))
    clients = [await lab.client() for _ in range(3)]
    for client in clients:
        await client.send(asked())
    await eventually(lambda: len(lab.relay.context.active) == 3)
    assert await clients[0].silent(0.05)
    issue(lab, "vertex")
    for client in clients:
        assert (await client.answer()).status == 200
    assert tokens(turns.got) == ["test-token-1"] * 3
    assert all(record["own_us"] < 50_000 for record in lab.sink.records)  # type: ignore[operator]


async def test_a_client_that_leaves_meanwhile_is_forgotten(lab: Lab) -> None:
    turns = Turns(JSON)
    lab.start(cloud("vertex", lab.upstream(turns)))
    client = await lab.client()
    await client.send(asked())
    await eventually(lambda: len(lab.relay.context.active) == 1)
    client.reset()
    await eventually(lambda: not lab.relay.context.active)
    issue(lab, "vertex")
    assert turns.got == []
    assert (await lab.records())[0]["ending"] == "client_left"


async def test_a_drain_ends_the_wait(lab: Lab) -> None:
    lab.start(cloud("vertex", lab.upstream(Turns(JSON))))
    client = await lab.client()
    await client.send(asked())
    await eventually(lambda: len(lab.relay.context.active) == 1)
    assert await lab.relay.drain(0.05) == 1
    assert (await client.answer()).status == 529


async def test_a_reload_does_not_end_the_wait(lab: Lab) -> None:
    turns = Turns(JSON)
    lab.start(cloud("vertex", lab.upstream(turns)))
    client = await lab.client()
    await client.send(asked())
    await eventually(lambda: len(lab.relay.context.active) == 1)
    relay = lab.relay
    relay.reload(relay.config, Layout.of(relay.config))
    issue(lab, "vertex")
    assert (await client.answer()).status == 200


async def test_one_that_cannot_be_obtained_leaves_the_request_to_another_provider(lab: Lab) -> None:
    first, second = Turns(JSON), Turns(JSON)
    lab.start(
        cloud("vertex", lab.upstream(first)),
        provider(lab.upstream(second), "second"),
        routing=routing(strategy="failover"),
    )
    issue(lab, "vertex", error="The login has expired: run `gcloud auth login`.")
    assert (await lab.ask(asked())).status == 200
    assert (await lab.ask(asked())).status == 200
    assert (len(first.got), len(second.got)) == (0, 2)
    (event,) = lab.sink.named("key_cooldown")
    assert event["why"] == "no_credential"
    # A credential ends the cooldown.
    issue(lab, "vertex")
    another = BODY.replace(b'"hi"', b'"hello"')
    assert (await lab.ask(asked(another))).status == 200
    assert tokens(first.got) == ["test-token-1"]


async def test_alone_the_client_hears_what_the_operator_has_to_do(lab: Lab) -> None:
    lab.start(cloud("vertex", lab.upstream(Turns(JSON))))
    issue(lab, "vertex", error="The login has expired: run `gcloud auth login`.")
    answer = await lab.ask(asked())
    assert answer.status == 502
    assert "vertex" in answer.error["message"]
    assert "gcloud auth login" in answer.error["message"]
    assert answer.get(b"x-should-retry") == b"false"


async def test_what_has_failed_while_a_request_waits_ends_the_wait(lab: Lab) -> None:
    second = Turns(JSON)
    lab.start(
        cloud("vertex", lab.upstream(Turns(JSON))),
        provider(lab.upstream(second), "second"),
        routing=routing(strategy="failover"),
    )
    client = await lab.client()
    await client.send(asked())
    await eventually(lambda: len(lab.relay.context.active) == 1)
    issue(lab, "vertex", error="No account.")
    assert (await client.answer()).status == 200
    assert len(second.got) == 1


async def test_the_wait_is_bounded(lab: Lab) -> None:
    second = Turns(JSON)
    lab.start(
        cloud("vertex", lab.upstream(Turns(JSON))),
        provider(lab.upstream(second), "second"),
        routing=routing(strategy="failover", queue_timeout_s=0),
    )
    began = time.monotonic()
    assert (await lab.ask(asked())).status == 200
    assert 1.5 < time.monotonic() - began < 4.5
    assert len(second.got) == 1


async def test_one_that_expires_is_used_until_then_and_awaited_after(lab: Lab) -> None:
    turns = Turns(JSON)
    lab.start(cloud("vertex", lab.upstream(turns)))
    issue(lab, "vertex", expires_at=time.time() + 0.4)
    assert (await lab.ask(asked())).status == 200
    await asyncio.sleep(0.5)
    client = await lab.client()
    await client.send(asked())
    assert await client.silent(0.05)
    issue(lab, "vertex", SECOND, 2)
    assert (await client.answer()).status == 200
    assert tokens(turns.got) == ["test-token-1", "test-token-2"]


# ---- refused


async def test_an_expired_one_is_replaced_and_the_request_sent_once_more(lab: Lab) -> None:
    turns = Turns(GOOGLE_EXPIRED, JSON)
    lab.start(cloud("vertex", lab.upstream(turns)))
    asks = Asks(lab)
    issue(lab, "vertex")
    client = await lab.client()
    await client.send(asked())
    await eventually(lambda: len(asks) == 1)
    issue(lab, "vertex", SECOND, 2)
    assert (await client.answer()).status == 200
    assert tokens(turns.got) == ["test-token-1", "test-token-2"]
    assert asks == [("vertex", lab.relay.config.providers[0].keys[0].key, 1)]
    (record,) = lab.sink.records
    assert (record["status"], record["attempts"]) == (200, 2)
    assert lab.sink.named("key_disabled") == []


async def test_requests_that_were_sent_with_the_old_one_do_not_reject_the_new_one(lab: Lab) -> None:
    turns = Turns(GOOGLE_EXPIRED, GOOGLE_EXPIRED, JSON)
    lab.start(cloud("vertex", lab.upstream(turns)))
    asks = Asks(lab)
    issue(lab, "vertex")
    clients = [await lab.client() for _ in range(2)]
    for client in clients:
        await client.send(asked())
    await eventually(lambda: len(turns.got) == 2)
    await eventually(lambda: len(asks) == 1)
    await asyncio.sleep(0.05)
    issue(lab, "vertex", SECOND, 2)
    for client in clients:
        assert (await client.answer()).status == 200
    assert len(asks) == 1


async def test_refused_twice_it_is_a_refused_key_and_the_next_one_serves(lab: Lab) -> None:
    turns = Turns(EXPIRED, EXPIRED, JSON)
    lab.start(
        cloud("claude-aws", lab.upstream(turns), credentials=2, key_strategy="round-robin"),
        routing=routing(strategy="failover"),
    )
    asks = Asks(lab)
    other = AwsKeys("AKIDOTHER", "test-secret-2")
    issue(lab, "claude-aws", index=0)
    issue(lab, "claude-aws", other, index=1)
    client = await lab.client()
    await client.send(asked())
    await eventually(lambda: len(asks) == 1)
    keys = [key.key for key in lab.relay.config.providers[0].keys]
    refused_at = keys.index(asks[0][1])
    issue(lab, "claude-aws", AwsKeys("AKIDNEW", "test-secret-3"), 2, index=refused_at)
    assert (await client.answer()).status == 200
    assert len(turns.got) == 3
    assert len(lab.sink.named("key_disabled")) == 1
    assert is_signed(turns.got[2], KEYS if refused_at else other, "aws-external-anthropic")


async def test_alone_and_refused_twice_the_client_does_not_hear_of_its_own_key(lab: Lab) -> None:
    lab.start(cloud("claude-aws", lab.upstream(Turns(EXPIRED))))
    asks = Asks(lab)
    issue(lab, "claude-aws")
    client = await lab.client()
    await client.send(asked())
    await eventually(lambda: len(asks) == 1)
    issue(lab, "claude-aws", AwsKeys("AKIDNEW", "test-secret-3"), 2)
    answer = await client.answer()
    assert answer.status == 502
    assert "claude-aws" in answer.error["message"]
    assert "expired" not in answer.error["message"]


async def test_no_secret_is_in_the_log(lab: Lab) -> None:
    lab.start(cloud("claude-aws", lab.upstream(Turns(EXPIRED, JSON))))
    asks = Asks(lab)
    issue(lab, "claude-aws")
    client = await lab.client()
    await client.send(asked())
    await eventually(lambda: len(asks) == 1)
    issue(lab, "claude-aws", AwsKeys("AKIDNEW", "test-secret-3", "test-session-3"), 2)
    assert (await client.answer()).status == 200
    text = lab.sink.text() + repr(lab.relay.credentials) + repr(lab.relay.providers)
    for secret in ("test-secret", "test-session", "test-client-key"):
        assert secret not in text


# ---- clocks


def ahead(seconds: float) -> tuple[bytes, bytes]:
    return b"date", formatdate(time.time() + seconds, usegmt=True).encode()


async def test_a_signature_that_is_off_is_made_once_more_by_the_clouds_clock(lab: Lab) -> None:
    skewed = refused(
        "InvalidSignatureException", "Signature expired: it is too old", 403, ahead(3600)
    )
    turns = Turns(skewed, JSON)
    lab.start(cloud("claude-aws", lab.upstream(turns)))
    asks = Asks(lab)
    issue(lab, "claude-aws")
    assert (await lab.ask(asked())).status == 200
    first, second = (request.get(b"x-amz-date") or b"" for request in turns.got)
    hours = [int(stamp[9:11]) for stamp in (first, second)]
    assert (hours[1] - hours[0]) % 24 == 1
    assert is_signed(turns.got[1], KEYS, "aws-external-anthropic")
    assert asks == []
    (event,) = lab.sink.named("clock_skew")
    assert 3500 < event["seconds"] < 3700  # type: ignore[operator]
    # The next one is right at once.
    assert (await lab.ask(asked())).status == 200
    assert len(turns.got) == 3


async def test_a_clock_that_is_right_is_not_set(lab: Lab) -> None:
    invalid = refused("InvalidSignatureException", "The signature does not match", 403, ahead(0))
    lab.start(cloud("claude-aws", lab.upstream(Turns(invalid))))
    asks = Asks(lab)
    issue(lab, "claude-aws")
    client = await lab.client()
    await client.send(asked())
    await eventually(lambda: len(asks) == 1)
    issue(lab, "claude-aws", KEYS, 2)
    assert (await client.answer()).status == 502
    assert lab.sink.named("clock_skew") == []


async def test_the_clouds_clock_decides_when_one_has_expired(lab: Lab) -> None:
    dated = response(
        200, json.dumps({"type": "message", "content": []}).encode(), [AWS_HEAD, ahead(-7200)]
    )
    turns = Turns(dated)
    lab.start(cloud("vertex", lab.upstream(turns)))
    issue(lab, "vertex", expires_at=time.time() + 3600)
    assert (await lab.ask(asked())).status == 200
    state = lab.relay.providers[0]
    assert -7300 < state.clock_skew_s < -7100
    # By our clock this one has expired, by the cloud's it has not.
    issue(lab, "vertex", SECOND, 2, expires_at=time.time() - 3600)
    assert (await lab.ask(asked())).status == 200
    assert tokens(turns.got) == ["test-token-1", "test-token-2"]
