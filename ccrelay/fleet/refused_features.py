"""What providers have refused of requests, per provider and model, in the shared memory.

A cloud's 400 may name a beta, a member, a tool type (`providers.bridge.refused_features`). What it
names is left out of that model's requests for a day by all workers; then it is tried again, because
clouds learn. It outlives workers, and is forgotten when the provider's settings change.
"""

import msgspec

from ccrelay._fast.note_table import NOTE_BYTES_MAX, NoteTable
from ccrelay._fast.shared_memory import SharedMemory

LIFETIME_S = 86_400.0
# Of one provider: names that no feature of the bridge has (`member:x`), which a client may make up.
MADE_UP_MAX = 32
_KIND = ":"
# Before a model's name: what is refused of its counts only.
COUNTED = "count_tokens "

_GAP = b"\0"
_NEVER = float("inf")


class RefusedFeature(msgspec.Struct, frozen=True):
    """A feature that is left out.

    Args:
        provider: its name.
        model: as it is sent to the provider.
        feature: as `providers.bridge` names it.
        expires: when it is tried again; seconds since 1970.
    """

    provider: str
    model: str
    feature: str
    expires: float


class RefusedFeatures:
    """The features that are left out, as all workers see them. Times are seconds since 1970.

    Reading costs a look at one word of the shared memory and one in a dict.
    """

    def __init__(self, memory: SharedMemory) -> None:
        self._table = NoteTable(memory)
        self._changes = -1
        self._until = 0.0  # when the first of the copied ones expires
        self._found: dict[tuple[str, str], frozenset[str]] = {}

    def of(self, provider: str, model: str, now_wall: float) -> frozenset[str]:
        """The features to leave out of requests to this provider for this model."""
        if self._table.changes != self._changes or now_wall >= self._until:
            self._read(now_wall)
        return self._found.get((provider, model), _NOTHING)

    def learn(self, provider: str, model: str, feature: str, now_wall: float) -> bool:
        """Leave a feature out for a day.

        False: the names are too long to be kept, or clients have made up too many.
        """
        if _KIND in feature and self._made_up(provider, now_wall) >= MADE_UP_MAX:
            return False
        parts = [_encoded(part) for part in (provider, model, feature)]
        text = _GAP.join(parts)
        if len(text) > NOTE_BYTES_MAX or any(_GAP in part for part in parts):
            return False
        self._table.keep(text, now_wall, now_wall + LIFETIME_S)
        return True

    def forget(self, provider: str) -> int:
        """Try everything again that this provider has refused; returns how much that is."""
        return self._table.forget(_encoded(provider) + _GAP)

    def all(self, now_wall: float) -> list[RefusedFeature]:
        """Everything that is left out, by provider, model and feature."""
        # A note that expires later was written when the clock was wrong.
        latest = now_wall + LIFETIME_S
        notes = [note for note in self._table.notes(now_wall) if note[1] <= latest]
        found = [self._decoded(text, expires) for text, expires in notes]
        return sorted(found, key=lambda one: (one.provider, one.model, one.feature))

    def _made_up(self, provider: str, now_wall: float) -> int:
        notes = self.all(now_wall)
        return sum(note.provider == provider and _KIND in note.feature for note in notes)

    def _read(self, now_wall: float) -> None:
        # The count first: what changes meanwhile is read again.
        self._changes = self._table.changes
        notes = self.all(now_wall)
        self._until = min((note.expires for note in notes), default=_NEVER)
        found: dict[tuple[str, str], set[str]] = {}
        for note in notes:
            found.setdefault((note.provider, note.model), set()).add(note.feature)
        self._found = {key: frozenset(names) for key, names in found.items()}

    @staticmethod
    def _decoded(text: bytes, expires: float) -> RefusedFeature:
        provider, model, feature = (
            part.decode("utf-8", "surrogatepass") for part in text.split(_GAP)
        )
        return RefusedFeature(provider, model, feature, expires)


_NOTHING: frozenset[str] = frozenset()


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
