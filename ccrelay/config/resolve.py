"""Defaults that depend on type and preset, filled in so that the data plane reads finished values.

A `Provider` without keys and of type anthropic keeps `auth: x-api-key`; that it has no keys is what
makes it pass the client's own credential through.
"""

import msgspec

from ccrelay.config.model import AuthStyle, Config, Provider
from ccrelay.config.presets import BY_TYPE, PRESETS, Service


def resolve(config: Config) -> Config:
    """Return the configuration with every provider's defaults filled in; resolving twice is once.

    Filled: base_url (without a slash at its end), auth, models, drop_betas, system_role,
    count_tokens, tool_type_custom and signatures. Prices are left to the price table. The
    configuration must have passed its checks.
    """
    providers = [_resolve(provider) for provider in config.providers]
    return msgspec.structs.replace(config, providers=providers)


def service_of(provider: Provider) -> Service:
    """Return the defaults of the provider's preset, else of its type."""
    if provider.preset is not None:
        return PRESETS[provider.preset]
    return BY_TYPE[provider.type]


def auth_of(provider: Provider) -> AuthStyle:
    """Return how the provider's keys are sent, given or default."""
    if provider.auth is not None:
        return provider.auth
    if provider.type == "ollama" and provider.keys:
        return "bearer"
    return service_of(provider).auth


def _resolve(provider: Provider) -> Provider:
    service = service_of(provider)
    base_url = provider.base_url or service.base_url
    models = provider.models
    if models is None:
        everything = () if provider.model_mapping else ("*",)
        models = list(everything if service.models is None else service.models)
    betas = service.drop_betas if provider.drop_betas is None else provider.drop_betas
    return msgspec.structs.replace(
        provider,
        base_url=base_url.rstrip("/") if base_url else None,
        auth=auth_of(provider),
        models=models,
        drop_betas=list(betas),
        system_role=provider.system_role or service.system_role,
        count_tokens=provider.count_tokens or service.count_tokens,
        tool_type_custom=provider.tool_type_custom or service.tool_type_custom,
        signatures=provider.signatures or service.signatures,
    )
