"""Lone surrogate escapes, which JavaScript writes when it truncates a string inside an emoji."""

import re

from ccrelay._fast.json_items import join

# Escapes of surrogates, a valid pair or a lone one, with all backslashes before the first.
_SURROGATES = re.compile(
    rb"(?<!\\)(\\+)u[dD](?:"
    rb"[89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|[89a-fA-F][0-9a-fA-F]{2})"
)
# Bytes behind the backslashes of a pair.
_PAIR_BYTES = 11
# Escapes checked before a body is rejected: some 50 ms of work, more than real clients need.
SURROGATES_MAX = 100_000
# One call of the search holds up every other thread: it is cut into windows. Longer runs of
# backslashes are not repaired.
_WINDOW_BYTES = 262_144
_RUN_BYTES_MAX = 65_536
_REPLACEMENT = rb"\ufffd"


def without_lone(body: bytes) -> bytes:
    """The body with lone surrogates replaced, at most SURROGATES_MAX of them."""
    pieces: list[bytes | memoryview] = []
    view, done, at, size, left = memoryview(body), 0, 0, len(body), SURROGATES_MAX
    while at < size and left > 0:
        end = min(at + _WINDOW_BYTES, size)
        sure = end if end == size else end - _RUN_BYTES_MAX  # what begins here ends in the window
        for match in _SURROGATES.finditer(body, at, end):
            if match.start() >= sure or left == 0:
                break
            left -= 1
            at = match.end()
            run = match.end(1)
            # An escaped backslash starts no escape.
            is_escape = (run - match.start(1)) % 2 == 1
            is_pair = match.end() - run == _PAIR_BYTES
            if is_escape and not is_pair:
                start = run - 1
            elif is_pair and not is_escape:
                start = match.end() - len(_REPLACEMENT)
            else:
                continue
            pieces += (view[done:start], _REPLACEMENT)
            done = match.end()
        at = max(at, sure)
    return join([*pieces, view[done:]])
