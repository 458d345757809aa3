"""asyncio without OpenSSL, for a process that speaks no TLS.

`asyncio` imports `ssl` if it can. The supervisor dials nobody, and libssl with libcrypto are a
quarter of its memory (measured, Python 3.11, Linux: 20.1 against 15.3 MB resident) and 10 ms of
its start. asyncio supports a Python built without ssl, so it is imported as if this were one;
`import ssl` itself works again right after.
"""

import sys


def import_asyncio_without_ssl() -> None:
    """Import asyncio, leaving ssl out. Call first; does nothing when either is already loaded."""
    if "asyncio" in sys.modules or "ssl" in sys.modules:
        return
    sys.modules["ssl"] = None  # type: ignore[assignment]  # makes `import ssl` raise ImportError
    try:
        import asyncio  # noqa: F401
    finally:
        del sys.modules["ssl"]
