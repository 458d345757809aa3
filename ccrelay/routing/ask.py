"""What one request asks of a target."""

from ccrelay._fast.places import Place
from ccrelay.types import OutputClass, RequestClass, TrafficClass


class Ask:
    """Facts of a request that strategies, limits and affinity go by. Estimates are tokens."""

    __slots__ = (
        "body_bytes",
        "conversation",
        "credential",
        "kind",
        "mended",
        "now",
        "output_class",
        "place",
        "tokens_in",
        "tokens_out",
        "traffic",
        "waits_since",
    )

    def __init__(
        self,
        *,
        kind: RequestClass = RequestClass.MESSAGES,
        traffic: TrafficClass = TrafficClass.MAIN,
        conversation: int = 0,
        tokens_in: int = 0,
        tokens_out: int = 0,
        body_bytes: int = 0,
        output_class: OutputClass = OutputClass.STREAM,
        place: Place | None = None,
        now: float = 0.0,
    ) -> None:
        self.kind = kind
        self.traffic = traffic
        self.credential = 0  # hash of the client's own, where a provider passes it through
        self.conversation = conversation  # 0: none is known
        self.tokens_in = tokens_in
        self.tokens_out = tokens_out
        self.body_bytes = body_bytes
        self.output_class = output_class
        self.place = place  # where the conversation lives; None: nowhere yet, or its cache is cold
        self.mended = False  # its thinking blocks were refused, and it was sent again without
        self.now = now
        self.waits_since = now  # when the request was first asked for; `now` moves on
