"""Open files: two per running exchange, so the soft limit of most systems (1024) is far too low."""

import contextlib
import resource

# Tried in turn where the kernel refuses the hard limit (macOS says infinity, and takes OPEN_MAX).
FALLBACKS = (1_048_576, 65_536, 10_240)


def raise_open_files() -> int:
    """Raise the soft limit of open files as far as this user may; workers inherit it.

    Call it before the first worker is started. Returns the limit now in force; never fails.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (hard, *FALLBACKS):
        if not _is_more(wanted, than=soft):
            continue
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return wanted
    return soft


def _is_more(wanted: int, *, than: int) -> bool:
    if than == resource.RLIM_INFINITY:
        return False
    return wanted == resource.RLIM_INFINITY or wanted > than
