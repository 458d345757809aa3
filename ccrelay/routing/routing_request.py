"""What one request asks of a target."""

from ccrelay._fast.affinity_table import Binding
from ccrelay.types import OutputClass, RequestClass, TrafficClass

_MESSAGES = int(RequestClass.MESSAGES)
_MAIN = int(TrafficClass.MAIN)
_STREAM = int(OutputClass.STREAM)


class RoutingRequest:
    """Facts of a request that strategies, limits and affinity use. Token counts are estimates.

    Args:
        kind: the endpoint, a `RequestClass`.
        traffic: what the request is for, a `TrafficClass`.
        conversation: its hash; 0: unknown.
        tokens_in: the whole prompt: what counts where no cache holds any of it.
        tokens_home: what the target of `cache` has not cached, as far as it has reported.
        tokens_out: output tokens.
        body_bytes: size of the body.
        output_class: an `OutputClass`.
        binding: the conversation's sticky target; None: none, or its cache is cold.
        cache: which target has cached this prompt, and how much of it. Main loop and sub-agents of
            a conversation share its binding, and no prompt. None: the binding.
        now: monotonic seconds.
    """

    __slots__ = (
        "anyway",
        "binding",
        "body_bytes",
        "cache",
        "client",
        "conversation",
        "credential",
        "home_open",
        "kind",
        "marks",
        "mended",
        "now",
        "output_class",
        "rough",
        "strip",
        "thread",
        "tokens_home",
        "tokens_in",
        "tokens_out",
        "traffic",
        "waits_since",
    )

    def __init__(
        self,
        *,
        kind: int = RequestClass.MESSAGES,
        traffic: int = TrafficClass.MAIN,
        conversation: int = 0,
        tokens_in: int = 0,
        tokens_home: int | None = None,
        tokens_out: int = 0,
        body_bytes: int = 0,
        output_class: int = OutputClass.STREAM,
        binding: Binding | None = None,
        cache: Binding | None = None,
        now: float = 0.0,
    ) -> None:
        self.clear()
        self.kind = kind
        self.traffic = traffic
        self.conversation = conversation
        self.tokens_in = tokens_in
        self.tokens_home = tokens_in if tokens_home is None else tokens_home
        self.tokens_out = tokens_out
        self.body_bytes = body_bytes
        self.output_class = output_class
        self.binding = binding
        self.cache = binding if cache is None else cache
        self.thread = conversation
        self.now = now
        self.waits_since = now

    def clear(self) -> None:
        """What a request is of which nothing is known; for one that `__new__` has made, too."""
        self.kind = _MESSAGES
        self.traffic = _MAIN
        self.credential = 0  # hash of the client's own, where a provider passes it through
        self.client = 0  # whose it is (`ClientAuth.client`)
        self.conversation = 0
        self.tokens_in = 0
        self.tokens_home = 0
        self.tokens_out = 0
        self.rough = False  # images may have been counted by their length: far too much
        self.body_bytes = 0
        self.output_class = _STREAM
        self.binding = None
        self.cache = None
        self.thread = 0  # hash of what `cache` is found by; 0: unknown
        self.marks = 0  # FOREIGN, UNSIGNED: what is known of its thinking blocks
        self.home_open = True  # the sticky target can take it, or will soon (for strategies)
        self.anyway = False  # only TIGHT targets are asked: what headers taught may be wrong
        self.mended = False  # its thinking blocks were refused once, and it was sent without
        self.strip: bool | None = None  # which thinking blocks no provider that validates may see
        self.now = 0.0
        self.waits_since = 0.0  # when it was queued for a target, less time queued before

    def need(self, slot: int) -> int:
        """Input tokens that count at a target."""
        cache = self.cache
        if cache is not None and cache.slot == slot:
            return self.tokens_home
        return self.tokens_in
