"""Fingerprints of secrets, for logs and output."""

import hashlib


def fingerprint(secret: str) -> str:
    """Return `sha256:` and the first 8 hex digits of the secret's SHA-256.

    Never a part of the secret: a prefix or suffix would leak bits of short relay tokens.
    """
    # surrogatepass: environment variables may hold bytes that are not UTF-8.
    digest = hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
    return f"sha256:{digest[:8]}"
