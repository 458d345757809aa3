"""Import asyncio without OpenSSL, for a process that uses no TLS.

`asyncio` imports `ssl` if it can. The supervisor makes no connections, and libssl with libcrypto
are a quarter of its memory (measured, Python 3.11, Linux: 20.1 against 15.3 MB resident) and 10 ms
of its startup. asyncio supports a Python that was built without ssl, so it is imported as in such a
one; `import ssl` works again afterwards.
"""

import sys


def import_asyncio_without_ssl() -> None:
    """Import asyncio without ssl. Does nothing when either is already imported."""
    if "asyncio" in sys.modules or "ssl" in sys.modules:
        return
    sys.modules["ssl"] = None  # type: ignore[assignment]  # makes `import ssl` raise ImportError
    try:
        import asyncio  # noqa: F401
    finally:
        del sys.modules["ssl"]
