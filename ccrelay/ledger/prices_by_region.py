"""What a cloud adds to the list price, by region and inference profile, as data.

Source: litellm 1.109.1 and the clouds' documentation (providers reference, section 15.2). Anthropic
on AWS and Google, Foundry, Bedrock's `global.` profiles and Vertex AI's `global` have list prices.
"""

import re

from ccrelay.config.model import Provider, ProviderType

LIST_PERCENT = 100
REGIONAL_PERCENT = 110  # data stays in a region or geography
GOVERNMENT_PERCENT = 120

# They serve nothing but Claude, under names of their own: a price may be that of the model asked.
RENAMING: frozenset[ProviderType] = frozenset(
    {"bedrock", "claude-aws", "vertex", "claude-google", "azure"}
)

# The prefix of an id, also of one in an ARN.
_PROFILE = re.compile(r"(?:\A|/)(global|us-gov|us|eu|apac|jp|au)\.(?=[a-z])")
_AT_LIST_PRICE_ON_MANTLE = re.compile(r"\Aanthropic\.claude-haiku-4-5\b")


def region_percent(provider: Provider, model: str) -> int:
    """What a model costs at a provider, in percent of the list price.

    Args:
        provider: resolved.
        model: as it is sent.
    """
    if provider.type == "bedrock":
        return _bedrock_percent(provider, model)
    if provider.type == "vertex" and provider.location not in (None, "global"):
        return REGIONAL_PERCENT
    return LIST_PERCENT


def _bedrock_percent(provider: Provider, model: str) -> int:
    if (provider.region or "").startswith("us-gov-"):
        return GOVERNMENT_PERCENT
    if provider.api == "mantle" and _AT_LIST_PRICE_ON_MANTLE.match(model):
        return LIST_PERCENT
    profile = _PROFILE.search(model)
    if profile is None:
        return REGIONAL_PERCENT  # served in the region itself
    if profile[1] == "us-gov":
        return GOVERNMENT_PERCENT
    return LIST_PERCENT if profile[1] == "global" else REGIONAL_PERCENT
