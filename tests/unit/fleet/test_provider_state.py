"""Credentials of a provider and the plans by which its requests are written."""

import random
from collections import Counter
from math import inf

import pytest

from ccrelay._fast.head_writer import RequestPlan
from ccrelay._fast.http1 import Head, parse_request
from ccrelay._fast.rate_limits import Cooldown
from ccrelay._fast.shared_memory import SharedMemory
from ccrelay.config.model import Health, Key, Provider
from ccrelay.fleet import provider_state as module
from ccrelay.fleet.provider_state import ProviderState

REQUEST = (
    b"POST /v1/messages HTTP/1.1\r\nhost: 127.0.0.1\r\n"
    b"authorization: Bearer client-bearer\r\nx-api-key: client-key\r\n"
    b"content-encoding: gzip\r\nx-custom: kept\r\ncontent-length: 2\r\n\r\n"
)


def service(kind: str = "compatible", **settings: object) -> ProviderState:
    resolved: dict[str, object] = {
        "name": "p",
        "base_url": "https://relay.example/base",
        "auth": "bearer",
        "models": ["*"],
        "system_role": "keep",
        "count_tokens": "forward",
        **settings,
    }
    where = {name: resolved.pop(name) for name in ("memory", "slots") if name in resolved}
    provider = Provider(type=kind, **resolved)  # type: ignore[arg-type]
    health = Health(failures=2, open_s=3.0, open_max_s=5.0)
    return ProviderState(provider, health, **where)  # type: ignore[arg-type]


def head() -> Head:
    parsed = parse_request(REQUEST)
    assert parsed is not None
    return parsed[0]


def written(plan: RequestPlan) -> bytes:
    return plan.render(head(), 2, False, b"/v1/messages").lower()


def fail(made: ProviderState, now: float, times: int = 1) -> None:
    breaker = made.endpoint.breaker
    for _ in range(times):
        breaker.settle(breaker.force(now), now, random.Random(1), ok=False)


def test_a_provider_takes_its_open_times_from_the_health_settings() -> None:
    made = service()
    fail(made, 10.0, times=2)
    assert 10.0 + 3.0 * 0.8 <= made.endpoint.breaker.resumes_at <= 10.0 + 3.0 * 1.2 + 0.01


def test_every_enabled_key_is_a_target_shown_by_its_fingerprint() -> None:
    keys = [Key(key="test-key-1"), Key(key="test-key-2", enabled=False), Key(key="test-key-3")]
    made = service(keys=keys)
    assert len({target.fingerprint for target in made.targets}) == len(made.targets) == 2
    for target in made.targets:
        assert target.fingerprint.startswith("hmac:")
        assert "test-key" not in repr(target) + repr(made)


def test_a_provider_whose_keys_are_all_disabled_has_no_target_and_is_not_usable() -> None:
    made = service("anthropic", keys=[Key(key="test-key-1", enabled=False)])
    assert made.targets == []
    assert not made.usable(0.0)


@pytest.mark.parametrize(("kind", "shown"), [("anthropic", "client"), ("ollama", "none")])
def test_a_provider_without_keys_has_one_target_named_client_or_none(kind: str, shown: str) -> None:
    assert [target.fingerprint for target in service(kind).targets] == [shown]


def test_a_provider_is_usable_unless_its_breaker_is_open() -> None:
    made = service()
    fail(made, 10.0, times=2)
    resumes_at = made.endpoint.breaker.resumes_at
    assert not made.usable(resumes_at - 0.01)
    assert made.usable(resumes_at)


def test_a_service_is_usable_as_long_as_some_key_comes_back_by_itself() -> None:
    made = service(keys=[Key(key="test-key-1"), Key(key="test-key-2")])
    first, second = made.targets
    first.limits.start_cooldown(inf, int(Cooldown.REFUSED))
    second.limits.start_cooldown(60.0, int(Cooldown.QUOTA))
    assert made.usable(0.0)
    second.limits.start_cooldown(inf, int(Cooldown.REFUSED))
    assert not made.usable(0.0)


