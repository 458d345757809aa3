"""What every source of credentials has in common, whatever the cloud."""

import os
import re
from abc import ABC, abstractmethod
from typing import Final, NamedTuple

from ccrelay.config.secret_shapes import without_secrets
from ccrelay.runtime.credentials_link import CredentialEntry
from ccrelay.wire.cloud_credential import AwsKeys, BearerToken

REASON_LENGTH_MAX: Final = 300
SECRET_LENGTH_MAX: Final = 32_768  # of a token; larger ones do not fit into a request's head
NETWORK_HINT: Final = "check the network, and HTTPS_PROXY and NO_PROXY where there is a proxy"
UNKNOWN_HINT: Final = "check what answers at the address of the token service"
SECRET_LENGTH_MIN: Final = 6  # shorter ones would take words out of a message
_SECRET_NAME = re.compile(
    r"(?:AWS|AZURE|GOOGLE|IDENTITY|MSI)_\w*(?:SECRET|TOKEN|HEADER|PASSW)\w*(?<!_FILE)"
)
_PRINTABLE = re.compile(r"[!-~]+")


class Obtained(NamedTuple):
    """A credential as its source gave it.

    Args:
        secret: what is sent or signed with.
        expires_at: seconds since 1970, as the source says; 0.0: never.
        method: where it was found, for people.
    """

    secret: AwsKeys | BearerToken
    expires_at: float
    method: str

    def __repr__(self) -> str:
        return f"<Obtained method={self.method!r}>"


class ObtainFailed(Exception):
    """There is no credential; the message is one sentence without secrets.

    Args:
        reason: what is wrong.
        hint: what a person can do about it, with the command where there is one.
        is_final: trying again changes nothing until something else changes: a login, a file.
    """

    def __init__(self, reason: str, hint: str, *, is_final: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint
        self.is_final = is_final


class WatchedFiles(NamedTuple):
    """Paths of files and folders on which a credential depends; they need not exist.

    Args:
        settings: where keys and settings stand: a change is used at once.
        caches: tokens that others renew: a change is a reason to try again what has failed.
    """

    settings: tuple[str, ...] = ()
    caches: tuple[str, ...] = ()


class Source(ABC):
    """Obtains one credential. Methods block, and are called in threads.

    Args:
        entry: what is needed.
    """

    def __init__(self, entry: CredentialEntry) -> None:
        self.entry = entry

    @abstractmethod
    def obtain(self) -> Obtained:
        """Ask for a credential. Raises ObtainFailed, and whatever its library raises."""

    def attempt(self) -> Obtained | ObtainFailed:
        """As `obtain`, with everything that it raises explained."""
        try:
            return self.obtain()
        except ObtainFailed as failure:
            return failure
        except Exception as error:  # outermost shell: libraries raise anything on hostile answers
            return self._explained(error)

    def _explained(self, error: Exception) -> ObtainFailed:
        try:
            return self.explain(error)
        except Exception:  # outermost shell: an exception whose parts are not what they should be
            return ObtainFailed(type(error).__name__, UNKNOWN_HINT, is_final=False)

    @abstractmethod
    def explain(self, error: Exception) -> ObtainFailed:
        """What an exception of `obtain` means, other than ObtainFailed."""

    @abstractmethod
    def files(self) -> WatchedFiles:
        """What it depends on."""

    def reason(self, text: object) -> str:
        """One line of an error's text, without what may be a secret."""
        line = " ".join(str(text).split())
        for secret in self._secrets():
            line = line.replace(secret, "...")
        line = without_secrets(line)
        return line if len(line) <= REASON_LENGTH_MAX else f"{line[:REASON_LENGTH_MAX]}..."

    def _secrets(self) -> list[str]:
        # A token service may send back what it was sent.
        found = [value for name, value in os.environ.items() if _SECRET_NAME.fullmatch(name)]
        found.append(self.entry.credential.client_secret or "")
        return [one for one in found if len(one) >= SECRET_LENGTH_MIN]


def checked(value: object, what: str) -> str:
    """A secret that can stand in a header line.

    Raises ObtainFailed: a token service that gives anything else must not reach a request's head.
    """
    if isinstance(value, str) and _PRINTABLE.fullmatch(value) and len(value) <= SECRET_LENGTH_MAX:
        return value
    raise ObtainFailed(
        f"the {what} that was given is empty or no printable text",
        "check what answers at the address of the token service",
        is_final=False,
    )
