"""Text from elsewhere, as logs and terminals may show it.

What Unicode does not call printable is escaped: control characters (C0, DEL, C1), line and
paragraph separators, format characters (bidirectional controls, zero-width ones, tags), surrogates,
private and unassigned code points. They can forge a line, control a terminal, or reorder what is
read. `str.isprintable` is that definition: the categories C* and Z*, but for the space.
"""

import re

# What `re` can say of it without a list of characters: candidates, each of which is then looked at.
_CANDIDATE = re.compile(r"[^ -~\n\t]")


def printable(text: str) -> str:
    """Return the text, escaped (`\\u202e`) where it is not printable; line ends and tabs stay."""
    if text.isprintable():
        return text
    return _CANDIDATE.sub(_escaped, text)


def printable_json(data: bytes) -> bytes:
    """Return a JSON document with escapes in its strings for what is not printable.

    Elsewhere in it there are only printable characters of ASCII and line ends.
    """
    if data.isascii() and b"\x7f" not in data:
        return data
    return _CANDIDATE.sub(_json_escaped, data.decode()).encode()


def _escaped(found: re.Match[str]) -> str:
    char = found[0]
    if char.isprintable():
        return char
    code = ord(char)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _json_escaped(found: re.Match[str]) -> str:
    char = found[0]
    if char.isprintable():
        return char
    units = char.encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
