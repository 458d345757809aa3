"""Between records and rows: limits of what is stored, numbers of what repeats, and the way back."""

import sqlite3
import zlib
from collections.abc import Sequence
from hashlib import blake2b

import msgspec
from msgspec.structs import replace

from ccrelay.ledger.record import Record, Try
from ccrelay.store.schema import (
    COMBO_COLUMNS,
    NO_CLASS,
    NUMBER_COLUMNS,
    ROW_COLUMNS,
    SEQ_SHIFT,
    SHAPE_COLUMNS,
    TALK_COLUMNS,
)

# What clients and providers send may be of any size; sums of a million must fit into 64 bits.
TEXT_MAX = 256
LONG_TEXT_MAX = 2000  # error, candidates, passed
NUMBER_MAX = 10**12
TIME_MAX_US = (1 << 42) * 1000
TRIES_MAX = 64
CACHE_MAX = 20_000  # values whose numbers are remembered, for each dictionary

_TAIL_DIGITS = 3
_HEX = frozenset("0123456789abcdef")
_SEQ_MASK = (1 << SEQ_SHIFT) - 1
_LONG = frozenset({"error", "candidates", "passed"})
_STRINGS = tuple(
    name for name, kind in Record.__annotations__.items() if kind is str and name != "traceparent"
)
_NUMBERS = tuple(
    name
    for name, kind in Record.__annotations__.items()
    if kind is int and name not in ("conversation", "started_at_us")
)
_pack = msgspec.msgpack.Encoder()
_unpack_tries = msgspec.msgpack.Decoder(list[Try])


def normal(record: Record) -> Record:
    """The record as it is kept: texts cut, numbers within bounds. Usually it is the same object."""
    wrong: dict[str, object] = {}
    for name in _STRINGS:
        text: str = getattr(record, name)
        if len(text) > TEXT_MAX:
            cut = text[: LONG_TEXT_MAX if name in _LONG else TEXT_MAX]
            if len(cut) < len(text):
                wrong[name] = cut
    for name in _NUMBERS:
        number: int = getattr(record, name)
        if number > NUMBER_MAX or number < -1:
            wrong[name] = max(min(number, NUMBER_MAX), -1)
    if not 0 <= record.started_at_us < TIME_MAX_US:
        wrong["started_at_us"] = max(min(record.started_at_us, TIME_MAX_US - 1), 0)
    if len(record.tries) > TRIES_MAX:
        wrong["tries"] = record.tries[:TRIES_MAX]
    return replace(record, **wrong) if wrong else record


def split_id(name: str) -> tuple[str, int]:
    """The beginning of an id and the number of its last digits; -1: it does not end in three."""
    tail = name[-_TAIL_DIGITS:]
    if len(name) > _TAIL_DIGITS and _HEX.issuperset(tail):
        return name[:-_TAIL_DIGITS], int(tail, 16)
    return name, -1


def join_id(prefix: str, tail: int) -> str:
    """The id that was split."""
    return prefix if tail < 0 else f"{prefix}{tail:03x}"


def id_ranges(begin: str) -> list[tuple[str, int, int]]:
    """Beginnings of ids, with the first and last number, that an id that begins so may have.

    Those whose beginning is longer than `begin` are not among them.
    """
    found = [(begin, -1, 0xFFF)]
    for digits in range(1, _TAIL_DIGITS + 1):
        head, tail = begin[:-digits], begin[-digits:]
        if head and _HEX.issuperset(tail):
            shift = 4 * (_TAIL_DIGITS - digits)
            first = int(tail, 16) << shift
            found.append((head, first, first + (1 << shift) - 1))
    return found


def seq_of(time_ms: int) -> int:
    """The first key of an instant, milliseconds since 1970."""
    return max(min(time_ms, (1 << 42) - 1), 0) << SEQ_SHIFT


def signed(number: int) -> int:
    """A hash of 64 bits as SQLite stores it."""
    number &= (1 << 64) - 1
    return number - (1 << 64) if number >> 63 else number


