"""Requests, responses and failures that tests of several modules of `relay` share."""

from typing import Any

from ccrelay._fast.affinity_table import Binding, hash64
from ccrelay.config.model import Config, Health, Routing
from ccrelay.errors import UpstreamFailed
from ccrelay.fleet.provider_state import Target
from ccrelay.relay.attempt import Attempt
from ccrelay.relay.exchange import Exchange
from tests.unit.relay.fakes import (
    CONTENT,
    START,
    STOP,
    STREAM_HEAD,
    FakeDown,
    FakeRelay,
    FakeUpstream,
    json_head,
    keys,
    provider,
)

AGENT = b"x-claude-code-agent-id: a-1\r\n"

CONNECT_FAILED = UpstreamFailed("Provider one cannot be reached.")

# ---- bodies of provider errors

BUSY = b'{"type":"error","error":{"type":"overloaded_error","message":"busy"}}'
LIMITED = b'{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}'
REFUSED = b'{"type":"error","error":{"type":"authentication_error","message":"bad key"}}'
BROKE = b'{"type":"error","error":{"type":"billing_error","message":"no balance"}}'
INVALID = b'{"type":"error","error":{"type":"invalid_request_error","message":"messages: empty"}}'
NO_MODEL = b'{"type":"error","error":{"type":"not_found_error","message":"model: m"}}'
UNSIGNED_BLOCK = (
    b'{"type":"error","error":{"type":"invalid_request_error","message":'
    b'"messages.0.content.0: Invalid `signature` in `thinking` block"}}'
)

# ---- bodies with thinking blocks

_THOUGHT = (
    b'{"model":"m","stream":true,"messages":[{"role":"assistant","content":['
    b'{"type":"thinking","thinking":"t","signature":"%b"},{"type":"text","text":"a"}]}]}'
)
FOREIGN_THOUGHT = _THOUGHT % b"not-claudes"
CLAUDES_THOUGHT = _THOUGHT % (b"Eo" + b"A" * 66)


# ---- relays


def settings(failures: int | None = None, **routing: Any) -> Config:
    """Providers are taken in their order; `failures` in a row open a breaker."""
    health = Health() if failures is None else Health(failures=failures)
    return Config(routing=Routing(**{"strategy": "failover", **routing}), health=health)


def two(**routing: Any) -> FakeRelay:
    """Providers `one` and `two`."""
    return FakeRelay(provider("one"), provider("two"), config=settings(**routing))


def two_keys_and_two(**routing: Any) -> FakeRelay:
    """Provider `one` with the keys `a` and `b`, and provider `two`; two failures open a breaker."""
    one = provider("one", keys=keys("a", "b"))
    return FakeRelay(one, provider("two"), config=settings(failures=2, **routing))


def relay_of(*names: str, **routing: Any) -> FakeRelay:
    """Providers of these names; no request waits for any."""
    config = settings(**{"queue_timeout_s": 0.0, **routing})
    return FakeRelay(*[provider(name) for name in names], config=config)


def open_breaker(relay: FakeRelay, number: int = 0) -> None:
    breaker, now = relay.providers[number].endpoint.breaker, relay.reactor.now
    while breaker.available(now):
        breaker.settle(breaker.force(now), now, relay.rng, ok=False)


# ---- requests


def ask(relay: FakeRelay, session: str | None = "s-1", **more: Any) -> Exchange:
    """A request of a conversation, routed."""
    return relay.request(FakeDown(relay.reactor, session=session, **more))


def request(relay: FakeRelay, **more: Any) -> tuple[FakeDown, Exchange]:
    """A request without a conversation, routed."""
    down = FakeDown(relay.reactor, **more)
    return down, relay.request(down)


def begin(relay: FakeRelay, **more: Any) -> tuple[FakeDown, Exchange, FakeUpstream]:
    """A request that was sent to its first target."""
    down = FakeDown(relay.reactor, **more)
    exchange = relay.request(down)
    return down, exchange, serving(relay, exchange)


def sending(relay: FakeRelay, down: FakeDown, name: str = "one") -> FakeUpstream:
    """The connection over which a client's request was sent."""
    relay.request(down)
    return relay.pools[name].connect()


