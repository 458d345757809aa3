from ccrelay._fast.sse import SseTap
from ccrelay._fast.usage import Usage

class Taps:
    sse: SseTap | None
    @property
    def life_at(self) -> float: ...
    first_event_at: float
    def usage(self) -> Usage | None: ...
    def raw_usage(self) -> bytes | None: ...
