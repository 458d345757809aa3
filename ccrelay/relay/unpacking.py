"""Unpacks a gzip request body step by step, and reads in passing what routing needs of it.

A small gzip file may stand for any amount of bytes: what a step costs is bounded by what comes out.
Each piece is charged to the memory of bodies before it is kept, and scanned, so that a body that is
no JSON, or too long, ends the work at once.
"""

import zlib

from ccrelay._fast.body import GUARDED, BodyFault
from ccrelay._fast.json import MemberKeys, MemberScan, ScanState
from ccrelay._fast.memory_account import Share
from ccrelay.errors import BadRequest, RelayError
from ccrelay.relay.request_body import FAULTS, missing_model

# What comes out of one step: about 0.3 ms. zlib lets other threads run meanwhile.
STEP_BYTES = 65_536
# What goes in at a time. zlib copies what it has not consumed at each step.
INPUT_BYTES = 65_536

_KEYS = MemberKeys(["model", "stream"], guarded=GUARDED)
_CAPTURE_MAX = 8192  # a model's name, six bytes per escaped letter
_MODEL, _STREAM = 0, 1
_COMPLETE = int(ScanState.COMPLETE)
_INVALID = int(ScanState.INVALID)


class Unpacking:
    """One body. Drive it with `step`; then `body` and the rest can be read.

    Args:
        data: the gzip file, one member.
        limit: bytes that it may become, `server.limits.body_bytes_max`.
        memory: what is kept is charged here; None: it is not counted.
    """

    __slots__ = (
        "_at",
        "_data",
        "_limit",
        "_memory",
        "_pieces",
        "_rest",
        "_scan",
        "_unpacker",
        "body",
        "elements",
        "held",
        "model",
        "streams",
    )

    def __init__(self, data: bytes, limit: int, memory: Share | None = None) -> None:
        self._data = memoryview(data)
        self._limit = limit
        self._memory = memory
        self._unpacker = zlib.decompressobj(wbits=31)
        self._scan = MemberScan(_KEYS, _CAPTURE_MAX)
        self._pieces: list[bytes] = []
        self._at = 0  # bytes of `data` that zlib has been given
        self._rest = b""  # those of them that it has not consumed
        self.held = 0  # bytes that came out so far, all charged
        self.body = b""
        self.elements = 0  # items and members: `MemberScan.elements`
        self.model = b""  # raw JSON
        self.streams = False  # it asks for a stream

    def step(self) -> bool:
        """Unpack at most STEP_BYTES more. True: the body is whole.

        Raises:
            BadRequest: not gzip, truncated, followed by other data, not a JSON object, or without
                `model`.
            TooLarge: it becomes longer than the limit.
            NoTarget: there is no memory for it.
        """
        try:
            return self._step()
        except RelayError:
            self.drop()
            raise

    def run(self) -> "Unpacking":
        """All steps that are left. For a thread; raises like `step`."""
        while not self.step():
            pass
        return self

    def drop(self) -> None:
        """Forget what came out: nobody needs it."""
        if self._memory is not None:
            self._memory.give(self.held)
        self.held = 0
        self._pieces = []
        self.body = b""

    def _step(self) -> bool:
        unpacker = self._unpacker
        given = self._rest
        if not given and self._at < len(self._data):
            given = bytes(self._data[self._at : self._at + INPUT_BYTES])
            self._at += len(given)
        try:
            piece = unpacker.decompress(given, STEP_BYTES)
        except zlib.error as error:
            raise BadRequest(
                "The request body is not valid gzip, as content-encoding declares."
            ) from error
        self._rest = unpacker.unconsumed_tail
        if piece:
            self._keep(piece)
        is_over = self._at == len(self._data) and not self._rest
        if unpacker.eof:
            if unpacker.unused_data or not is_over:
                raise _damaged()
            self._end()
            return True
        if is_over and not piece:
            raise _damaged()
        return False

    def _keep(self, piece: bytes) -> None:
        if self.held + len(piece) > self._limit:
            raise FAULTS[int(BodyFault.TOO_LONG)]()
        if self._memory is not None and not self._memory.take(len(piece)):
            raise FAULTS[int(BodyFault.NO_ROOM)]()
        self.held += len(piece)
        self._pieces.append(piece)
        if self._scan.feed_bytes(piece) == _INVALID:
            deep = self._scan.is_too_deep()
            raise FAULTS[int(BodyFault.TOO_DEEP if deep else BodyFault.NOT_JSON)]()

    def _end(self) -> None:
        scan = self._scan
        if scan.state != _COMPLETE:
            raise FAULTS[int(BodyFault.NOT_JSON)]()
        if scan.seen(_MODEL) > 1:
            raise FAULTS[int(BodyFault.SECOND_MODEL)]()
        if scan.other_case:
            raise FAULTS[int(BodyFault.OTHER_CASE)]()
        span = scan.span(_MODEL)
        if span is None:
            raise missing_model()
        self.body = b"".join(self._pieces)  # lets other threads run where it is long
        self._pieces = []
        self.model = self.body[slice(*span)]
        self.streams = scan.value(_STREAM) == b"true"
        self.elements = scan.elements


def _damaged() -> RelayError:
    return BadRequest("The gzip body is truncated or has data after its end.")