def wait(relay: FakeRelay, down: FakeDown, seconds: float) -> None:
    """Time passes, and the exchange is woken whenever it asked to be."""
    routing = relay.config.routing
    ends_at = relay.reactor.now + seconds
    down.wake_at = down.wake_at or relay.reactor.now + min(routing.ping_s, routing.early_head_s)
    while down.wake_at <= ends_at:
        relay.reactor.now = down.wake_at
        assert down.exchange is not None
        down.exchange.on_wait()
        assert down.wake_at > relay.reactor.now
    relay.reactor.now = ends_at


# ---- what there is of an exchange


def attempt_of(exchange: Exchange) -> Attempt:
    assert exchange.attempt is not None
    return exchange.attempt


def target_of(exchange: Exchange) -> Target | None:
    """The target of the last attempt; None: none was acquired."""
    return exchange.attempt.target if exchange.attempt is not None else None


def upstream_of(exchange: Exchange) -> FakeUpstream | None:
    """The connection of the last attempt; None: none was acquired."""
    return exchange.attempt.upstream if exchange.attempt is not None else None  # type: ignore[return-value]


def is_sent(exchange: Exchange) -> bool:
    """Whether it holds a target's limits."""
    return exchange.attempt is not None and exchange.attempt.reservation is not None


def name_of(exchange: Exchange) -> str:
    """The name of its target's provider."""
    return attempt_of(exchange).target.provider.name


def key_of(exchange: Exchange) -> str:
    """The name that `keys` gave its key."""
    target = attempt_of(exchange).target
    return target.provider.config.keys[target.index].key.removeprefix("test-key-")


def binding_of(relay: FakeRelay, session: str = "s-1") -> Binding:
    found = relay.affinity.find(hash64(session.encode()), relay.reactor.now)
    assert found is not None
    return found


# ---- responses


def start(tokens_in: int = 9000, written: int = 0, hour: int = 0, read: int = 0) -> bytes:
    """A message_start with usage; cache writes for 5 minutes and for an hour, and reads."""
    cache = b'{"ephemeral_5m_input_tokens":%d,"ephemeral_1h_input_tokens":%d}' % (written, hour)
    usage = (
        b'{"input_tokens":%d,"cache_creation_input_tokens":%d,"cache_read_input_tokens":%d,'
        b'"cache_creation":%b}' % (tokens_in, written + hour, read, cache)
    )
    event = b'{"type":"message_start","message":{"usage":%b}}' % usage
    return b"event: message_start\ndata: " + event + b"\n\n"


def delta(tokens_out: int = 80) -> bytes:
    """A message_delta with usage."""
    event = b'{"type":"message_delta","usage":{"output_tokens":%d}}' % tokens_out
    return b"event: message_delta\ndata: " + event + b"\n\n"


def serving(relay: FakeRelay, exchange: Exchange) -> FakeUpstream:
    """The connection of the attempt under way, dialled if need be."""
    upstream = upstream_of(exchange)
    if upstream is None or upstream.exchange is not exchange:
        upstream = relay.pools[name_of(exchange)].connect_for(exchange)
    assert upstream.exchange is exchange
    return upstream


def serve(relay: FakeRelay, exchange: Exchange, *events: bytes) -> None:
    """A whole stream; without `events` a plain one."""
    upstream = serving(relay, exchange)
    upstream.respond(STREAM_HEAD)
    for event in events or (start(), CONTENT, delta(), STOP):
        upstream.feed(event)
    upstream.finish()


def stream(upstream: FakeUpstream) -> None:
    """A whole stream without usage."""
    upstream.respond(STREAM_HEAD)
    upstream.feed(START + CONTENT + STOP)
    upstream.finish()


def answer(upstream: FakeUpstream, status: int, body: bytes, fields: bytes = b"") -> None:
    """A whole JSON answer."""
    upstream.respond(json_head(status)[:-2] + fields + b"\r\n")
    upstream.feed(body)
    if upstream.exchange is not None:
        upstream.finish()


def fail(relay: FakeRelay, exchange: Exchange) -> None:
    """The provider is overloaded."""
    answer(serving(relay, exchange), 529, BUSY)


def reply(relay: FakeRelay, exchange: Exchange, head: bytes, body: bytes) -> None:
    """A whole answer with a head of the test's own."""
    upstream = serving(relay, exchange)
    upstream.respond(head)
    upstream.feed(body)
    if upstream.exchange is not None:
        upstream.finish()


def with_fields(status: int, fields: bytes) -> bytes:
    """The head of a JSON answer with more fields."""
    return json_head(status)[:-2] + fields + b"\r\n"
