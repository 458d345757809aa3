"""Finds the provider and the key that a call names."""

from ccrelay.config.problems import quoted
from ccrelay.manager.errors import invalid, known, not_found
from ccrelay.manager.live import LiveKey, LiveProvider, LiveState

_PREFIX = "hmac:"


def find_provider(live: LiveState, name: str) -> LiveProvider:
    """The provider of that name.

    Raises:
        Refused: INVALID_ARGUMENT, NOT_FOUND.
    """
    if not name:
        raise invalid("The name of the provider is missing.")
    for provider in live.providers:
        if provider.name == name:
            return provider
    names = [provider.name for provider in live.providers]
    raise not_found(f"There is no provider {quoted(name)}; {known(names)}.")


def find_key(provider: LiveProvider, name: str) -> LiveKey:
    """The key of that name or fingerprint; of the latter the beginning is enough if it is unique.

    Raises:
        Refused: INVALID_ARGUMENT, NOT_FOUND.
    """
    if not name:
        raise invalid("The name or fingerprint of the key is missing.")
    for matches in (
        [key for key in provider.keys if key.name == name],
        [key for key in provider.keys if key.fingerprint == name],
        [key for key in provider.keys if _begins(key.fingerprint, name)],
    ):
        if len({key.fingerprint for key in matches}) > 1:
            raise invalid(
                f"{quoted(name)} stands for several keys of {provider.name}: use the fingerprint."
            )
        if matches:
            return matches[0]
    names = [key.name for key in provider.keys]
    raise not_found(f"{provider.name} has no key {quoted(name)}; {known(names)}.")


def _begins(fingerprint: str, text: str) -> bool:
    if not fingerprint.startswith(_PREFIX):
        return False
    digits = text.removeprefix(_PREFIX)
    return bool(digits) and fingerprint.removeprefix(_PREFIX).startswith(digits.lower())
