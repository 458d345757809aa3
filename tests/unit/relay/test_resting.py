"""A key rests in all workers, and one line says so."""

from math import inf

from ccrelay.relay.resting import rest

from ccrelay._fast.rate_limits import Cooldown
from tests.unit.relay.fakes import FakeDown, FakeRelay, Key, provider


def test_a_rest_is_told_once_for_all_that_were_refused_together():
    relay = FakeRelay(provider("one", keys=[Key(key="test-key-a", name="team")]))
    exchange = relay.request(FakeDown(relay.reactor))
    target = relay.providers[0].targets[0]
    rest(exchange, target, 30.0, Cooldown.RATE, "rate_limited")
    rest(exchange, target, 30.5, Cooldown.RATE, "rate_limited")
    (told,) = relay.log.members("key_cooldown")
    assert (told["key_name"], told["why"], told["seconds"]) == ("team", "rate_limited", 30.0)
    assert target.limits.cooldown_until() == relay.reactor.now + 30.5
    rest(exchange, target, 90.0, Cooldown.QUOTA, "quota_spent")
    assert len(relay.log.members("key_cooldown")) == 2, "much longer is news"


def test_a_refused_key_is_out_and_said_loudly():
    relay = FakeRelay(provider("one"))
    exchange = relay.request(FakeDown(relay.reactor))
    target = relay.providers[0].targets[0]
    rest(exchange, target, 0.0, Cooldown.REFUSED, "key_refused")
    assert target.limits.cooldown_until() == inf
    level, name, _ = relay.log.told[-1]
    assert (level, name) == ("error", "key_disabled")