# ---- memory


def test_keys_have_the_slots_they_are_given_and_disabled_ones_keep_theirs() -> None:
    board = SharedMemory.private(targets=16)
    keys = [Key(key=f"test-key-{n}", enabled=n != 1) for n in range(3)]
    made = service(keys=keys, memory=board, slots=[4, 9, 2])
    assert [target.slot for target in made.targets] == [4, 2]
    assert [target.index for target in made.targets] == [0, 1]


def test_a_provider_without_keys_has_one_slot() -> None:
    made = service("ollama", memory=SharedMemory.private(), slots=[7])
    assert [target.slot for target in made.targets] == [7]


def test_providers_over_the_same_slots_share_counts_and_cooldowns() -> None:
    board = SharedMemory.private()
    one, other = (
        service(keys=[Key(key="test-key-1", rpm_limit=1)], memory=board, slots=[3])
        for _ in range(2)
    )
    held = one.targets[0].limits.reserve(10.0, 1, 1)
    assert held is not None
    assert other.key_pool.in_flight == 1
    assert other.targets[0].limits.reserve(10.0, 1, 1) is None


def test_providers_without_shared_memory_have_their_own() -> None:
    one, other = service(), service()
    fail(one, 10.0, times=2)
    assert other.usable(10.0)


# ---- keys


def test_each_key_has_the_limits_it_is_configured_with() -> None:
    (target,) = service(
        keys=[
            Key(
                key="test-key-1",
                rpm_limit=7,
                tpm_limit=60,
                itpm_limit=50,
                otpm_limit=40,
                max_concurrent=3,
            )
        ]
    ).targets
    limits = "rpm=7 itpm=50 otpm=40 tpm=60 max_concurrent=3"
    assert limits in repr(target.limits)


@pytest.mark.parametrize(
    ("limits", "counts_tokens"),
    [
        ({}, False),
        ({"rpm_limit": 5, "max_concurrent": 5}, False),
        ({"tpm_limit": 5}, True),
        ({"itpm_limit": 5}, True),
        ({"otpm_limit": 5}, True),
    ],
)
def test_it_is_known_whether_a_keys_tokens_have_to_be_estimated(
    limits: dict[str, int], counts_tokens: bool
) -> None:
    made = service(keys=[Key(key="test-key-1", **limits), Key(key="test-key-2")])  # type: ignore[arg-type]
    assert [target.limited for target in made.targets] == [counts_tokens, False]
    assert made.limited is counts_tokens


def test_a_key_is_shown_by_its_name_or_its_fingerprint() -> None:
    made = service(keys=[Key(key="test-key-1", name="team"), Key(key="test-key-2")])
    named, unnamed = made.targets
    assert named.name == "team"
    assert unnamed.name == unnamed.fingerprint


def test_the_preferred_key_depends_on_names_and_keys_not_on_slots() -> None:
    one = service(keys=[Key(key="test-key-1")], memory=SharedMemory.private(), slots=[0])
    other = service(keys=[Key(key="test-key-1")], memory=SharedMemory.private(), slots=[5])
    renamed = service(name="q", keys=[Key(key="test-key-1")])
    changed = service(keys=[Key(key="test-key-2")])
    assert (one.seed, one.targets[0].seed) == (other.seed, other.targets[0].seed)
    assert renamed.seed != one.seed
    assert len({one.targets[0].seed, renamed.targets[0].seed, changed.targets[0].seed}) == 3


def picks(strategy: str, weights: list[int], times: int = 400) -> Counter[int]:
    """Index of the key chosen, each reservation held."""
    made = service(
        keys=[Key(key=f"test-key-{n}", weight=w, rpm_limit=1000) for n, w in enumerate(weights)],
        key_strategy=strategy,
    )
    rng = random.Random(7)
    chosen: Counter[int] = Counter()
    held = []
    for _ in range(times):
        assert made.key_pool.refresh(10.0, 1, 1)
        index = made.pick(rng)
        held.append(made.targets[index].limits.reserve(10.0, 1, 1))
        chosen[index] += 1
    return chosen


