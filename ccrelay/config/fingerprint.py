"""How a secret is shown: by a fingerprint that tells two apart and gives neither away."""

import hashlib


def fingerprint(secret: str) -> str:
    """Return `sha256:` and the first 8 hex digits of the secret's SHA-256.

    Never a part of the secret itself: a prefix or a suffix would leak bits of short relay tokens.
    """
    # surrogatepass: environment variables may hold bytes that are not UTF-8.
    digest = hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
    return f"sha256:{digest[:8]}"
