"""The words of a filter: how they are read, and what they mean for a record in memory.

    provider:zai -outcome:ok cost>0.10 first>2s "two words"

All words must match; `-` before one negates it. `:` finds a part of a text, `=` the whole text,
both without regard to case; commas separate alternatives. `ccrelay.store.filter_sql` says the same
in SQL; a property test compares the two.
"""

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Literal

import msgspec

from ccrelay.ledger.record import Record
from ccrelay.store.names import CLASSES, KINDS, OUTCOMES, REASONS

FILTER_MAX = 2000  # characters
TERMS_MAX = 32

Operator = Literal[":", "=", ">", ">=", "<", "<="]

# Where the value of a word is to be found: members of a record.
TEXTS: dict[str, tuple[str, ...]] = {
    "provider": ("provider",),
    "model": ("model", "sent"),
    "key": ("key_name", "key"),
    "session": ("session",),
    "agent": ("agent",),
    "project": ("project",),
    "rule": ("rule",),
    "strategy": ("strategy",),
    "stop": ("stop_reason",),
    "error": ("error",),
}
ANY_NAME = (
    *("provider", "model", "sent", "key_name", "key", "rule"),
    *("session", "agent", "project"),
)
# Stands for `provider/key`, as it is shown.
TARGET = "target"
TARGET_MEMBERS = frozenset({"provider", "key", "key_name"})
_WAITED = "waited"
_UNKNOWN = "unknown"
# Words that stand for numbers, by member.
ENUMS: dict[str, tuple[str, Mapping[int, str]]] = {
    "class": ("traffic", {-1: _UNKNOWN, **CLASSES}),
    "kind": ("kind", KINDS),
    "outcome": ("result", OUTCOMES),
    "reason": ("why", REASONS),
}
# Members and least value that means anything: below it the amount is not known, or there was none.
NUMBERS: dict[str, tuple[tuple[str, ...], int]] = {
    "cost": (("cost_micros",), 0),
    "first": (("first_event_us",), 1),
    "duration": (("duration_us",), 0),
    "queued": (("queued_us",), 0),
    "own": (("own_us",), 0),
    "status": (("status",), 0),
    "attempts": (("attempts",), 0),
    "input": (("input",), 0),
    "output": (("output",), 0),
    "cache_read": (("cache_read",), 0),
    "cache_write": (("cache_write_5m", "cache_write_1h"), 0),
    "tokens": (("input", "output", "cache_read", "cache_write_5m", "cache_write_1h"), 0),
    "moved_cost": (("moved_micros",), 0),
    "bytes_in": (("bytes_in",), 0),
    "bytes_out": (("bytes_out",), 0),
}
FLAGS: dict[str, str] = {"stream": "stream", "moved": "moved"}
_MONEY = frozenset({"cost", "moved_cost"})
_TIMES = frozenset({"first", "duration", "queued", "own"})
FIELDS = (*TEXTS, *ENUMS, *NUMBERS, *FLAGS)

_UNITS_US = {
    "us": 1,
    "ms": 1000,
    "s": 1_000_000,
    "": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
}
_UNITS = {"": 1, "k": 1000, "m": 1_000_000}
_AMOUNT = re.compile(r"\$?([0-9]{1,12}(?:\.[0-9]{1,9})?|\.[0-9]{1,9})([a-zµ]{0,2})\Z")
_WORD = re.compile(
    r"""\s*(-?)(?:([A-Za-z_]+)(>=|<=|[:=<>]))?("(?:[^"\\]|\\.)*"|[^\s"]+|(?=\s|\Z))"""
)
_STATUS_CLASS = re.compile(r"([1-5])xx\Z", re.IGNORECASE)


class FilterError(Exception):
    """A filter cannot be read. The message says what is known."""


class Texts(msgspec.Struct, frozen=True):
    """Any of these members has one of these texts, folded; a part of it, or all of it."""

    members: tuple[str, ...]
    values: tuple[str, ...]
    whole: bool


class Numbers(msgspec.Struct, frozen=True):
    """The sum of these members is at least `least`, and within one of these ranges.

    A range has a lowest and a highest value, both included.
    """

    members: tuple[str, ...]
    least: int
    ranges: tuple[tuple[int, int], ...]


