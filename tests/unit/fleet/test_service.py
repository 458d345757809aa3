"""Credentials of a provider and the plans by which its requests are written."""

import random
from collections import Counter

import pytest

from ccrelay._fast.http1 import Head, RequestPlan, parse_request
from ccrelay.config.model import Health, Key, Provider
from ccrelay.fleet.service import Service

REQUEST = (
    b"POST /v1/messages HTTP/1.1\r\nhost: 127.0.0.1\r\n"
    b"authorization: Bearer client-bearer\r\nx-api-key: client-key\r\n"
    b"content-encoding: gzip\r\nx-custom: kept\r\ncontent-length: 2\r\n\r\n"
)


def service(kind: str = "compatible", **settings: object) -> Service:
    resolved: dict[str, object] = {
        "name": "p",
        "base_url": "https://relay.example/base",
        "auth": "bearer",
        "models": ["*"],
        "system_role": "keep",
        "count_tokens": "forward",
        **settings,
    }
    provider = Provider(type=kind, **resolved)  # type: ignore[arg-type]
    return Service(provider, Health(rest_s=3.0, rest_max_s=5.0))


def head() -> Head:
    parsed = parse_request(REQUEST)
    assert parsed is not None
    return parsed[0]


def written(plan: RequestPlan) -> bytes:
    return plan.render(head(), 2, False).lower()


def test_a_service_takes_its_rests_from_the_health_settings() -> None:
    endpoint = service().endpoint
    endpoint.unreachable(10.0)
    assert endpoint.resumes_at == 13.0


def test_every_enabled_key_is_a_target_shown_by_its_fingerprint() -> None:
    keys = [Key(key="test-key-1"), Key(key="test-key-2", enabled=False), Key(key="test-key-3")]
    made = service(keys=keys)
    assert len({target.fingerprint for target in made.targets}) == len(made.targets) == 2
    for target in made.targets:
        assert target.fingerprint.startswith("sha256:")
        assert "test-key" not in repr(target) + repr(made)


def test_a_provider_whose_keys_are_all_disabled_has_no_target_and_is_not_usable() -> None:
    made = service("anthropic", keys=[Key(key="test-key-1", enabled=False)])
    assert made.targets == []
    assert not made.usable(0.0)


@pytest.mark.parametrize(("kind", "shown"), [("anthropic", "client"), ("ollama", "none")])
def test_a_provider_without_keys_has_one_target_that_says_whose_credential_goes(
    kind: str, shown: str
) -> None:
    assert [target.fingerprint for target in service(kind).targets] == [shown]


def test_a_service_is_usable_unless_its_endpoint_rests() -> None:
    made = service()
    made.endpoint.unreachable(10.0)
    assert not made.usable(12.0)
    assert made.usable(13.0)


def test_keys_are_chosen_by_weight_and_one_of_weight_zero_never() -> None:
    weights = {"test-key-1": 0, "test-key-2": 1, "test-key-3": 3}
    made = service(keys=[Key(key=key, weight=weight) for key, weight in weights.items()])
    rng = random.Random(7)
    chosen = Counter(made.choose_target(rng).weight for _ in range(4000))
    assert chosen[0] == 0
    assert chosen[3] / chosen[1] == pytest.approx(3.0, rel=0.15)


def test_keys_that_all_weigh_nothing_share_alike() -> None:
    made = service(keys=[Key(key=f"test-key-{n}", weight=0) for n in range(3)])
    rng = random.Random(7)
    chosen = Counter(made.choose_target(rng).fingerprint for _ in range(3000))
    assert len(chosen) == 3
    assert min(chosen.values()) > 850


def test_a_key_of_its_own_goes_in_place_of_the_clients_credentials() -> None:
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
