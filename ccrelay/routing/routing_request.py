"""What one request asks of a target."""

from ccrelay._fast.affinity_table import Binding
from ccrelay.types import OutputClass, RequestClass, TrafficClass


class RoutingRequest:
    """Facts of a request that strategies, limits and affinity go by. Estimates are tokens."""

    __slots__ = (
        "binding",
        "body_bytes",
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
        "tokens_home",
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
        tokens_home: int | None = None,
        tokens_out: int = 0,
        body_bytes: int = 0,
        output_class: OutputClass = OutputClass.STREAM,
        binding: Binding | None = None,
        now: float = 0.0,
    ) -> None:
        self.kind = kind
        self.traffic = traffic
        self.credential = 0  # hash of the client's own, where a provider passes it through
        self.conversation = conversation  # 0: none is known
        self.tokens_in = tokens_in  # the whole prompt: what counts where no cache holds any of it
        # What is new to the target that `place` names, whose cache should hold the rest.
        self.tokens_home = tokens_in if tokens_home is None else tokens_home
        self.tokens_out = tokens_out
        self.rough = False  # images may have been counted by their length: far too much
        self.body_bytes = body_bytes
        self.output_class = output_class
        self.binding = (
            binding  # where the conversation lives; None: nowhere yet, or its cache is cold
        )
        self.marks = 0  # FOREIGN, UNSIGNED: what is known of its thinking blocks
        self.home_open = True  # for strategies that weigh: its own key can take it, or will soon
        self.mended = False  # its thinking blocks were refused, and it was sent again without
        self.strip: bool | None = None  # what that taught: which ones no judge of them may see
        self.now = now
        self.waits_since = now  # when it began to wait for a target, less what it had waited before

    def need(self, slot: int) -> int:
        """Input tokens that count at a target."""
        binding = self.binding
        return self.tokens_home if binding is not None and binding.slot == slot else self.tokens_in