class Term(msgspec.Struct, frozen=True):
    """One word of a filter: any of its tests is true, or none where it is negated."""

    tests: tuple[Texts | Numbers, ...]
    negated: bool = False

    def matches(self, record: Record) -> bool:
        """Whether a record is what the word asks for."""
        return any(_is_true(test, record) for test in self.tests) != self.negated

    @property
    def members(self) -> frozenset[str]:
        """The members of a record that it looks at."""
        names = frozenset(name for test in self.tests for name in test.members)
        return names - {TARGET} | TARGET_MEMBERS if TARGET in names else names


class Filter(msgspec.Struct, frozen=True):
    """Words that all must match."""

    terms: tuple[Term, ...] = ()

    def matches(self, record: Record) -> bool:
        """Whether a record, as it is kept (`store.rows.normal`), passes."""
        return all(term.matches(record) for term in self.terms)

    @property
    def members(self) -> frozenset[str]:
        """The members of a record that it looks at."""
        return frozenset().union(*[term.members for term in self.terms])


NUMBER_BOUND = 1 << 62


def parse(text: str) -> Filter:
    """Read a filter.

    Raises:
        FilterError: what is wrong, and what is known.
    """
    if len(text) > FILTER_MAX:
        raise FilterError(f"the filter is longer than {FILTER_MAX} characters")
    terms: list[Term] = []
    at, end = 0, len(text.rstrip())
    while at < end:
        found = _WORD.match(text, at)
        if found is None:
            raise FilterError(f"a quotation mark is not closed: {text[at:].strip()[:40]}")
        at = found.end()
        sign, field, operator, value = found.groups()
        terms.append(_term(bool(sign), field, operator, value or ""))
        if len(terms) > TERMS_MAX:
            raise FilterError(f"the filter has more than {TERMS_MAX} words")
    return Filter(tuple(terms))


def holds(text: str, needle: str) -> bool:
    """Whether a text contains another, which is folded."""
    return needle in text.casefold()


def is_same(text: str, other: str) -> bool:
    """Whether a text is another, which is folded."""
    return text.casefold() == other


def target_of(record: Record) -> str:
    """The target as it is shown, `provider/key`."""
    return f"{record.provider}/{record.key_name or record.key}"


def _is_true(test: Texts | Numbers, record: Record) -> bool:
    if isinstance(test, Texts):
        compare: Callable[[str, str], bool] = is_same if test.whole else holds
        for name in test.members:
            text = target_of(record) if name == TARGET else str(getattr(record, name))
            if any(compare(text, value) for value in test.values):
                return True
        return False
    amount = sum([int(getattr(record, name)) for name in test.members])
    return amount >= test.least and any(low <= amount <= high for low, high in test.ranges)


def _term(negated: bool, field: str | None, operator: str | None, value: str) -> Term:
    if field is None or operator is None:
        word = _unquoted(value)
        if not word:
            raise FilterError("a word is missing after '-'" if negated else 'an empty word: ""')
        return Term((Texts(ANY_NAME, (word.casefold(),), whole=False),), negated)
    name = field.lower()
    if name not in FIELDS:
        near = get_close_matches(name, FIELDS, 1)
        hint = f": did you mean {near[0]!r}?" if near else ""
        raise FilterError(f"unknown word {field!r}{hint} (known: {', '.join(FIELDS)})")
    values = [value[1:-1]] if value.startswith('"') else value.split(",")
    values = [_unquoted(f'"{one}"') for one in values] if value.startswith('"') else values
    if not value or ("" in values and not (operator == "=" and name in TEXTS)):
        hint = f' (for none: {name}="")' if name in TEXTS else ""
        raise FilterError(f"a value is missing after '{field}{operator}'{hint}")
    return Term(_tests(name, operator, values), negated)


