from ccrelay._fast.shared_memory import SharedMemory

class Binding:
    """Where a conversation is: a copy of its entry."""

    @property
    def slot(self) -> int:
        """Target slot."""

    @property
    def flags(self) -> int: ...
    @property
    def prefix_tokens(self) -> int:
        """Input tokens of its last turn, cached or not."""

    @property
    def body_bytes(self) -> int:
        """Request bytes of its last turn."""

    @property
    def seen_at(self) -> float:
        """Its last turn."""

    @property
    def ttl_s(self) -> float:
        """How long its prompt cache lives: 300 or 3600."""

class AffinityTable:
    """The bounded shared table of conversations and their targets. Conversation 0 is none."""

    def __init__(self, memory: SharedMemory) -> None: ...
    def find(self, conversation: int, now: float) -> Binding | None:
        """None: unknown, or its cache has expired (the entry is free then)."""

    def keep(
        self,
        conversation: int,
        slot: int,
        now: float,
        *,
        ttl_s: float = 300.0,
        prefix_tokens: int = 0,
        body_bytes: int = 0,
        flags: int = 0,
    ) -> None:
        """Write its entry. When its set is full, an expired one goes first, then the oldest without
        MOVED, then the oldest. ValueError: no such slot, or flags of more than 16 bits."""

    def forget_slot(self, slot: int) -> int:
        """All entries of a target that is gone; how many there were."""

# Bits of flags
MOVED: int  # it lives elsewhere than rendezvous hashing says
FOREIGN: int  # a target that signs no Claude signatures has served a turn
UNSIGNED: int  # a provider refused its signatures once

def hash64(data: bytes) -> int:
    """A hash of 64 bits, never 0, the same in every process and node."""

def rendezvous(conversation: int, seed: int, weight: int) -> float:
    """Score of one node; the highest wins. Weight 0: -inf."""
