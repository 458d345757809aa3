from ccrelay._fast.shared_memory import SharedMemory

NOTE_BYTES_MAX: int

class NoteTable:
    """A bounded table of short texts that expire, shared by all workers."""

    def __init__(self, memory: SharedMemory) -> None: ...
    @property
    def changes(self) -> int:
        """Counts what was kept and forgotten, by any worker: a copy of the notes is good until it
        changes, or one of them expires."""

    def notes(self, now: float) -> list[tuple[bytes, float]]:
        """The texts that have not expired, each with when it does; both in seconds since 1970."""

    def keep(self, text: bytes, now: float, expires: float) -> None:
        """Keep a text until then; one that is kept already only longer or shorter. A full table
        loses the text that expires first. ValueError: no bytes, or over NOTE_BYTES_MAX."""

    def forget(self, start: bytes) -> int:
        """Remove the texts that start so; return how many."""