def _tests(name: str, operator: str, values: list[str]) -> tuple[Texts | Numbers, ...]:
    if name in NUMBERS:
        return (_numbers(name, operator, values),)
    if operator not in (":", "="):
        raise FilterError(f"{name!r} has no order: use {name}:VALUE")
    if name in TEXTS:
        folded = tuple(value.casefold() for value in values)
        return _texts(name, folded, whole=operator == "=")
    if name in FLAGS:
        return (Numbers((FLAGS[name],), 0, tuple(_flag(name, value) for value in values)),)
    return _enums(name, values)


def _texts(name: str, values: tuple[str, ...], *, whole: bool) -> tuple[Texts | Numbers, ...]:
    # `provider/key` is a target.
    targets = tuple(value for value in values if name == "key" and "/" in value)
    others = tuple(value for value in values if value not in targets)
    tests = [(TEXTS[name], others), ((TARGET,), targets)]
    return tuple(Texts(members, found, whole) for members, found in tests if found)


def _enums(name: str, values: list[str]) -> tuple[Texts | Numbers, ...]:
    member, words = ENUMS[name]
    ranges: list[tuple[int, int]] = []
    tests: list[Texts | Numbers] = []
    numbers = {word.replace("_", "-"): number for number, word in words.items()}
    for value in values:
        word = value.lower().replace("_", "-")
        if name == "outcome" and word == _WAITED:
            tests.append(Numbers(("queued_us",), 1, ((1, NUMBER_BOUND),)))
        elif word in numbers:
            ranges.append((numbers[word], numbers[word]))
        else:
            known = [*words.values(), *([_WAITED] if name == "outcome" else [])]
            raise FilterError(f"unknown {name} {value!r} (known: {', '.join(known)})")
    if ranges:
        tests.insert(0, Numbers((member,), -1, tuple(ranges)))
    return tuple(tests)


def _flag(name: str, value: str) -> tuple[int, int]:
    number = {"yes": 1, "true": 1, "1": 1, "no": 0, "false": 0, "0": 0}.get(value.lower())
    if number is None:
        raise FilterError(f"{name} is 'yes' or 'no', not {value!r}")
    return number, number


def _numbers(name: str, operator: str, values: list[str]) -> Numbers:
    members, least = NUMBERS[name]
    if operator not in (":", "=") and len(values) > 1:
        raise FilterError(f"one value after '{name}{operator}', not {len(values)}")
    ranges: list[tuple[int, int]] = []
    for value in values:
        group = _STATUS_CLASS.match(value) if name == "status" else None
        if group is not None and operator in (":", "="):
            low = int(group[1]) * 100
            ranges.append((low, low + 99))
        else:
            ranges.append(_range(operator, _amount(name, value)))
    return Numbers(members, least, tuple(ranges))


def _range(operator: str, value: int) -> tuple[int, int]:
    if operator == ">":
        return value + 1, NUMBER_BOUND
    if operator == ">=":
        return value, NUMBER_BOUND
    if operator == "<":
        return 0, value - 1
    if operator == "<=":
        return 0, value
    return value, value


def _amount(name: str, value: str) -> int:
    """An amount in the unit of the member: microseconds, millionths of a dollar, or one."""
    found = _AMOUNT.match(value.lower())
    if found is not None:
        digits, unit = found[1], found[2].replace("µ", "u")
        if name in _MONEY and not unit:
            return _scaled(digits, 1_000_000)
        if name in _TIMES and unit in _UNITS_US:
            return _scaled(digits, _UNITS_US[unit])
        if name not in _MONEY and name not in _TIMES and unit in _UNITS:
            return _scaled(digits, _UNITS[unit])
    example = "0.10" if name in _MONEY else "2s or 350ms" if name in _TIMES else "529 or 20k"
    if name == "status":
        example = "529 or 5xx"
    raise FilterError(f"{name} is compared with a number such as {example}, not {value!r}")


def _scaled(digits: str, factor: int) -> int:
    # Without floats: 0.1 dollars are exactly 100,000 micro-dollars.
    whole, _, part = digits.partition(".")
    scale: int = 10 ** len(part)
    return int(whole or "0") * factor + int(part or "0") * factor // scale


def _unquoted(value: str) -> str:
    if value.startswith('"'):
        return re.sub(r"\\(.)", r"\1", value[1:-1])
    return value
