"""Compares error texts, log events and log fields with their pages.

A failure names the page, and the row to add, change or remove.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest
from msgspec import json as msgspec_json

from ccrelay import errors
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


@pytest.mark.parametrize(("place", "status", "pieces"), TEMPLATES, ids=[t[0] for t in TEMPLATES])
def test_every_error_of_the_relay_is_on_its_page(
    place: str, status: int | None, pieces: list[str]
) -> None:
    page = text_of("errors.md")
    text = " ... ".join(pieces)
    if status is None:
        missing = [piece for piece in pieces if piece not in plain(page)]
        assert not missing, f"docs/errors.md: the prose lacks {missing} (ccrelay/{place})"
        return
    row = f"| {status} | `{errors.TYPE_BY_STATUS[status]}` |"
    found = [line for line in rows(page) if all(piece in line for piece in pieces)]
    assert any(row in line for line in found), (
        f"docs/errors.md: add or correct the row `{row} {text} | ... |` (ccrelay/{place}); "
        f"rows with this text: {found or 'none'}"
    )


@pytest.mark.parametrize("why", [*retry._WHY, "queued ahead", "its own key"])
def test_the_page_has_the_status_of_each_reason_why_no_target_is_available(why: str) -> None:
    what = retry._WHY.get(why, "No provider for this model ({names}) has capacity now.")
    status = retry._status(why)
    row = f"| {what} | {status} `{errors.TYPE_BY_STATUS[status]}` |"
    assert row in text_of("errors.md")


def test_the_sources_were_found_to_hold_errors() -> None:
    assert len(TEMPLATES) > 40


@pytest.mark.parametrize("table", TEXT_TABLES)
def test_a_table_of_error_texts_exists(table: str) -> None:
    found = {name for _, tree in sources_of_errors() for name, _ in tables_of(tree)}
    assert table in found, f"no file defines {table}: change TEXT_TABLES in tests/test_docs.py"


def test_no_row_describes_an_error_that_is_gone() -> None:
    known = [pieces for _, _, pieces in TEMPLATES if pieces]
    for row in rows(text_of("errors.md")):
        if re.match(r"\| \d", row):
            assert any(all(piece in row for piece in pieces) for pieces in known), (
                f"docs/errors.md: no code makes this error any more; remove or reword the row {row}"
            )


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
    return re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)


def test_every_field_of_the_exchange_line_is_listed_and_no_other() -> None:
    listed = section(text_of("operations.md"), "### Exchanges")
    tables = re.split(r"\n\n", listed)
    [of_fields] = [table for table in tables if table.startswith("| field")]
    [of_kinds] = [table for table in tables if table.startswith("| `kind`")]
    [of_endings] = [table for table in tables if table.startswith("| `ending`")]
    assert set(first_cells(of_fields)) == record_fields()
    kinds = [kind.name.lower() for kind in RequestClass]
    assert [name for name in first_cells(of_kinds) if name != "kind"] == kinds
    endings = [ending.name.lower() for ending in Ending]
    assert [name for name in first_cells(of_endings) if name != "ending"] == endings


@cache
def logged_events() -> frozenset[str]:
    names = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "event"
                and len(node.args) >= 2
                and isinstance(node.args[1], ast.Constant)
            ):
                names.add(str(node.args[1].value))
    return frozenset(names - {"exchange"})


def test_every_event_of_the_log_is_listed_and_no_other() -> None:
    listed = set(first_cells(section(text_of("operations.md"), "### Events")))
    logged = logged_events()
    assert listed == logged, (
        f"docs/operations.md, table of events: add rows for {sorted(logged - listed)}, "
        f"remove those of {sorted(listed - logged)}"
    )
