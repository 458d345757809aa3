"""Compares error texts, log events and log fields with their pages.

A failure names the page, and the row to add, change or remove. A cell of docs/errors.md may hold
several texts that mean the same, separated by `<br>`.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest
from msgspec import json as msgspec_json

from ccrelay import errors
from ccrelay._fast.upstream import Loss
from ccrelay.relay import retry
from ccrelay.types import Ending, RequestClass
from tests.pages import PACKAGE, fences, rows, section, text_of

# ---- errors


CLASSES = {
    name: value
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, errors.RelayError)
}
# Functions that build an error from the text they are given.
WRAPPERS = {"_failure": errors.UpstreamFailed}
FOLDERS = ("relay", "wire", "providers", "fleet", "routing", "upstream")
# Not sent to clients: these are the reasons of the log event `models_unknown`.
LOG_ONLY = {"upstream/fetch.py", "relay/model_discovery.py"}
# Module-level tables of texts or of (status, text), by name, wherever they are defined.
TEXT_TABLES = ("_HEAD_FAULTS", "_LOSSES", "_WHY")


def sources_of_errors() -> Iterator[tuple[str, ast.Module]]:
    """Path below `ccrelay` and syntax tree of each file whose errors reach clients."""
    for folder in FOLDERS:
        for path in sorted((PACKAGE / folder).glob("*.py")):
            name = str(path.relative_to(PACKAGE))
            if name not in LOG_ONLY:
                yield name, ast.parse(path.read_text())


def templates() -> Iterator[tuple[str, int | None, list[str]]]:
    """Place, status and literal pieces of each error text that a client may receive."""
    for name, tree in sources_of_errors():
        yield from templates_of(name, tree)
        for table, node in tables_of(tree):
            for value in node.values:
                parts = value.elts if isinstance(value, ast.Tuple) else [value]
                constants = [part.value for part in parts if isinstance(part, ast.Constant)]
                status = next((c for c in constants if isinstance(c, int)), None)
                texts = [c for c in constants if isinstance(c, str)]
                yield f"{name}:{value.lineno} {table}", status, texts

        for node in defaults_of(tree):
            yield f"{name}:{node.lineno} default", None, literals(node)


def defaults_of(tree: ast.Module) -> Iterator[ast.expr]:
    """Texts used for what a table does not have: second arguments of `TABLE.get`."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and len(node.args) == 2
            and ast.unparse(node.func) in {f"{table}.get" for table in TEXT_TABLES}
        ):
            yield node.args[1]


def tables_of(tree: ast.Module) -> Iterator[tuple[str, ast.Dict]]:
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Dict):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name) and target.id in TEXT_TABLES:
                yield target.id, node.value


def templates_of(file: str, tree: ast.Module) -> Iterator[tuple[str, int | None, list[str]]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func).rpartition(".")[2]
        kind = CLASSES.get(name) or WRAPPERS.get(name)
        if kind is None or not node.args:
            continue
        text = node.args[-1] if name in WRAPPERS else node.args[0]
        pieces = literals(text)
        place = f"{file}:{node.lineno}"
        assert pieces or isinstance(text, ast.JoinedStr), (
            f"{place}: pass the text of {name} as a literal, so that docs/errors.md can be checked"
        )
        given = [word.value for word in node.keywords if word.arg == "status"]
        status = given[0].value if given and isinstance(given[0], ast.Constant) else kind.status
        yield place, status, pieces


def literals(node: ast.expr) -> list[str]:
    """The literal pieces of a string that are long enough to identify it."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    texts = [part.value for part in parts if isinstance(part, ast.Constant)]
    return [text.strip(" .'(),") for text in texts if len(text.strip(" .'(),:")) > 2]


def plain(text: str) -> str:
    return re.sub(r"\s+", " ", text)


TEMPLATES = list(templates())
# Texts that are put together of two places: the beginning, and what `_LOSSES` and dialling add.
BEGINNINGS = (["Provider"], ["Cannot reach"])
NO_CAPACITY = "No provider for this model ({names}) has capacity now."
# The event with which a stream ends that its provider did not end.
IN_STREAMS = "Provider NAME ended the stream before the message was complete."
PAGE = text_of("errors.md")
RELAY_ROWS = [row for row in rows(section(PAGE, "## From the relay")) if row.startswith("| ")][1:]


def texts_of(row: str) -> list[str]:
    """The texts of a row's second cell."""
    return [text.strip() for text in row.split(" | ")[1].split("<br>")]


def texts_with(status: int) -> list[str]:
    found = [row for row in RELAY_ROWS if row.startswith(f"| {status} | ")]
    return [text for row in found for text in texts_of(row)]


@pytest.mark.parametrize(("place", "status", "pieces"), TEMPLATES, ids=[t[0] for t in TEMPLATES])
def test_every_error_of_the_relay_is_on_its_page(
    place: str, status: int | None, pieces: list[str]
) -> None:
    if status is None:
        missing = [piece for piece in pieces if piece.lower() not in plain(PAGE).lower()]
        assert not missing, f"docs/errors.md: the prose lacks {missing} (ccrelay/{place})"
        return
    text = " ... ".join(pieces)
    assert any(all(piece in shown for piece in pieces) for shown in texts_with(status)), (
        f"docs/errors.md: add the row `| {status} | {text} | what to do |` (ccrelay/{place})"
    )


@pytest.mark.parametrize("why", [*retry._WHY, "queued ahead", "its own key"])
def test_the_page_has_the_status_of_each_reason_why_no_target_is_available(why: str) -> None:
    assert retry._WHY.get(why, NO_CAPACITY) in texts_with(retry._status(why))


