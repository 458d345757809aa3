"""A private copy of the shared memory: whatever is tried on it, no worker sees it."""

import os
import tempfile

from ccrelay._fast.shared_memory import SharedMemory

CHUNK_BYTES = 1 << 20


def private_copy(fd: int, memory: SharedMemory) -> SharedMemory:
    """The memory as it is now; mapped for writing, as that of worker 0.

    Words are copied one after the other while workers write, as a worker reads them.

    The rings of records, which are its end, are left out: routing does not read them.

    Args:
        fd: of the shared memory.
        memory: the same, mapped.

    Raises:
        OSError: there is no memory for it.
        ValueError: `fd` is none of ours.
    """
    rings = memory.workers * int(getattr(memory, "ring_bytes", 0))
    copy = _anonymous()
    try:
        size = os.fstat(fd).st_size
        os.ftruncate(copy, size)
        at, end = 0, size - rings
        while at < end:
            data = os.pread(fd, min(CHUNK_BYTES, end - at), at)
            if not data:
                break
            if data.count(0) != len(data):  # pages that were never touched stay so
                os.pwrite(copy, data, at)
            at += len(data)
        return SharedMemory(copy, 0)
    finally:
        os.close(copy)


def _anonymous() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("ccrelay-copy", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile(prefix="ccrelay-") as file:
        return os.dup(file.fileno())
