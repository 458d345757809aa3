"""Exchanges on their way to a target: model, body, reload."""

import gzip

import pytest

from ccrelay.config.model import Affinity
from tests.unit.relay.fakes import BODY, MODEL_SEEN, FakeDown, FakeRelay, keys, provider
from tests.unit.relay.scenario import ask, attempt_of, settings, target_of


def test_no_connection_is_dialled_before_the_model_is_known(relay: FakeRelay) -> None:
    down = FakeDown(relay.reactor, arrived=3)
    relay.request(down)
    down.arrive(MODEL_SEEN - 2)
    assert relay.pools["one"].dials == []
    down.arrive(MODEL_SEEN)
    assert len(relay.pools["one"].dials) == 1


def test_a_complete_body_without_a_model_is_a_400(relay: FakeRelay) -> None:
    down = FakeDown(relay.reactor, body=b'{"stream":true}')
    relay.request(down)
    assert b'has no \\"model\\"' in down.got
    assert relay.log.records[0]["status"] == 400


def test_a_gzip_body_is_sent_unpacked_with_its_model_replaced() -> None:
    relay = FakeRelay(provider(model_mapping={"m": "other"}))
    down = FakeDown(relay.reactor, body=gzip.compress(BODY))
    relay.request(down, is_packed=True)
    upstream = relay.pools["one"].connect()
    (_, _, body), target = upstream.sent[0], relay.providers[0].targets[0]
    assert body == BODY.replace(b'"m"', b'"other"')
    assert upstream.sent[0][0] is target.decoded_plan(target.plan)


def test_a_body_that_is_not_gzip_is_a_400(relay: FakeRelay) -> None:
    down = FakeDown(relay.reactor, body=b"not gzip")
    relay.request(down, is_packed=True)
    assert down.heads[0].startswith(b"HTTP/1.1 400 ")
    assert len(relay.log.records) == 1


def test_a_gzip_body_that_cannot_be_kept_is_a_529(relay: FakeRelay) -> None:
    down = FakeDown(relay.reactor, body=gzip.compress(BODY), arrived=5, windowed=True)
    relay.request(down, is_packed=True)
    assert down.heads[0].startswith(b"HTTP/1.1 529 ")
    assert b"replay_bytes_max" in down.got


def test_a_reload_routes_a_gzip_request_by_the_model_it_was_unpacked_for() -> None:
    relay = FakeRelay(provider("one", keys=keys("a", max_concurrent=1)))
    ask(relay)
    waits = ask(relay)
    assert len(relay.queue) == 1
    relay.queue.leave(waits)
    waits.client.down.model = lambda: None
    relay.configure(provider("one", keys=keys("b")))
    waits.reroute()
    assert waits.client.model == "m"
    assert attempt_of(waits).reservation is not None


@pytest.mark.parametrize("bound", [{"queue_max": 0}, {"queue_timeout_s": 0.0}])
def test_a_conversation_that_may_not_queue_for_its_sticky_target_takes_another(
    bound: dict[str, object],
) -> None:
    relay = FakeRelay(
        provider("one", keys=keys("a", "b", max_concurrent=1)),
        config=settings(failures=2, affinity=Affinity(wait_s=5.0), **bound),
    )
    first = relay.request(FakeDown(relay.reactor, session="s"))
    assert first.request is not None
    assert target_of(first) is not None
    relay.affinity.keep(
        first.request.conversation, target_of(first).slot, relay.reactor.now, prefix_tokens=9000
    )
    second = relay.request(FakeDown(relay.reactor, session="s"))
    assert target_of(second) is not None
    assert target_of(second) is not target_of(first)
    assert attempt_of(second).reservation is not None
