"""A filter as a condition in SQL, with every value bound.

Texts are compared by the functions of `ccrelay.store.filters`, once per value of a dictionary and
not once per exchange.
"""

import sqlite3
from collections.abc import Callable
from functools import partial

from ccrelay.store.filters import TARGET, Filter, Numbers, Term, Texts, holds, is_same
from ccrelay.store.schema import COMBO_COLUMNS, NUMBER_COLUMNS, SHAPE_COLUMNS, TALK_COLUMNS

Condition = tuple[str, list[object]]

_NUMBERS = frozenset(NUMBER_COLUMNS)
_DICTIONARIES = (
    ("shape", "shapes", frozenset(SHAPE_COLUMNS)),
    ("talk", "talks", frozenset(TALK_COLUMNS)),
)
_DICTIONARY_MEMBERS = [members for _, _, members in _DICTIONARIES]
_TALKS = frozenset(TALK_COLUMNS)
_SESSION = frozenset({"session"})
_COMBOS = frozenset(COMBO_COLUMNS)
_TARGET = "provider || '/' || iif(key_name = '', key, key_name)"


def register(connection: sqlite3.Connection) -> None:
    """Give a connection the functions that conditions call."""
    connection.create_function("ccrelay_holds", 2, holds, deterministic=True)
    connection.create_function("ccrelay_same", 2, is_same, deterministic=True)


def row_condition(chosen: Filter, connection: sqlite3.Connection | None = None) -> Condition:
    """The condition for `exchanges e`; empty: none.

    With a connection, dictionaries are asked first: where nothing in them is meant, no exchange is
    looked at.
    """
    # Numbers of the exchange itself first: SQLite looks at conditions in this order, and what they
    # rule out is looked for in no dictionary.
    cheap = [term for term in chosen.terms if term.members <= _NUMBERS]
    sql, values = _all([_term(term, _numbers_of_row) for term in cheap])
    parts = [sql] if sql else []
    for column, table, members in _DICTIONARIES:
        # Words about one dictionary only are asked together.
        inside = [term for term in chosen.terms if term.members <= members]
        if inside:
            sql, more = _all([_term(term, _plain) for term in inside])
            some, bound = _among(connection, column, table, (sql, more))
            parts.append(some)
            values += bound
    rest = [
        term
        for term in chosen.terms
        if not any(term.members <= own for own in (_NUMBERS, *_DICTIONARY_MEMBERS))
    ]
    sql, more = _all([_term(term, partial(_row_test, connection)) for term in rest])
    return " AND ".join([*parts, *([sql] if sql else [])]), values + more


def talk_condition(chosen: Filter) -> Condition:
    """The condition for `talks` by the words about who asked alone; empty: none."""
    inside = [term for term in chosen.terms if term.members <= _TALKS]
    return _all([_term(term, _plain) for term in inside])


def session_condition(chosen: Filter) -> Condition:
    """The condition for names of sessions by the words about them alone; empty: none."""
    inside = [term for term in chosen.terms if term.members == _SESSION]
    return _all([_term(term, _plain) for term in inside])


def rollup_condition(chosen: Filter) -> Condition | None:
    """The condition for `rollups r`; None: they do not know what it asks for."""
    if not chosen.members <= _COMBOS:
        return None
    if not chosen.terms:
        return "", []
    sql, values = _all([_term(term, _plain) for term in chosen.terms])
    return f"r.combo IN (SELECT id FROM combos WHERE {sql})", values


def _all(conditions: list[Condition]) -> Condition:
    return (
        " AND ".join([sql for sql, _ in conditions]),
        [value for _, values in conditions for value in values],
    )


def _term(term: Term, say: Callable[[Texts | Numbers], Condition]) -> Condition:
    told = [say(test) for test in term.tests]
    sql = " OR ".join([part for part, _ in told])
    values = [value for _, more in told for value in more]
    return (f"NOT ({sql})" if term.negated else f"({sql})"), values


def _plain(test: Texts | Numbers) -> Condition:
    """A test whose members are columns of the table that is asked."""
    if isinstance(test, Texts):
        return _texts(test.members, test)
    return _numbers(list(test.members), test)


def _among(
    connection: sqlite3.Connection | None, column: str, table: str, condition: Condition
) -> Condition:
    sql, values = condition
    found = f"SELECT id FROM {table} WHERE {sql}"
    if connection is not None and connection.execute(f"{found} LIMIT 1", values).fetchone() is None:
        return "0", []
    return f"e.{column} IN ({found})", values


def _numbers_of_row(test: Texts | Numbers) -> Condition:
    assert isinstance(test, Numbers)
    return _numbers([f"e.{name}" for name in test.members], test)


def _row_test(connection: sqlite3.Connection | None, test: Texts | Numbers) -> Condition:
    """A test on `exchanges e`, whose members may be in any table."""
    if isinstance(test, Numbers):
        if _NUMBERS.issuperset(test.members):
            return _numbers_of_row(test)
        return _among(connection, "shape", "shapes", _plain(test))
    parts: list[str] = []
    values: list[object] = []
    for column, table, members in _DICTIONARIES:
        if TARGET in test.members and table != "shapes":
            continue
        names = tuple(name for name in test.members if name in members or name == TARGET)
        if names:
            sql, more = _among(connection, column, table, _texts(names, test))
            parts.append(sql)
            values += more
    for name in test.members:
        if name in ("error", "passed"):
            sql, more = _long_text(name, test)
            parts.append(sql)
            values += more
    return "(" + " OR ".join(parts) + ")", values


def _long_text(column: str, test: Texts) -> Condition:
    sql, values = _texts(("text",), test)
    found = f"e.{column} IN (SELECT id FROM texts WHERE {sql})"
    # The empty text is no row of `texts`.
    if any(is_same("", value) if test.whole else holds("", value) for value in test.values):
        return f"(e.{column} = 0 OR {found})", values
    return found, values


def _texts(columns: tuple[str, ...], test: Texts) -> Condition:
    function = "ccrelay_same" if test.whole else "ccrelay_holds"
    shown = [_TARGET if column == TARGET else column for column in columns]
    parts = [f"{function}({column}, ?)" for column in shown for _ in test.values]
    return "(" + " OR ".join(parts) + ")", [value for _ in columns for value in test.values]


def _numbers(columns: list[str], test: Numbers) -> Condition:
    amount = f"({' + '.join(columns)})"
    ranges = " OR ".join([f"{amount} BETWEEN ? AND ?"] * len(test.ranges))
    values: list[object] = [bound for pair in test.ranges for bound in pair]
    return f"({amount} >= ? AND ({ranges}))", [test.least, *values]
