"""The prompt cache of the mock provider: digests of the prompt prefixes that a credential has sent.

As at Anthropic an entry belongs to one credential, expires five minutes or an hour after its last
use, and is available once the response that wrote it has started. Simplified: a cache_control
anywhere caches the whole prompt, prefixes end after a message (or before the first), and prompts of
any length are cached.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import TypeAlias

import msgspec

ENTRIES_MAX = 10_000  # of all credentials, some 2 MB; then the least recently used is evicted
TTL_S = 300.0
TTL_LONG_S = 3600.0
DIGEST_BYTES = 16
# A system block of Claude Code that changes with each request and is not part of the prompt.
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
    """The prefixes of a prompt, shortest first; the last is the whole prompt.

    Each is a digest and the bytes of the body up to its end. `has_shared`: the first one, tools and
    system, has its own cache_control, so that other conversations share it.
    """

    prefixes: list[tuple[bytes, int]]
    has_shared: bool
    ttl_s: float


class PromptCache:
    """The caches of all credentials. `clock` returns seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        # (credential, digest) -> (expiry time, TTL).
        self._entries: OrderedDict[tuple[str, bytes], tuple[float, float]] = OrderedDict()

    def read(self, credential: str, prefix: Prefix) -> int:
        """Return the bytes of the longest cached prefix, 0 for none, and renew its expiry."""
        now = self._clock()
        for digest, size_bytes in reversed(prefix.prefixes):
            name = (credential, digest)
            ends_at, ttl_s = self._entries.get(name, (now, 0.0))
            if ends_at > now:
                self._keep(name, now, ttl_s)
                return size_bytes
        return 0

    def write(self, credential: str, prefix: Prefix) -> None:
        """Cache a prompt whose response has started."""
        now = self._clock()
        kept = {prefix.prefixes[-1][0]}
        if prefix.has_shared:
            kept.add(prefix.prefixes[0][0])
        for digest in kept:
            self._keep((credential, digest), now, prefix.ttl_s)

    def _keep(self, name: tuple[str, bytes], now: float, ttl_s: float) -> None:
        self._entries.pop(name, None)
        self._entries[name] = (now + ttl_s, ttl_s)
        while len(self._entries) > ENTRIES_MAX:
            self._entries.popitem(last=False)


def parse_prefix(body: bytes, *, has_shared: bool, ttl_s: float) -> Prefix:
    """Return the prefixes of a Messages body that `parse_request` has accepted."""
    prompt = msgspec.json.decode(body, type=_Prompt)
    digest = hashlib.blake2b(prompt.model.encode(), digest_size=DIGEST_BYTES)
    for tool in prompt.tools or ():
        digest.update(b"\0tool" + b"".join(_members(tool)))
    for block in _blocks(prompt.system or ()):
        if not _is_attribution(block):
            digest.update(b"\0system" + b"".join(_members(block)))
    size_bytes = len(body) - sum(map(_length, prompt.messages))
    prefixes = [(digest.digest(), size_bytes)]
    for raw in prompt.messages:
        message = msgspec.json.decode(raw, type=_Message)
        digest.update(b"\0message" + message.role.encode())
        for block in _blocks(message.content):
            digest.update(b"\0block" + b"".join(_members(block)))
        size_bytes += _length(raw)
        prefixes.append((digest.digest(), size_bytes))
    return Prefix(prefixes, has_shared, ttl_s)


def _blocks(content: "str | list[_Block] | tuple[()]") -> "list[_Block] | tuple[()]":
    # Claude Code sends a message as a string, and as a text block where it sets cache_control.
    if isinstance(content, str):
        return [{"type": msgspec.Raw(b'"text"'), "text": msgspec.Raw(msgspec.json.encode(content))}]
    return content


def _members(block: _Block) -> Iterator[bytes]:
    """Yield the members of a block, except cache_control, which moves with the conversation."""
    for name in sorted(block.keys() - {"cache_control"}):
        value = bytes(block[name])
        if name == "text":  # normalise JSON escapes
            value = msgspec.json.encode(msgspec.json.decode(value))
        yield b"\0%b:%b" % (name.encode(), value)


def _is_attribution(block: _Block) -> bool:
    text = bytes(block.get("text", msgspec.Raw(b"")))
    return text.startswith(b'"' + ATTRIBUTION.encode())


def _length(raw: msgspec.Raw) -> int:
    return len(memoryview(raw))
