"""Exchanges as lines of a file: CSV (RFC 4180) and JSON."""

import csv
import io
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from ccrelay.ledger.record import Record
from ccrelay.manager.convert import cost_of
from ccrelay.store.names import billing_name, class_name, kind_name, outcome_name, reason_name

Value = str | int | float | bool | None

# Spreadsheets take a text that begins so for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_encode = msgspec.json.Encoder().encode


def members_of(record: Record) -> dict[str, Value]:
    """An exchange, as both forms show it. Money in millionths of a dollar; None: not known."""
    cost = cost_of(record)
    started = datetime.fromtimestamp(record.started_at_us // 1000 / 1000, UTC)
    return {
        "id": record.id,
        "started_at": started.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "started_at_ms": record.started_at_us // 1000,
        "duration_ms": record.duration_us / 1000,
        "kind": kind_name(record.kind),
        "class": class_name(record.traffic),
        "model": record.model,
        "sent_model": record.sent,
        "provider": record.provider,
        "key": record.key_name or record.key,
        "key_fingerprint": record.key,
        "status": record.status,
        "outcome": outcome_name(record.result),
        "attempts": record.attempts,
        "session": record.session,
        "agent": record.agent,
        "project": record.project,
        "input_tokens": record.input,
        "output_tokens": record.output,
        "cache_read_tokens": record.cache_read,
        "cache_write_5m_tokens": record.cache_write_5m,
        "cache_write_1h_tokens": record.cache_write_1h,
        "thinking_tokens": record.thinking,
        "cost_micros": cost.micros if cost.known else None,
        "uncached_micros": cost.uncached_micros if cost.known else None,
        "moved_micros": cost.moved_micros if cost.known else None,
        "billing": billing_name(record.billing),
        "prices_version": record.prices_version,
        "first_event_ms": record.first_event_us / 1000,
        "queued_ms": record.queued_us / 1000,
        "own_us": record.own_us,
        "stream": record.stream,
        "stop_reason": record.stop_reason,
        "error": record.error,
        "moved": record.moved,
        "bytes_in": record.bytes_in,
        "bytes_out": record.bytes_out,
        "rule": record.rule,
        "strategy": record.strategy,
        "reason": reason_name(record.why),
        "conversation": f"{record.conversation:016x}" if record.conversation else "",
    }


def json_lines(records: Iterable[Record]) -> bytes:
    """One JSON object per line."""
    return b"".join([_encode(members_of(record)) + b"\n" for record in records])


def csv_head() -> bytes:
    """The first line of a CSV file: the names of the columns."""
    nothing: dict[type, Any] = {str: "", int: 0, bool: False}
    members = {
        name: nothing[kind] for name, kind in Record.__annotations__.items() if kind in nothing
    }
    return _csv([list(members_of(Record(**members)))])


def csv_lines(records: Iterable[Record]) -> bytes:
    """One line per exchange, in the order of the head."""
    return _csv([[_cell(value) for value in members_of(record).values()] for record in records])


def _csv(rows: Iterable[list[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


def _cell(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # An apostrophe in front makes a spreadsheet take it for a text. NUL ends a field for some.
        text = value.replace("\x00", "\ufffd")
        return f"'{text}" if text.startswith(_FORMULA) else text
    return str(value)
