"""A look at a JSON object that decodes no more than some of its members.

Most turns and tools of a request need no edit. To see that, one pass over the bytes of each is
enough, without a copy.
"""

from functools import lru_cache

import msgspec
from msgspec import UNSET, Raw, UnsetType

from ccrelay.wire.bodies import OBJECT, UNREADABLE, Word, first_byte


class Peek(msgspec.Struct, gc=False):
    """What has been found: words, and values of any type, by name."""

    words: dict[str, str]
    values: dict[str, Raw]


class Looker:
    """Looks at objects for some members.

    Args:
        words: members that should be a word; another type counts as absent.
        names: members of any type.
    """

    def __init__(self, words: tuple[str, ...], names: tuple[str, ...]) -> None:
        self._names = {f"n{i}": name for i, name in enumerate(names) if name not in words}
        self._words = {f"w{i}": name for i, name in enumerate(words)}
        # Names of fields are made, because a member may be called like a keyword.
        self._decoder = msgspec.json.Decoder(
            msgspec.defstruct(
                "Looked",
                [
                    *((field, Word, None) for field in self._words),
                    *((field, Raw | UnsetType, UNSET) for field in self._names),
                ],
                rename=self._words | self._names,
                gc=False,
            )
        )

    def look(self, value: Raw) -> Peek | None:
        """What it finds; None: not an object, or unreadable."""
        if first_byte(value) != OBJECT:
            return None
        try:
            found = self._decoder.decode(value)
        except UNREADABLE:
            return None
        words = {}
        for field, name in self._words.items():
            word = getattr(found, field)
            if isinstance(word, str):
                words[name] = word
        values = {}
        for field, name in self._names.items():
            value = getattr(found, field)
            if isinstance(value, Raw):
                values[name] = value
        return Peek(words, values)


@lru_cache(maxsize=64)
def looker(words: tuple[str, ...], names: tuple[str, ...]) -> Looker:
    """A looker; the same one for the same names."""
    return Looker(words, names)
