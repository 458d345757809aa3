"""Fingerprints of secrets, for logs and output.

They are keyed per installation (`ccrelay.config.fingerprint_key`): who has a log, and a list of
passwords or leaked keys, cannot find out which of them are used here, nor whether two
installations share one.
"""

import hmac

_key = b""


def set_key(key: bytes) -> None:
    """Use this key from now on; called once, when a process starts."""
    global _key
    _key = key


def current_key() -> bytes:
    """Return the key in use, for processes that must show the same fingerprints."""
    return _key


def fingerprint(secret: str) -> str:
    """Return `hmac:` and the first 8 hex digits of the secret's HMAC-SHA-256.

    Never a part of the secret: a prefix or suffix would leak bits of short relay tokens.
    """
    # surrogatepass: environment variables may hold bytes that are not UTF-8.
    digest = hmac.digest(_key, secret.encode("utf-8", "surrogatepass"), "sha256").hex()
    return f"hmac:{digest[:8]}"
