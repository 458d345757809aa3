"""What regions and inference profiles add to the list price."""

import pytest

from ccrelay.config.model import Config, Price, Provider
from ccrelay.config.resolve import resolve
from ccrelay.ledger.prices import PRICES_VERSION
from ccrelay.ledger.prices_by_region import region_percent
from ccrelay.ledger.pricing import PriceList, price_at, price_for
from ccrelay.ledger.tariff import tariff_at
from ccrelay.providers.cloud_models import model_id

PROFILE_ARN = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/abc123"
SYSTEM_ARN = "arn:aws:bedrock:us-east-1:111122223333:inference-profile/global.anthropic.claude-x"


def provider(kind: str, **members: object) -> Provider:
    return resolve(Config(providers=[Provider(name="p", type=kind, **members)])).providers[0]


def aws(region: str = "us-east-1", api: str = "invoke", **members: object) -> Provider:
    return provider("bedrock", region=region, api=api, **members)


@pytest.mark.parametrize(
    ("where", "model", "percent"),
    [
        (aws(), "claude-opus-5-5", 110),
        (aws("eu-west-1"), "claude-opus-5-5", 110),
        (aws("ap-northeast-1", "messages"), "claude-opus-5-5", 110),
        (aws("ap-south-1"), "claude-opus-5-5", 100),  # there is `global.` only
        (aws(inference_profile="global"), "claude-opus-5-5", 100),
        (aws(inference_profile="none"), "claude-opus-5-5", 110),
        (aws("us-gov-west-1"), "claude-sonnet-4-5", 120),
        (aws(api="mantle"), "claude-opus-5-5", 110),
        (aws(api="mantle"), "claude-haiku-4-5", 100),
        (aws(), "claude-haiku-4-5", 110),
        (aws(), PROFILE_ARN, 110),
        (aws(), SYSTEM_ARN, 100),
        (aws(), "us-gov.anthropic.claude-opus-5", 120),
        (provider("vertex"), "claude-opus-5-5", 100),
        (provider("vertex", location="eu"), "claude-opus-5-5", 110),
        (provider("vertex", location="us-east5"), "claude-sonnet-4-5", 110),
        (provider("azure"), "claude-opus-5-5", 100),
        (provider("claude-aws", region="us-east-1"), "claude-opus-5-5", 100),
        (provider("claude-google", location="us-central1"), "claude-opus-5-5", 100),
        (provider("anthropic"), "claude-opus-5-5", 100),
    ],
)
def test_the_percentage_follows_from_where_it_is_served(where, model, percent):
    sent = model_id(where, model)
    assert region_percent(where, sent) == percent
    plain = price_for("anthropic", model, {})
    if plain is None:
        return
    found = price_at(where, sent)
    assert found is not None
    assert found.output * 100 == plain.output * percent
    assert found.input * 100 == plain.input * percent
    assert found.cache_read * 100 == plain.cache_read * percent
    assert found.cache_write_5m * 100 == plain.cache_write_5m * percent
    assert found.cache_write_1h * 100 == plain.cache_write_1h * percent


def test_the_price_of_long_prompts_has_it_too():
    found = price_at(aws(), "us.anthropic.claude-haiku-5-5")
    assert isinstance(found, PriceList)
    assert found.above is not None
    assert found.above_tokens == 100_000
    assert found.above.output == 2_750_000


def test_a_name_that_tells_nothing_costs_what_was_asked_for():
    found = price_at(aws(), PROFILE_ARN, "claude-opus-5-5")
    assert found == price_at(aws(), "us.anthropic.claude-opus-5-5")
    assert price_at(aws(), PROFILE_ARN) is None
    assert price_at(provider("azure"), "house-opus", "claude-opus-5") == price_for(
        "anthropic", "claude-opus-5", {}
    )
    # Elsewhere another name is another model.
    other = Provider(name="p", base_url="https://relay.example")
    assert price_at(other, "house-opus", "claude-opus-5") is None


def test_a_configured_price_is_what_it_says():
    own = aws(prices={"claude-opus-5-5": Price(input=7, output=9)})
    found = price_at(own, "us.anthropic.claude-opus-5-5")
    assert found is not None
    assert (found.input, found.output) == (7_000_000, 9_000_000)
    tariff = tariff_at(own, "us.anthropic.claude-opus-5-5")
    assert tariff is not None
    assert tariff.version == "config"


def test_a_tariff_has_the_surcharges_of_the_model():
    tariff = tariff_at(provider("azure"), "house-opus", "claude-opus-5")
    plain = tariff_at(Provider(name="p", type="anthropic"), "claude-opus-5")
    assert tariff is not None
    assert repr(tariff) == repr(plain)
    assert tariff.version == PRICES_VERSION
