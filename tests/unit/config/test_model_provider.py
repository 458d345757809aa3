import msgspec
import pytest

from ccrelay.config.model_provider import Health, Key, Price, Provider


def test_repr_contains_no_key_header_or_url():
    key = Key(key="canary-1", name="mine")
    provider = Provider(
        name="p", keys=[key], headers={"x-a": "canary-2"}, base_url="https://canary-3.example"
    )
    assert repr(key) == "<Key name='mine' enabled=True>"
    assert repr(provider) == "<Provider p type=compatible keys=1>"


def test_a_key_has_no_limits_unless_they_are_set():
    key = Key(key="test-key-1")
    limits = (key.rpm_limit, key.tpm_limit, key.itpm_limit, key.otpm_limit, key.max_concurrent)
    assert limits == (None,) * 5
    assert (key.weight, key.priority, key.enabled) == (1, 0, True)


@pytest.mark.parametrize("member", ["rpm_limit", "tpm_limit", "itpm_limit", "max_concurrent"])
def test_a_limit_of_0_is_rejected(member):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"key": "test-key-1", member: 0}, Key)


def test_a_price_requires_input_and_output():
    price = msgspec.convert({"input": 3, "output": 0}, Price)
    assert (price.cache_read, price.cache_write_5m, price.cache_write_1h) == (None, None, None)
    for wrong in ({"input": 3}, {"input": -1, "output": 1}, {"input": 1, "output": float("nan")}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(wrong, Price)


@pytest.mark.parametrize(
    "members", [{"failure_rate": 0}, {"failure_rate": 1.1}, {"failures": 0}, {"probe": "ping"}]
)
def test_invalid_health_settings_are_rejected(members):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(members, Health)
