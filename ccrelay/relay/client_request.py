"""A client's request as an exchange sees it: its connection, its head, its body.

Every question about the body is answered here, so that it has one answer: whether it has arrived,
whether it is kept, how long it is, whether the request can be sent again.
"""

from ccrelay._fast.downstream import Downstream
from ccrelay._fast.http1 import FieldId
from ccrelay.relay.client_auth import ClientAuth
from ccrelay.routing.features import traffic_of_head
from ccrelay.types import RequestClass, TrafficClass

_AGENT = int(FieldId.F_AGENT_ID)
_CLASS = int(FieldId.F_REQUEST_CLASS)
_MESSAGES = int(RequestClass.MESSAGES)
_MAIN = int(TrafficClass.MAIN)
UNKNOWN_TRAFFIC = -1


class ClientRequest:
    """One request.

    Args:
        down: the client's connection.
        kind: the endpoint, a `RequestClass`.
        auth: what authentication found.
        path: path and query that are sent upstream, of the relay's own making.
    """

    __slots__ = ("_traffic", "auth", "body", "down", "kind", "model", "path")

    def __init__(
        self, down: Downstream, kind: int, auth: ClientAuth, path: bytes = b"/v1/messages"
    ) -> None:
        self.down = down
        self.kind = kind
        self.auth = auth
        self.path = path
        self.model: str | None = None  # as the client spells it, once known
        self.body: bytes | None = None  # unpacked; None: the body is the connection's
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

    def hold(self, rewritten: bytes | None) -> bool:
        """Charge the copies of the body: unpacked, rewritten. False: there is no memory left."""
        size = len(self.body) if self.body is not None else 0
        if rewritten is not None and rewritten is not self.body:
            size += len(rewritten)
        return self.down.hold(size)

    def size(self) -> int:
        """Bytes of the body: all of it where its length is known, else what has arrived."""
        if self.body is not None:
            return len(self.body)
        length: int = self.down.head.content_length
        return length if length >= 0 else self.down.body_seen()

    def whole(self) -> bytes:
        """The complete body."""
        return self.body if self.body is not None else self.down.body_bytes()

    def asks_for_stream(self) -> bool:
        """Whether `"stream": true` has been seen."""
        if self.body is not None:
            return b'"stream":true' in self.body.replace(b" ", b"")
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
