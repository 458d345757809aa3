"""The control channel between supervisor and credentials process: messages over a socketpair.

    supervisor                                credentials process
      CredentialsStart -->
                                            <-- CredentialsReady, then CredentialsBeat again and
                                                again | CredentialsFailed(error, detail)
                                            <-- Issued, when there is another credential
                                            <-- Told, for the log
      EntriesChanged, RefreshCredential -->
      CredentialsStop -->

Frames are those of `ccrelay.runtime.control`. The process exits when its supervisor closes the
channel.
"""

from typing import Literal

import msgspec

from ccrelay.config.model import Config, Credential, Provider
from ccrelay.config.model_provider import ProviderType
from ccrelay.wire.cloud_credential import IssuedCredential

Cloud = Literal["aws", "google", "azure"]

# Providers of these types have credentials; of which library, says the cloud.
CLOUD_OF: dict[ProviderType, Cloud] = {
    "bedrock": "aws",
    "claude-aws": "aws",
    "vertex": "google",
    "claude-google": "google",
    "azure": "azure",
}


class CredentialEntry(msgspec.Struct, frozen=True):
    """One entry of `keys` that has a `credential`: what is obtained, and for whom.

    Args:
        provider: its name.
        key: `Key.key` of the resolved entry.
        key_name: shown; empty: it has none.
        cloud: whose credential it is.
        region: where the token service of AWS is asked; empty: as its library decides.
        credential: where it comes from.
    """

    provider: str
    key: str
    key_name: str
    cloud: Cloud
    region: str
    credential: Credential

    def __repr__(self) -> str:
        return f"<CredentialEntry {self.provider} {self.key_name!r} cloud={self.cloud}>"


class CredentialsStart(msgspec.Struct, tag="credentials_start", frozen=True):
    """The first message to a credentials process.

    Args:
        entries: all whose credential is needed.
        issued: the newest of each, of a process before; serials go on from there.
    """

    entries: list[CredentialEntry]
    issued: list[IssuedCredential] = []


class EntriesChanged(msgspec.Struct, tag="entries_changed", frozen=True):
    """Other credentials are needed from now on."""

    entries: list[CredentialEntry]


class RefreshCredential(msgspec.Struct, tag="refresh_credential", frozen=True):
    """The cloud refused the credential with this serial; obtain another."""

    provider: str
    key: str
    serial: int


class CredentialsStop(msgspec.Struct, tag="credentials_stop", frozen=True):
    """Exit."""


class CredentialsReady(msgspec.Struct, tag="credentials_ready", frozen=True):
    """The process runs, and obtains what is needed."""


class CredentialsFailed(msgspec.Struct, tag="credentials_failed", frozen=True):
    """The process cannot go on and exits; `error` is one line, `detail` a traceback."""

    error: str
    detail: str = ""


class CredentialsBeat(msgspec.Struct, tag="credentials_beat", frozen=True):
    """The loop of the process runs."""


class Issued(msgspec.Struct, tag="issued", frozen=True):
    """Credentials that were issued, or could not be, since the message before."""

    issued: list[IssuedCredential]


class Told(msgspec.Struct, tag="told", frozen=True):
    """An event for the log."""

    level: str
    event: str
    fields: dict[str, str | int | float | None]


class CredentialOutcome(msgspec.Struct, frozen=True):
    """How it went to obtain a credential once (`ccrelay.credentials.once`), without the secret.

    Args:
        provider: its name.
        key: `Key.key` of the resolved entry.
        key_name: shown; empty: it has none.
        method: where it was found; empty: it was not.
        expires_at: seconds since 1970; 0.0: never.
        reason: why it was not obtained; empty: it was.
        hint: what to do about it.
    """

    provider: str
    key: str
    key_name: str
    method: str = ""
    expires_at: float = 0.0
    reason: str = ""
    hint: str = ""


ToCredentials = CredentialsStart | EntriesChanged | RefreshCredential | CredentialsStop
FromCredentials = CredentialsReady | CredentialsFailed | CredentialsBeat | Issued | Told


def entries_of(config: Config) -> list[CredentialEntry]:
    """The credentials that a resolved configuration needs."""
    return [
        entry
        for provider in config.providers
        if provider.enabled
        for entry in entries_of_provider(provider)
    ]


def entries_of_provider(provider: Provider) -> list[CredentialEntry]:
    """The credentials that a resolved provider needs."""
    if provider.type not in CLOUD_OF:
        return []
    return [
        CredentialEntry(
            provider=provider.name,
            key=key.key,
            key_name=key.name or "",
            cloud=CLOUD_OF[provider.type],
            region=provider.region or "",
            credential=key.credential,
        )
        for key in provider.keys
        if key.credential is not None and key.enabled
    ]