class Dictionaries:
    """The numbers of what repeats, for the writer. To be forgotten after a rollback."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._salt = bytes(
            connection.execute("SELECT value FROM meta WHERE name = 'salt'").fetchone()[0]
        )
        self._known: dict[str, dict[object, int]] = {}
        self._ranges: dict[str, list[int]] = {}  # beginnings of ids: number, first and last key
        self._grown: dict[int, list[int]] = {}
        self._talked: dict[int, list[int]] = {}  # talks of this transaction: first and last key
        highest = connection.execute("SELECT max(seq) FROM exchanges").fetchone()[0]
        self._top = int(highest or 0)  # no key of an exchange is higher

    def forget(self) -> None:
        """Remember nothing any more."""
        self._ranges.clear()
        self._grown.clear()
        self._talked.clear()
        self._known.clear()

    def shape(self, record: Record) -> int:
        """The number of an exchange's shape."""
        return self._number("shapes", SHAPE_COLUMNS, values_of(record, SHAPE_COLUMNS))

    def talk(self, record: Record, seq: int) -> int:
        """The number of who asked, which an exchange with this key has."""
        values = (record.session, record.agent, record.project, signed(record.conversation))
        number = self._number("talks", TALK_COLUMNS, values)
        known = self._talked.get(number)
        if known is None:
            self._talked[number] = [seq, seq]
        else:
            known[0], known[1] = min(seq, known[0]), max(seq, known[1])
        return number

    def combo(self, record: Record) -> int:
        """The number of what the rollups know of it."""
        return self._number("combos", COMBO_COLUMNS, values_of(record, COMBO_COLUMNS))

    def model_combo(self, record: Record) -> int:
        """As `combo`, without key and class."""
        values = (record.provider, "", "", record.model, record.sent, NO_CLASS)
        return self._number("combos", COMBO_COLUMNS, values)

    def text(self, text: str) -> int:
        """The number of a text; 0 for the empty one."""
        return self._number("texts", ("text",), (text,)) if text else 0

    def prefix(self, text: str, seq: int) -> int:
        """The number of the beginning of an id, which an exchange with this key has."""
        known = self._ranges.get(text)
        if known is None:
            row = self._connection.execute(
                "SELECT id, first, last FROM prefixes WHERE text = ?", (text,)
            ).fetchone()
            if row is None:
                made = self._connection.execute(
                    "INSERT INTO prefixes (text, first, last) VALUES (?, ?, ?)", (text, seq, seq)
                )
                row = (int(made.lastrowid or 0), seq, seq)
            if len(self._ranges) >= CACHE_MAX:
                self.write_ranges()
                self._ranges.clear()
            known = self._ranges[text] = list(row)
        if not known[1] <= seq <= known[2]:
            known[1], known[2] = min(seq, known[1]), max(seq, known[2])
            self._grown[known[0]] = known
        return known[0]

    def write_ranges(self) -> None:
        """Write between which keys the ids are that begin alike, and the exchanges of each talk;
        once in a transaction."""
        self._connection.executemany(
            "UPDATE talks SET first = min(first, ?), last = max(last, ?) WHERE id = ?",
            [(first, last, number) for number, (first, last) in self._talked.items()],
        )
        self._talked.clear()
        self._connection.executemany(
            "UPDATE prefixes SET first = ?, last = ? WHERE id = ?",
            [(first, last, number) for number, first, last in self._grown.values()],
        )
        self._grown.clear()

    def seq(self, started_at_us: int) -> int:
        """A new key for an exchange that began then."""
        first = (started_at_us // 1000) << SEQ_SHIFT
        if first > self._top:
            self._top = first
            return first
        last = self._connection.execute(
            "SELECT max(seq) FROM exchanges WHERE seq BETWEEN ? AND ?", (first, first | _SEQ_MASK)
        ).fetchone()[0]
        return first if last is None else int(last) + 1

    def _number(self, table: str, columns: Sequence[str], values: tuple[object, ...]) -> int:
        known = self._known_of(table)
        number = known.get(values)
        if number is not None:
            return number
        hashed = blake2b(_pack.encode(values), digest_size=8, key=self._salt).digest()
        digest = int.from_bytes(hashed, "big", signed=True)
        row = self._connection.execute(
            f"SELECT id FROM {table} WHERE digest = ?", (digest,)
        ).fetchone()
        if row is None:
            marks = ", ".join("?" * (len(columns) + 1))
            made = self._connection.execute(
                f"INSERT INTO {table} (digest, {', '.join(columns)}) VALUES ({marks})",
                (digest, *values),
            )
            number = int(made.lastrowid or 0)
        else:
            number = int(row[0])
        known[values] = number
        return number

    def _known_of(self, table: str) -> dict[object, int]:
        known = self._known.setdefault(table, {})
        if len(known) >= CACHE_MAX:
            known.clear()
        return known


def values_of(record: Record, columns: Sequence[str]) -> tuple[object, ...]:
    """Members of a record."""
    return tuple([getattr(record, name) for name in columns])


INSERT_ROW = (
    f"INSERT INTO exchanges ({', '.join(ROW_COLUMNS)}) VALUES ({', '.join('?' * len(ROW_COLUMNS))})"
)


def insert(connection: sqlite3.Connection, known: Dictionaries, record: Record) -> None:
    """Write one exchange. The record is `normal`."""
    prefix, tail = split_id(record.id)
    seq = known.seq(record.started_at_us)
    connection.execute(
        INSERT_ROW,
        (
            seq,
            known.shape(record),
            known.talk(record, seq),
            *values_of(record, NUMBER_COLUMNS),
            known.text(record.error),
            known.text(record.passed),
            known.prefix(prefix, seq),
            tail,
        ),
    )
    if record.tries:
        connection.execute("INSERT INTO tries VALUES (?, ?)", (seq, pack_tries(record.tries)))


def pack_tries(tries: list[Try]) -> bytes:
    """Attempts as they are stored."""
    return zlib.compress(_pack.encode(tries), 6)


def unpack_tries(data: bytes) -> list[Try]:
    """Attempts as they were stored."""
    return _unpack_tries.decode(zlib.decompress(data))


_BOOLS = frozenset({"has_usage", "stream", "moved"})
_SHAPE = ", ".join(f"s.{name}" for name in SHAPE_COLUMNS)
_TALK = ", ".join(f"t.{name}" for name in TALK_COLUMNS)
_NUMBER = ", ".join(f"e.{name}" for name in NUMBER_COLUMNS)
RECORD_COLUMNS = (
    f"e.seq, {_SHAPE}, {_TALK}, {_NUMBER}, "
    "(SELECT text FROM texts WHERE id = e.error), (SELECT text FROM texts WHERE id = e.passed), "
    "(SELECT text FROM prefixes WHERE id = e.prefix), e.tail"
)
RECORD_TABLES = "exchanges e JOIN shapes s ON s.id = e.shape JOIN talks t ON t.id = e.talk"
_MEMBERS = (*SHAPE_COLUMNS, *TALK_COLUMNS, *NUMBER_COLUMNS)


class Stored(msgspec.Struct, frozen=True):
    """An exchange of the ledger: its key, and its record.

    Its start is in whole milliseconds, and the time of the head is not kept.
    """

    seq: int
    record: Record


def stored(row: Sequence[object], tries: list[Try] | None = None) -> Stored:
    """The exchange of a row of `RECORD_COLUMNS`."""
    members = dict(zip(_MEMBERS, row[1:], strict=False))
    for name in _BOOLS:
        members[name] = bool(members[name])
    seq, conversation = row[0], members["conversation"]
    assert isinstance(seq, int)
    assert isinstance(conversation, int)
    members["conversation"] = conversation & ((1 << 64) - 1)
    error, passed, prefix, tail = row[-4:]
    assert isinstance(tail, int)
    members["id"] = join_id(str(prefix), tail)
    members["started_at_us"] = (seq >> SEQ_SHIFT) * 1000
    members["error"], members["passed"] = error or "", passed or ""
    return Stored(seq, Record(head_us=0, **members, tries=tries or []))  # type: ignore[arg-type]
