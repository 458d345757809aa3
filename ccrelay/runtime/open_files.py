"""RLIMIT_NOFILE: an exchange uses two descriptors, so a soft limit of 1024 is far too low."""

import contextlib
import resource

# Tried in order when the kernel refuses the hard limit (macOS: infinity, but at most OPEN_MAX).
FALLBACKS = (1_048_576, 65_536, 10_240)


def raise_open_file_limit() -> int:
    """Raise the soft limit of open files as far as permitted; returns the limit in force.

    Call it before the first worker is started: workers inherit it. Never fails.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (hard, *FALLBACKS):
        if not _is_higher(wanted, than=soft):
            continue
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return wanted
    return soft


def _is_higher(wanted: int, *, than: int) -> bool:
    if than == resource.RLIM_INFINITY:
        return False
    return wanted == resource.RLIM_INFINITY or wanted > than