@pytest.mark.parametrize("strategy", ["least-loaded", "round-robin", "random"])
def test_keys_are_chosen_by_weight_and_one_of_weight_zero_not_while_others_are_ready(
    strategy: str,
) -> None:
    chosen = picks(strategy, [0, 1, 3])
    assert chosen[0] == 0
    assert chosen[2] / chosen[1] == pytest.approx(3.0, rel=0.35)


def test_a_heavier_key_is_filled_until_the_others_have_more_room_for_their_weight() -> None:
    assert picks("most-room", [0, 1, 3]) == {2: 400}
    chosen = picks("most-room", [0, 1, 3], times=1400)
    # 3 (1 - h) = 1 - l of a thousand each, h + l = 1.4
    assert chosen == {2: pytest.approx(850, abs=2), 1: pytest.approx(550, abs=2)}


@pytest.mark.parametrize("strategy", ["most-room", "least-loaded", "round-robin", "random"])
def test_keys_that_all_weigh_nothing_share_alike(strategy: str) -> None:
    chosen = picks(strategy, [0, 0, 0])
    assert len(chosen) == 3
    assert min(chosen.values()) > 90


def test_where_no_key_is_ready_none_is_picked() -> None:
    made = service(keys=[Key(key="test-key-1", rpm_limit=1)])
    assert made.targets[0].limits.reserve(10.0, 1, 1) is not None
    assert made.key_pool.refresh(10.0, 1, 1) == 0
    assert made.pick(random.Random(1)) == -1


# ---- clients' own credentials


def test_client_cooldowns_are_kept_by_credential_and_bounded() -> None:
    made = service("anthropic")
    made.cool_down_client(5, 100.0)
    assert made.client_cooldowns == {5: 100.0}
    for number in range(module.CLIENT_COOLDOWNS_MAX):
        made.cool_down_client(10 + number, 100.0)
    assert len(made.client_cooldowns) == module.CLIENT_COOLDOWNS_MAX
    assert 5 not in made.client_cooldowns


@pytest.mark.parametrize(("signatures", "validates"), [("claude", True), ("none", False)])
def test_validates_follows_the_signatures_setting(signatures: str, validates: bool) -> None:
    assert service(signatures=signatures).validates is validates


# ---- plans


def test_an_own_key_replaces_the_clients_credentials() -> None:
    (target,) = service(keys=[Key(key="test-key-1")]).targets
    text = written(target.plan)
    assert text.startswith(b"post /base/v1/messages http/1.1\r\n")
    assert b"host: relay.example\r\n" in text
    assert b"authorization: bearer test-key-1\r\n" in text
    assert b"client-" not in text
    assert target.plan_no_key is target.plan_no_bearer is target.plan


def test_a_login_goes_on_whole_or_without_the_field_that_held_a_relay_token() -> None:
    (target,) = service("anthropic").targets
    both = written(target.plan)
    assert b"client-bearer" in both
    assert b"client-key" in both
    assert b"client-key" not in written(target.plan_no_key)
    assert b"client-bearer" in written(target.plan_no_key)
    assert b"client-bearer" not in written(target.plan_no_bearer)
    assert b"client-key" in written(target.plan_no_bearer)


@pytest.mark.parametrize("name", ["plan", "plan_no_key", "plan_no_bearer"])
def test_a_plan_for_an_unpacked_body_differs_by_content_encoding_only(name: str) -> None:
    (target,) = service("anthropic", headers={"x-static": "1"}).targets
    plan = getattr(target, name)
    decoded = target.decoded_plan(plan)
    assert written(decoded) == written(plan).replace(b"content-encoding: gzip\r\n", b"")
    assert target.decoded_plan(plan) is decoded


def test_a_plan_for_an_unpacked_body_keeps_the_targets_own_key() -> None:
    (target,) = service(keys=[Key(key="test-key-1")]).targets
    text = written(target.decoded_plan(target.plan))
    assert b"bearer test-key-1" in text
    assert b"content-encoding" not in text