@pytest.mark.parametrize("reason", [int(loss) for loss in Loss if int(loss) in retry._LOSSES])
def test_every_loss_of_a_provider_is_there(reason: int) -> None:
    status, what = retry._LOSSES[reason]
    assert f"Provider NAME {what}." in texts_with(status)


@pytest.mark.parametrize("status", sorted({t[1] for t in TEMPLATES if t[1] is not None}))
def test_the_page_has_the_type_of_each_status(status: int) -> None:
    prose = plain(PAGE[PAGE.index("The type follows") : PAGE.index("## In Claude Code")])
    [statuses] = re.findall(rf"([\d, ]+) `{errors.TYPE_BY_STATUS[status]}`", prose)
    assert str(status) in re.findall(r"\d+", statuses)


@pytest.mark.parametrize("status", sorted({t[1] for t in TEMPLATES if t[1] is not None}))
def test_the_words_of_claude_code_for_each_status_are_there(status: int) -> None:
    words = {
        401: "Invalid API key",
        403: "Failed to authenticate. API Error: 403",
        404: "There's an issue with the selected model",
        413: "Request too large",
        429: "Request rejected (429)",
        **dict.fromkeys((400, 405, 431), "API Error: 400"),
        **dict.fromkeys((408, 500, 502, 504, 529), "529 Overloaded"),
    }[status]
    [row] = [row for row in rows(section(PAGE, "## In Claude Code")) if f"`{words}" in row]
    assert str(status) in row or status == 408


def test_the_sources_were_found_to_hold_errors() -> None:
    assert len(TEMPLATES) > 40


@pytest.mark.parametrize("table", TEXT_TABLES)
def test_a_table_of_error_texts_exists(table: str) -> None:
    found = {name for _, tree in sources_of_errors() for name, _ in tables_of(tree)}
    assert table in found, f"no file defines {table}: change TEXT_TABLES in tests/test_docs.py"


def test_no_row_describes_an_error_that_is_gone() -> None:
    known = [pieces for _, _, pieces in TEMPLATES if pieces and pieces not in BEGINNINGS]
    known += [[text] for text in (IN_STREAMS, *retry._WHY.values(), NO_CAPACITY)]
    for row in RELAY_ROWS:
        for text in texts_of(row):
            assert any(all(piece in text for piece in pieces) for pieces in known), (
                f"docs/errors.md: no code makes this error any more; remove or reword {text!r}"
            )


def test_the_error_of_streams_is_in_the_code() -> None:
    said = IN_STREAMS.removeprefix("Provider NAME ")
    assert any(said in path.read_text() for path in (PACKAGE / "relay").glob("*.py"))
    assert IN_STREAMS in texts_with(502)


def test_every_log_event_that_the_page_names_is_one() -> None:
    named = re.findall(r"log: `(\w+)`", PAGE, re.IGNORECASE)
    assert len(named) > 8
    assert [name for name in named if name not in logged_events()] == []


def test_the_error_shown_is_json_of_the_shape_that_is_sent() -> None:
    [(_, _, text)] = [example for example in fences("json") if example[0].startswith("errors")]
    assert set(msgspec_json.decode(text)) == {"type", "error", "request_id"}


# ---- log


def record_fields() -> set[str]:
    """The members that `relay/access_log.py` writes: names passed to `line.text` and the like."""
    names = set()
    for node in ast.walk(ast.parse((PACKAGE / "relay" / "access_log.py").read_text())):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and ast.unparse(node.func.value) == "line"
        ):
            name = node.args[0]
            assert isinstance(name, ast.Constant)
            assert node.func.attr in ("text", "token", "count", "millis", "flag"), node.func.attr
            names.add(name.value.decode())
    return names


def first_cells(text: str) -> list[str]:
    """The words in code of each row's first cell."""
    return [word for row in rows(text) for word in re.findall(r"`(\w+)`", row.split(" | ")[0])]


def test_every_field_of_the_exchange_line_is_listed_and_no_other() -> None:
    listed = section(text_of("operations.md"), "### Exchanges")
    shown = first_cells(listed)
    assert len(shown) == len(set(shown))
    assert set(shown) == record_fields()
    for field, words in (("kind", RequestClass), ("ending", Ending)):
        [row] = [row for row in rows(listed) if row.startswith(f"| `{field}` |")]
        shown = re.findall(r"`(\w+)`", row)[1:]
        assert shown == [word.name.lower() for word in words]


EVENT_ARGUMENT = {
    "event": 1,
    "_on_event": 1,
    "_event": 1,
    "_complain": 0,
    "_tell": 1,
    "_tell_of": 1,
}


@cache
def logged_events() -> frozenset[str]:
    names = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                # `log.event`, and what rooms without a log are given in its place.
                at = EVENT_ARGUMENT.get(node.func.attr)
                if at is not None and len(node.args) > at:
                    name = node.args[at]
                    names |= {str(name.value)} if isinstance(name, ast.Constant) else set()
    return frozenset(names - {"exchange"})


def test_every_event_of_the_log_is_listed_and_no_other() -> None:
    shown = first_cells(section(text_of("operations.md"), "### Events"))
    assert len(shown) == len(set(shown))
    listed = set(shown)
    logged = logged_events()
    assert listed == logged, (
        f"docs/operations.md, table of events: add rows for {sorted(logged - listed)}, "
        f"remove those of {sorted(listed - logged)}"
    )
