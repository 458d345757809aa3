"""What `connect` and `disconnect` change in Claude Code's settings, member by member. Pure.

For each member the record holds what was there before and what was written. A member that is
neither any more was changed by the user since, and stays as it is.
"""

import json
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from ccrelay.cli.settings_text import drop, get, plain, put, read

EMPTY = "{}\n"
VERSION = 1

Place = tuple[str, ...]


class Entry(NamedTuple):
    """One member that was written.

    Args:
        before: the text of its value before; None: there was none.
        ours: texts that may have been written: more than one while a change is under way.
    """

    before: str | None
    ours: tuple[str, ...]


class Record(NamedTuple):
    """What was written into one settings file.

    Args:
        entries: by place.
        original: the whole file before; None: there was no file, or it is not exact.
        written: the whole file as it was written.
        existed: whether there was a file before.
        exact: whether nothing but ours has changed from `original` to `written`.
    """

    entries: Mapping[Place, Entry]
    original: str | None
    written: str
    existed: bool
    exact: bool


class Change(NamedTuple):
    """A change of a settings file.

    Args:
        text: the new text; None: the file is removed.
        during: the record while the file is being written; None: as `after`.
        after: the record from then on; None: there is none.
        kept: places that the user has set to something else, which stay.
    """

    text: str | None
    during: Record | None
    after: Record | None
    kept: list[Place]


def connect_change(
    text: str | None,
    record: Record | None,
    wanted: Mapping[Place, Any],
    forced: Collection[Place] = (),
) -> Change:
    """Return how the wanted values come into a file.

    Args:
        text: of the file; None: there is none.
        record: of an earlier connect; None: there is none.
        wanted: values by place.
        forced: places that are set although the user has another value there.

    Raises:
        SettingsError: the text cannot be read or changed.
    """
    old = dict(record.entries) if record is not None else {}
    new = EMPTY if text is None else text
    read(new)
    entries: dict[Place, Entry] = {}
    kept: list[Place] = []
    for place, value in wanted.items():
        written = json.dumps(value)
        current = get(new, place)
        entry = old.get(place)
        is_ours = entry is not None and _is_of(current, entry)
        if is_ours or current is None or (place in forced and not _same(current, written)):
            before = entry.before if entry is not None and is_ours else current
            entries[place] = Entry(before, _with(written, entry if is_ours else None))
            new = new if _same(current, written) else put(new, place, written)
        elif not _same(current, written):
            kept.append(place)
    gone = {place: entry for place, entry in old.items() if place not in wanted}
    new = _restore(new, gone)
    return _change(text, new, record, {**gone, **entries}, entries, kept)


def _change(
    text: str | None,
    new: str,
    record: Record | None,
    during: Mapping[Place, Entry],
    after: Mapping[Place, Entry],
    kept: list[Place],
) -> Change:
    original, existed, exact = text, text is not None, True
    if record is not None:
        exact = record.exact and text in (record.written, record.original)
        original = record.original if exact else None
        existed = record.existed
    done = {place: Entry(entry.before, entry.ours[:1]) for place, entry in after.items()}
    return Change(
        new,
        Record(during, original, new, existed, exact),
        Record(done, original, new, existed, exact),
        kept,
    )


def disconnect_change(text: str | None, record: Record) -> Change:
    """Return how a file becomes what it was; what the user has changed since stays.

    Raises SettingsError.
    """
    if text is None:
        return Change(None, None, None, [])
    if text == record.written and record.exact:
        return Change(record.original, None, None, [])
    kept = []
    for place, entry in record.entries.items():
        current = get(text, place)
        if not _is_of(current, entry):
            kept.append(place)
    new: str | None = _restore(text, record.entries)
    if not record.existed and new is not None and plain(new.lstrip("\ufeff").strip()) == {}:
        new = None
    return Change(new, None, None, kept)


def _restore(text: str, entries: Mapping[Place, Entry]) -> str:
    """Put back what was before, where what was written still stands."""
    for place, entry in reversed(list(entries.items())):
        current = get(text, place)
        if current is None or not any(_same(current, one) for one in entry.ours):
            continue
        text = drop(text, place) if entry.before is None else put(text, place, entry.before)
        if len(place) > 1 and entry.before is None and _is_empty(text, place[:-1]):
            text = drop(text, place[:-1])
    return text


def _is_empty(text: str, place: Place) -> bool:
    """Whether an object has neither members nor comments."""
    found = get(text, place)
    return found is not None and not found.strip("{} \t\r\n")


def _is_of(current: str | None, entry: Entry) -> bool:
    """Whether a value is what was written, or what was there before it was."""
    return _same(current, entry.before) or any(_same(current, one) for one in entry.ours)


def _with(written: str, entry: Entry | None) -> tuple[str, ...]:
    others = [] if entry is None else [one for one in entry.ours if one != written]
    return (written, *others)


def _same(one: str | None, other: str | None) -> bool:
    if one is None or other is None:
        return one is other
    return one == other or bool(plain(one) == plain(other))


def to_json(record: Record, file: str) -> str:
    """Return the record as text."""
    entries = [
        {"place": list(place), "before": entry.before, "ours": list(entry.ours)}
        for place, entry in record.entries.items()
    ]
    whole = {
        "version": VERSION,
        "file": file,
        "existed": record.existed,
        "exact": record.exact,
        "entries": entries,
        "original": record.original,
        "written": record.written,
    }
    return json.dumps(whole, indent=1)


def from_json(text: str) -> Record:
    """Return the record of a text. Raises ValueError."""
    try:
        whole = json.loads(text)
        entries = {
            tuple(one["place"]): Entry(one["before"], tuple(one["ours"]))
            for one in whole["entries"]
        }
        return Record(
            entries, whole["original"], whole["written"], whole["existed"], whole["exact"]
        )
    except (KeyError, TypeError) as error:
        raise ValueError(str(error)) from None
