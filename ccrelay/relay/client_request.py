"""A client's request as an exchange sees it: its connection, its head, its body.

Every question about the body is answered here, so that it has one answer: whether it has arrived,
whether it is kept, how long it is, whether the request can be sent again.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ccrelay._fast.downstream import Downstream
from ccrelay._fast.http1 import FieldId
from ccrelay._fast.json import count_elements
from ccrelay._fast.memory_account import Share
from ccrelay.relay.client_auth import ClientAuth
from ccrelay.routing.features import traffic_of_head
from ccrelay.types import RequestClass, TrafficClass

if TYPE_CHECKING:  # what only cloud clients need is imported when the first of them comes
    from ccrelay.relay.cloud_answers import AwsAnswers

_AGENT = int(FieldId.F_AGENT_ID)
_CLASS = int(FieldId.F_REQUEST_CLASS)
_MESSAGES = int(RequestClass.MESSAGES)
_MAIN = int(TrafficClass.MAIN)
UNKNOWN_TRAFFIC = -1
PIECE_BYTES = 262_144


class ClientRequest:
    """One request.

    Args:
        down: the client's connection.
        kind: the endpoint, a `RequestClass`.
        auth: what authentication found.
        path: path and query that are sent upstream, of the relay's own making.
    """

    __slots__ = (
        "_copies",
        "_elements",
        "_memory",
        "_streams",
        "_traffic",
        "answers",
        "auth",
        "body",
        "cloud",
        "down",
        "held",
        "kind",
        "model",
        "path",
        "respell",
        "respelt",
    )

    def __init__(
        self, down: Downstream, kind: int, auth: ClientAuth, path: bytes = b"/v1/messages"
    ) -> None:
        self.down = down
        self.kind = kind
        self.auth = auth
        self.path = path
        self.model: str | None = None  # as the client spells it, once known
        # Of a cloud client: what puts its body into Anthropic's form; how it reads answers (None:
        # as Anthropic's clients do); what finds the name of a model by its id, and what it found,
        # as raw JSON.
        self.cloud: Any = None  # a `cloud_ingress.CloudBody`
        self.answers: AwsAnswers | None = None
        self.respell: Callable[[bytes], bytes | None] | None = None
        self.respelt: bytes | None = None
        self.body: bytes | None = None  # unpacked; None: the body is the connection's
        self._memory: Share | None = None  # what is made of the body is charged to it
        self.held = 0  # bytes charged
        self._copies = 0  # of them for what an attempt makes of the body
        self._elements = -1  # of `body`
        self._streams = False
        self._traffic = UNKNOWN_TRAFFIC

    # ---- the body

    def is_complete(self) -> bool:
        """Whether all of the body has arrived."""
        return self.body is not None or self.down.body_complete()

    def is_kept(self) -> bool:
        """Whether the body is kept whole, so that it can be sent again."""
        return self.body is not None or self.down.can_replay()

    def is_readable(self) -> bool:
        """Whether the whole body is here and kept."""
        return self.body is not None or (self.down.body_complete() and self.down.can_replay())

    def flows(self) -> bool:
        """Whether a target may be held for the body: it is here, or comes fast enough."""
        return self.body is not None or self.down.flows()

    def memory(self) -> Share:
        """What is made of the body is charged to it: looked up when it is needed first."""
        if self._memory is None:
            self._memory = self.down.memory
        return self._memory

    def charge(self, n: int) -> bool:
        """Charge the client for so many bytes made of its body. False: there is no room."""
        if not self.memory().take(n):
            return False
        self.held += n
        return True

    def charge_copies(self, n: int) -> bool:
        """As `charge`, for what an attempt makes of the body: the next one's takes its place."""
        if n > self._copies:
            if not self.charge(n - self._copies):
                return False
            self._copies = n
        return True

    def release(self) -> None:
        """Give back what was charged: the request is over."""
        if self.held:
            self.memory().give(self.held)
            self.held = 0
            self._copies = 0

    def size(self) -> int:
        """Bytes of the body: all of it where its length is known, else what has arrived."""
        if self.body is not None:
            return len(self.body)
        length: int = self.down.head.content_length
        return length if length >= 0 else self.down.body_seen()

    def whole(self) -> bytes:
        """The complete body."""
        return self.body if self.body is not None else self.down.body_bytes()

    def copied(self) -> bytes:
        """`whole` in many short steps. For a thread: others get their turns between them."""
        if self.body is not None:
            return self.body
        pieces: list[bytes] = []
        size = 0
        while piece := self.down.body_piece(size, PIECE_BYTES):
            pieces.append(piece)
            size += len(piece)
        return b"".join(pieces)  # it gives up the interpreter's lock where they are long

    def elements(self) -> int:
        """About how many items and members the body has, as far as it has arrived."""
        if self.body is None:
            seen: int = self.down.body_elements()
            if seen >= 0 or not self.is_readable():
                return max(seen, 0)
        if self._elements < 0:
            self._elements = count_elements(self.whole())
        return self._elements

    def set_body(self, body: bytes, elements: int, streams: bool) -> None:
        """Put an unpacked body in place of the connection's.

        Args:
            body: it.
            elements: its items and members; -1: not counted.
            streams: whether it asks for a stream.
        """
        self.body = body
        self._elements = elements
        self._streams = streams

    def come_from(self, cloud: Any, answers: "AwsAnswers | None") -> None:
        """It is a request in a cloud's form; see `cloud` and `answers`."""
        self.cloud = cloud
        self.answers = answers
        self._streams = cloud.stream

    def asks_for_stream(self) -> bool:
        """Whether `"stream": true` has been seen."""
        if self.body is not None or self.cloud is not None:  # the path may have told
            return self._streams
        return self.down.stream_flag()

    def can_resend(self, early_head_sent: bool) -> bool:
        """Whether another attempt is possible: nothing but an early head has gone to the client."""
        down = self.down
        if down.is_closed() or (down.started and not early_head_sent):
            return False
        return self.is_kept()

    # ---- what it is for

    def set_traffic(self, traffic: int) -> None:
        """What rules found it to be."""
        self._traffic = traffic

    def traffic(self) -> int:
        """What the request is for, a `TrafficClass`: as its head tells, else a main-loop turn."""
        if self._traffic >= 0:
            return self._traffic
        head = self.down.head
        agent = head.value(_AGENT)
        hint = head.value(_CLASS)
        if agent is None and hint is None and self.kind == _MESSAGES:
            return _MAIN
        found = traffic_of_head(agent, hint, RequestClass(self.kind))
        return _MAIN if found is None else int(found)
