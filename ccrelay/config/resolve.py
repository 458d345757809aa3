"""Fills in the defaults that depend on type and preset.

A `Provider` of type anthropic without keys keeps `auth: x-api-key`; because it has no keys, the
client's credential is passed through.
"""

import msgspec

from ccrelay.config.cloud import (
    GOOGLE_TYPES,
    bedrock_api,
    cloud_base_url,
    is_cloud,
    location_of,
    own_base_url,
    resolved_keys,
)
from ccrelay.config.model import AuthStyle, Config, Provider
from ccrelay.config.presets import BY_TYPE, PRESETS, ServiceDefaults


def resolve(config: Config) -> Config:
    """Return the configuration with the defaults of every provider filled in. Idempotent.

    Filled in: base_url (without a trailing slash), auth, models, drop_betas, system_role,
    count_tokens, tool_type_custom and signatures; of clouds also location, api, inference_profile,
    the entry of the default chain, and identities in place of keys (`cloud.identity_of`). Prices
    are not: they come from the price table. The configuration must have passed the checks.
    """
    providers = [_resolve(provider) for provider in config.providers]
    return msgspec.structs.replace(config, providers=providers)


def defaults_of(provider: Provider) -> ServiceDefaults:
    """Return the defaults of the provider's preset, else of its type."""
    if provider.preset is not None:
        return PRESETS[provider.preset]
    return BY_TYPE[provider.type]


def base_url_of(provider: Provider) -> str | None:
    """Return the base URL of the provider, configured or default, without a trailing slash."""
    if is_cloud(provider):
        return own_base_url(provider) or cloud_base_url(provider)
    base_url = provider.base_url or defaults_of(provider).base_url
    return base_url.rstrip("/") if base_url else None


def auth_of(provider: Provider) -> AuthStyle:
    """Return how the keys of the provider are sent, configured or default."""
    if provider.auth is not None:
        return provider.auth
    if provider.type == "ollama" and provider.keys:
        return "bearer"
    return defaults_of(provider).auth


def _resolve(provider: Provider) -> Provider:
    service = defaults_of(provider)
    if is_cloud(provider):
        provider = _with_cloud(provider)
    models = provider.models
    if models is None:
        everything = () if provider.model_mapping else ("*",)
        models = list(everything if service.models is None else service.models)
    betas = service.drop_betas if provider.drop_betas is None else provider.drop_betas
    return msgspec.structs.replace(
        provider,
        base_url=base_url_of(provider),
        auth=auth_of(provider),
        models=models,
        drop_betas=list(betas),
        system_role=provider.system_role or service.system_role,
        count_tokens=provider.count_tokens or service.count_tokens,
        tool_type_custom=provider.tool_type_custom or service.tool_type_custom,
        signatures=provider.signatures or service.signatures,
    )


def _with_cloud(provider: Provider) -> Provider:
    """Fill in what only clouds have."""
    provider = msgspec.structs.replace(provider, keys=resolved_keys(provider))
    if provider.type in GOOGLE_TYPES:
        return msgspec.structs.replace(provider, location=location_of(provider))
    if provider.type != "bedrock":
        return provider
    api = bedrock_api(provider)
    # There is no endpoint that counts for the Messages API of bedrock-runtime.
    counts = provider.count_tokens or ("estimate" if api == "messages" else None)
    profile = provider.inference_profile or ("none" if api == "mantle" else "geo")
    return msgspec.structs.replace(
        provider, api=api, inference_profile=profile, count_tokens=counts
    )
