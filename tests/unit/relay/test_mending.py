"""Thinking blocks that a provider refuses cost one more request once, and not at every turn."""

from ccrelay._fast.affinity_table import FOREIGN, hash64
from tests.unit.relay.fakes import FakeRelay, json_head, provider
from tests.unit.relay.test_asking import ask, serve, serving, settings

BLOCK = b'{"type":"thinking","thinking":"I","signature":"c2lnbmVkIGVsc2V3aGVyZQ=="}'
TEXT = b'{"type":"text","text":"words"}'
BODY = (
    b'{"model":"m","stream":true,"messages":[{"role":"user","content":"a"},'
    b'{"role":"assistant","content":[%b,%b]},{"role":"user","content":"b"}]}' % (BLOCK, TEXT)
)
REFUSAL = (
    b'{"type":"error","error":{"type":"invalid_request_error","message":'
    b'"messages.1.content.0: Invalid `signature` in `thinking` block"}}'
)
CLAUDE = {"signatures": "claude"}


def refuse(relay: FakeRelay, exchange: object) -> None:
    upstream = serving(relay, exchange)  # type: ignore[arg-type]
    upstream.respond(json_head(400))
    upstream.feed(REFUSAL)
    upstream.finish()


def test_what_a_refusal_taught_is_known_at_the_next_turn() -> None:
    relay = FakeRelay(provider("one", **CLAUDE), provider("two", **CLAUDE), config=settings())
    first = ask(relay, body=BODY)
    refuse(relay, first)
    serve(relay, first)
    place = relay.affinity.find(hash64(b"s-1"), relay.reactor.now)
    assert place is not None
    assert place.flags & FOREIGN
    second = ask(relay, body=BODY)
    serve(relay, second)
    assert (first.attempts, second.attempts) == (2, 1)
    assert relay.log.events.count("thinking_stripped") == 1


def test_where_there_is_one_target_only_it_is_known_as_well() -> None:
    relay = FakeRelay(provider("one", **CLAUDE))
    first = ask(relay, body=BODY)
    refuse(relay, first)
    serve(relay, first)
    second = ask(relay, body=BODY)
    serve(relay, second)
    assert (first.attempts, second.attempts) == (2, 1)


def test_the_next_judge_of_signatures_is_not_sent_them_again() -> None:
    relay = FakeRelay(provider("one", **CLAUDE), provider("two", **CLAUDE), config=settings())
    exchange = ask(relay, body=BODY)
    refuse(relay, exchange)
    upstream = serving(relay, exchange)
    upstream.respond(json_head(529))
    upstream.finish()
    _, _, sent = serving(relay, exchange).sent[-1]
    assert sent is not None
    assert b"thinking" not in sent
    serve(relay, exchange)
    assert relay.log.records[-1]["status"] == 200
