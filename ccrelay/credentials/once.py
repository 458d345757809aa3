"""Obtains credentials once, for checks: `python -m ccrelay.credentials.once`.

Standard input has the entries as a JSON list of `CredentialEntry`, standard output gets a JSON list
of `CredentialOutcome`. No secret is printed. `ccrelay.runtime.credentials_once` calls it.
"""

import asyncio
import os
import sys
from typing import Final

import msgspec

from ccrelay.config.model import Provider
from ccrelay.credentials.adapters import source_of
from ccrelay.credentials.calls import Calls
from ccrelay.credentials.main import prepare
from ccrelay.credentials.source import Obtained, ObtainFailed
from ccrelay.runtime.credentials_link import (
    CredentialEntry,
    CredentialOutcome,
    entries_of_provider,
)
from ccrelay.runtime.hardening import harden_process
from ccrelay.wire.cloud_credential import IssuedCredential

LIMIT_S: Final = 20.0
NO_ANSWER: Final = ObtainFailed(
    f"there was no answer within {LIMIT_S:g} s",
    "check the network, and the address or the program that gives the credential",
    is_final=False,
)


def obtain(provider: Provider) -> IssuedCredential:
    """Obtain the credential of the first entry of a resolved provider that has one; blocks.

    Without one, or when it fails, there is no secret, and `error` says why.
    """
    entries = entries_of_provider(provider)
    if not entries:
        return IssuedCredential(provider.name, "", error="no key of it has a credential")
    entry = entries[0]
    result = obtain_entry(entry)
    if isinstance(result, ObtainFailed):
        error = f"{result.reason}; {result.hint}"
        return IssuedCredential(entry.provider, entry.key, error=error)
    return IssuedCredential(entry.provider, entry.key, result.secret, 1, result.expires_at)


def obtain_entry(entry: CredentialEntry) -> Obtained | ObtainFailed:
    """Obtain one credential; blocks."""
    try:
        return source_of(entry).attempt()
    except ObtainFailed as failure:
        return failure


async def outcomes(entries: list[CredentialEntry], calls: Calls) -> list[CredentialOutcome]:
    """Obtain all of them, each within the limit of `calls`."""
    return list(await asyncio.gather(*(_outcome(entry, calls) for entry in entries)))


async def _outcome(entry: CredentialEntry, calls: Calls) -> CredentialOutcome:
    try:
        result = await calls.run(lambda: obtain_entry(entry))
    except TimeoutError:
        result = NO_ANSWER
    outcome = CredentialOutcome(entry.provider, entry.key, entry.key_name)
    if isinstance(result, ObtainFailed):
        return msgspec.structs.replace(outcome, reason=result.reason, hint=result.hint)
    return msgspec.structs.replace(outcome, method=result.method, expires_at=result.expires_at)


def main() -> None:
    """Read the entries, write what came of them; exits with 0."""
    harden_process()
    entries = msgspec.json.decode(sys.stdin.buffer.read(), type=list[CredentialEntry])
    prepare(os.environ)
    found = asyncio.run(_all(entries))
    sys.stdout.buffer.write(msgspec.json.encode(found))
    sys.stdout.flush()
    os._exit(0)  # a thread that never comes back would be waited for


async def _all(entries: list[CredentialEntry]) -> list[CredentialOutcome]:
    return await outcomes(entries, Calls(LIMIT_S, running_max=max(1, len(entries))))


if __name__ == "__main__":
    main()
