"""The demo's prompt cache: which beginnings of prompts each credential has sent, for a while.

Only digests are kept. As at Anthropic a cache belongs to one credential, lives for five minutes or
an hour from its last use, and is there once the answer begins that wrote it. Coarser than there: a
mark anywhere caches the whole prompt, a beginning ends where a message does (or before the first),
and a prompt of any length is cached.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import TypeAlias

import msgspec

ENTRIES_MAX = 10_000  # of all credentials, some 2 MB; beyond, the one not used longest goes
TTL_S = 300.0
TTL_LONG_S = 3600.0
DIGEST_BYTES = 16
# A block of Claude Code's that changes from request to request, and is no part of the prompt.
ATTRIBUTION = "x-anthropic-billing-header:"

_Block: TypeAlias = dict[str, msgspec.Raw]


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Block] = ""


class _Prompt(msgspec.Struct):
    model: str
    messages: list[msgspec.Raw]
    system: str | list[_Block] | None = None
    tools: list[_Block] | None = None


class Prefix(msgspec.Struct, frozen=True):
    """What a prompt has in common with others: its beginnings, shortest first.

    Each is a digest and the bytes of the body up to its end. The last is the whole prompt.
    `has_common`: the first, tools and system, has a mark of its own: other conversations share it.
    """

    beginnings: list[tuple[bytes, int]]
    has_common: bool
    ttl_s: float


class PromptCache:
    """The caches of all credentials of one demo. `clock` tells seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        # Credential and digest -> when it ends, and how long it lives from a use on.
        self._entries: OrderedDict[tuple[str, bytes], tuple[float, float]] = OrderedDict()

    def read(self, credential: str, prefix: Prefix) -> int:
        """Return the bytes of the longest beginning that is cached, 0 for none; that is a use."""
        now = self._clock()
        for digest, size_bytes in reversed(prefix.beginnings):
            name = (credential, digest)
            ends_at, ttl_s = self._entries.get(name, (now, 0.0))
            if ends_at > now:
                self._keep(name, now, ttl_s)
                return size_bytes
        return 0

    def write(self, credential: str, prefix: Prefix) -> None:
        """Note that a prompt is answered."""
        now = self._clock()
        kept = {prefix.beginnings[-1][0]}
        if prefix.has_common:
            kept.add(prefix.beginnings[0][0])
        for digest in kept:
            self._keep((credential, digest), now, prefix.ttl_s)

    def _keep(self, name: tuple[str, bytes], now: float, ttl_s: float) -> None:
        self._entries.pop(name, None)
        self._entries[name] = (now + ttl_s, ttl_s)
        while len(self._entries) > ENTRIES_MAX:
            self._entries.popitem(last=False)


def read_prefix(body: bytes, *, has_common: bool, ttl_s: float) -> Prefix:
    """Take the body of a Messages request apart. It must have been read by `read_ask` before."""
    prompt = msgspec.json.decode(body, type=_Prompt)
    digest = hashlib.blake2b(prompt.model.encode(), digest_size=DIGEST_BYTES)
    for tool in prompt.tools or ():
        digest.update(b"\0tool" + b"".join(_members(tool)))
    for block in _blocks(prompt.system or ()):
        if not _is_attribution(block):
            digest.update(b"\0system" + b"".join(_members(block)))
    size_bytes = len(body) - sum(map(_length, prompt.messages))
    beginnings = [(digest.digest(), size_bytes)]
    for raw in prompt.messages:
        message = msgspec.json.decode(raw, type=_Message)
        digest.update(b"\0message" + message.role.encode())
        for block in _blocks(message.content):
            digest.update(b"\0block" + b"".join(_members(block)))
        size_bytes += _length(raw)
        beginnings.append((digest.digest(), size_bytes))
    return Prefix(beginnings, has_common, ttl_s)


def _blocks(content: "str | list[_Block] | tuple[()]") -> "list[_Block] | tuple[()]":
    # Claude Code writes a message as text, and as a block of text where it sets a mark.
    if isinstance(content, str):
        return [{"type": msgspec.Raw(b'"text"'), "text": msgspec.Raw(msgspec.json.encode(content))}]
    return content


def _members(block: _Block) -> Iterator[bytes]:
    """Yield what counts of a block: all but its mark, which moves on with the conversation."""
    for name in sorted(block.keys() - {"cache_control"}):
        value = bytes(block[name])
        if name == "text":  # however its letters are escaped
            value = msgspec.json.encode(msgspec.json.decode(value))
        yield b"\0%b:%b" % (name.encode(), value)


def _is_attribution(block: _Block) -> bool:
    text = bytes(block.get("text", msgspec.Raw(b"")))
    return text.startswith(b'"' + ATTRIBUTION.encode())


def _length(raw: msgspec.Raw) -> int:
    return len(memoryview(raw))
