"""Values of labels: bounded in number and length, whatever clients and providers send."""

import re

from ccrelay.ledger.record import Billing, Record, Result, Try
from ccrelay.metrics import LABEL_LENGTH_MAX, LABEL_VALUES_MAX, NONE, OTHER
from ccrelay.types import RequestClass, TrafficClass

_TRAFFIC = {
    TrafficClass.MAIN: "main",
    TrafficClass.COMPACTION: "compaction",
    TrafficClass.SUBAGENT: "subagent",
    TrafficClass.WEB_SEARCH: "web-search",
    TrafficClass.BACKGROUND: "background",
    TrafficClass.COUNT_TOKENS: "count_tokens",
}
_RESULTS = {int(result): result.name.lower() for result in Result}
_KINDS = {int(kind): kind.name.lower() for kind in RequestClass}
_BILLING = {int(billing): billing.name.lower() for billing in Billing}
_WORD = re.compile(r"[a-z0-9_]{1,40}\Z")
_ANSWERED = frozenset({Result.OK, Result.FAILOVER, Result.CLIENT_LEFT})


class LabelValues:
    """The values that one label has had: the first LABEL_VALUES_MAX keep their names."""

    def __init__(self, maximum: int = LABEL_VALUES_MAX) -> None:
        self._maximum = maximum
        self._seen: set[str] = set()

    def admit(self, value: str) -> str:
        """Return the value, or OTHER where it is one too many, too long or not printable."""
        if value in self._seen:
            return value
        if not value:
            return NONE
        fits = len(self._seen) < self._maximum and len(value) <= LABEL_LENGTH_MAX
        if not fits or not value.isprintable():
            return OTHER
        self._seen.add(value)
        return value

    def known(self, value: str) -> str:
        """Return a value that was admitted before; OTHER for any other one."""
        return value if value in self._seen else OTHER if value else NONE


class RecordLabels:
    """The labels of records, with the values that they have had."""

    def __init__(self) -> None:
        self._providers = LabelValues()
        self._keys = LabelValues()
        self._models = LabelValues()
        self._verdicts = LabelValues()

    def provider(self, name: str) -> str:
        """Return the name of a provider; NONE: no target was tried."""
        return self._providers.admit(name)

    def key(self, record: Record) -> str:
        """Return the name of the key, else its fingerprint."""
        return self._keys.admit(record.key_name or record.key)

    def model(self, record: Record) -> str:
        """Return the model as served.

        A name becomes a value only once a provider has answered for it: where a glob lets any name
        through, a client could make up as many as it likes.
        """
        if is_answered(record):
            return self._models.admit(record.sent)
        return self._models.known(record.sent)

    def traffic(self, record: Record) -> str:
        """Return the traffic class, else the kind of the request."""
        if record.traffic in _TRAFFIC:
            return _TRAFFIC[TrafficClass(record.traffic)]
        return _KINDS.get(record.kind, OTHER)

    def attempts(self, record: Record) -> list[tuple[str, str]]:
        """Return provider and verdict of every attempt."""
        if record.tries:
            return [(self.provider(t.provider), self._verdict(t)) for t in record.tries]
        if record.attempts:
            word = self._verdicts.admit(verdict_of_only(record))
            return [(self.provider(record.provider), word)]
        return []

    def _verdict(self, attempt: Try) -> str:
        word = attempt.verdict
        return self._verdicts.admit(word) if _WORD.match(word) else OTHER


def is_answered(record: Record) -> bool:
    """Whether a provider answered; of a result that is not known here, by the status."""
    if record.result in _RESULTS:
        return record.result in _ANSWERED and record.status == 200
    return 200 <= record.status < 300


def verdict_of_only(record: Record) -> str:
    """Return the verdict on the only attempt, which a record does not list; words as in `tries`."""
    if record.result == Result.CLIENT_LEFT:
        return "client_left"
    if is_answered(record):
        return "answered"
    if record.result == Result.PASSED_ON:
        return "passed_on"  # as that of the last of several
    return record.error if record.error and _WORD.match(record.error) else "lost"


def outcome(record: Record) -> str:
    """Return how the exchange went."""
    return _RESULTS.get(record.result, OTHER)


def billing(record: Record) -> str:
    """Return how its tokens are paid."""
    return _BILLING.get(record.billing, _BILLING[Billing.UNKNOWN])


def code(status: int) -> str:
    """Return the HTTP status; NONE: none was sent."""
    if not status:
        return NONE
    return str(status) if 100 <= status <= 999 else OTHER
