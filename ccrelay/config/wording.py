"""How a wrong value is shown in a message: quoted, unless it is, or may be, a secret."""

import re

from ccrelay.config.problems import Path, quoted
from ccrelay.config.secret_shapes import looks_secret, looks_secret_run, names_secret

_VALUE_CHARACTERS_MAX = 120  # a base URL fits

_SECRET_MEMBERS = frozenset({"keys", "headers"})
# Members of a credential that hold no secret.
_CREDENTIAL_WORDS = frozenset({"source", "profile", "role_arn", "impersonate"})
_USER_INFO = re.compile(r"(?<=//).*@|\A(?!.*//).*@", re.DOTALL)
_QUERY = re.compile(r"[?#].*\Z", re.DOTALL)
# `api_key:...`, which YAML takes as text without a space, and the value of a header.
_LABELLED_SECRET = re.compile(
    r"((?:key|token|secret|passw[a-z]*)[\"']?[:=] *|\b(?:bearer|basic) +)[^ ]+", re.IGNORECASE
)
_WORD = re.compile(r"[A-Za-z0-9_.~-]+")
_RUN = re.compile(r"[A-Za-z0-9_.~+/=-]+")


def is_secret(path: Path) -> bool:
    """Whether the value at `path`, or one below it, is meant to be a secret."""
    if len(path) > 2 and path[-2] == "credential" and path[-1] in _CREDENTIAL_WORDS:
        return False
    # Wherever they stand in a provider, which may be of a wrong shape itself.
    in_provider = path[:1] == ("providers",) and not _SECRET_MEMBERS.isdisjoint(path)
    return in_provider or path[:2] in (("server", "auth"), ("telemetry", "headers"))


def shown(path: Path, text: str, *, is_expanded: bool = False) -> str:
    """Return how `text`, a wrong value at `path`, is named in a message.

    Never shown: values of secret settings, values that came from `${...}`, and words that look like
    a key in the wrong place; of a URL neither user and password nor the query.
    """
    if is_expanded:
        return "text from ${...}" if text else "empty text from ${...}"
    if text == "":
        return "empty text"
    if is_secret(path) or (_RUN.fullmatch(text) and (_is_suspect(text) or looks_secret_run(text))):
        return "text"
    safe = _QUERY.sub(lambda found: found[0][0] + "...", _USER_INFO.sub("...@", text))
    safe = _LABELLED_SECRET.sub(r"\1...", safe)
    safe = _WORD.sub(lambda word: "..." if names_secret(word[0]) else word[0], safe)
    return quoted(safe, _VALUE_CHARACTERS_MAX)


def _is_suspect(text: str) -> bool:
    return looks_secret(text) or names_secret(text)
