from ccrelay._fast.shared_memory import SharedMemory

class Binding:
    """Which target a conversation is bound to: a copy of its entry."""

    @property
    def slot(self) -> int:
        """Target slot."""

    @property
    def flags(self) -> int: ...
    @property
    def prefix_tokens(self) -> int:
        """Input tokens of the last turn, cached or not."""

    @property
    def cached_tokens(self) -> int:
        """Of these, what the answer reported as read from or written to the prompt cache."""

    @property
    def body_bytes(self) -> int:
        """Request body bytes of the last turn."""

    @property
    def seen_at(self) -> float:
        """Time of the last turn, monotonic seconds."""

    @property
    def ttl_s(self) -> float:
        """Lifetime of its prompt cache, seconds: 300 or 3600."""

class AffinityTable:
    """The bounded shared table of conversation bindings. Conversation 0 is never stored."""

    def __init__(self, memory: SharedMemory) -> None: ...
    def find(self, conversation: int, now: float, client: int = 0) -> Binding | None:
        """The binding; None: unknown, or its cache has expired (the entry is free then).

        `client`: whose conversation it is. Above 0, where that is proven, no other client finds it.
        """

    def keep(
        self,
        conversation: int,
        slot: int,
        now: float,
        *,
        ttl_s: float = 300.0,
        prefix_tokens: int = 0,
        cached_tokens: int = 0,
        body_bytes: int = 0,
        flags: int = 0,
        client: int = 0,
        again: bool = False,
    ) -> None:
        """Write the entry.

        `client`: see `find`; it also tells whose share of the table it takes. `again`: an earlier
        turn was served, too.

        A full set evicts an expired entry, else one of the client that has the most there, this
        entry included (its own, if two have the most): one that came once, then one without MOVED,
        then the oldest. ValueError: no such slot, or flags over 16 bits.
        """

    def forget_slot(self, slot: int) -> int:
        """Remove all entries of a removed target; return how many."""

# Bits of flags
MOVED: int  # bound to another target than rendezvous hashing prefers
FOREIGN: int  # a target without Claude signatures has served a turn
UNSIGNED: int  # a provider has rejected its signatures
MODEL_BITS: int  # a hash of the model whose cache it is; 0: none yet

def hash64(data: bytes) -> int:
    """64-bit hash, never 0, equal in every process and on every node."""

def rendezvous(conversation: int, seed: int, weight: int) -> float:
    """Score of one node; the highest wins. Weight 0: -inf."""
