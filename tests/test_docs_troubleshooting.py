"""Compares docs/troubleshooting.md with the errors, events and fields of the code.

A failure names the row to add, change or remove, and the heading under which Claude Code's words
for its status stand.
"""

import re

import pytest

from ccrelay._fast.upstream import Loss
from ccrelay.relay import retry
from ccrelay.relay.retry import loss_name
from ccrelay.types import Ending
from tests.pages import rows, section, text_of
from tests.test_docs_errors import TEMPLATES, logged_events, plain, record_fields

PAGE = text_of("troubleshooting.md")
# Heading by status, as Claude Code words it (client reference, section 6).
HEADINGS = {
    401: "## Invalid API key",
    403: "## Failed to authenticate. API Error: 403",
    404: "## There's an issue with the selected model",
    413: "## Request too large",
    429: "## Request rejected (429)",
    **dict.fromkeys((400, 405, 431), "## API Error: 400"),
    **dict.fromkeys((408, 500, 502, 504, 529), "## Overloaded, and other server errors"),
}
# Under these headings stand several statuses, and the row begins with its own.
SEVERAL = {"## API Error: 400", "## Overloaded, and other server errors"}
PLACED = [found for found in TEMPLATES if found[1] is not None]


def row_start(status: int) -> str:
    return f"| {status} | " if HEADINGS[status] in SEVERAL else "| "


@pytest.mark.parametrize(("place", "status", "pieces"), PLACED, ids=[t[0] for t in PLACED])
def test_every_error_stands_under_the_words_of_claude_code(
    place: str, status: int, pieces: list[str]
) -> None:
    assert status in HEADINGS, f"which words does Claude Code show for {status} (ccrelay/{place})?"
    heading = HEADINGS[status]
    found = [
        row
        for row in rows(section(PAGE, heading))
        if row.startswith(row_start(status)) and all(piece in row for piece in pieces)
    ]
    assert found, (
        f"docs/troubleshooting.md, {heading!r}: add a row "
        f"`{row_start(status)}{' ... '.join(pieces)} | log | what to do |` (ccrelay/{place})"
    )


NO_CAPACITY = "No provider for this model ({names}) has capacity now."


@pytest.mark.parametrize("why", [*retry._WHY, "queued ahead"])
def test_every_reason_why_no_target_is_available_is_there(why: str) -> None:
    text = retry._WHY.get(why, NO_CAPACITY)
    status = retry._status(why)
    row = row_start(status) + text.format(names="NAMES")
    assert any(line.startswith(row) for line in rows(section(PAGE, HEADINGS[status]))), row


@pytest.mark.parametrize("reason", [int(loss) for loss in Loss if int(loss) in retry._LOSSES])
def test_every_loss_of_a_provider_is_there_with_its_log(reason: int) -> None:
    status, what = retry._LOSSES[reason]
    row = f"| {status} | Provider NAME {what}. | `exchange` with `error={loss_name(reason)}` |"
    assert row in PAGE


def test_no_row_describes_an_error_that_is_gone() -> None:
    known = [pieces for _, _, pieces in TEMPLATES if pieces]
    known += [[text.format(names="NAMES")] for text in (*retry._WHY.values(), NO_CAPACITY)]
    for heading in dict.fromkeys(HEADINGS.values()):
        for row in rows(section(PAGE, heading))[2:]:
            if "the provider's own" in row:
                continue
            assert any(all(piece in row for piece in pieces) for pieces in known), (
                f"docs/troubleshooting.md: no code makes this error any more: {row}"
            )


def test_the_log_beside_the_words_is_the_relays() -> None:
    """Names in code in the column of the log are events, fields and values of fields."""
    known = logged_events() | {"exchange"} | record_fields()
    known |= {"reason", "seconds", "state", "why", "where", "status", "method", "path"}
    endings = {ending.name.lower() for ending in Ending}
    errors = {loss_name(int(loss)) for loss in Loss} | {"not_a_stream", "unfinished"}
    columns = []
    for table in re.split(r"\n\n", PAGE):
        lines = rows(table)
        if not lines:
            continue
        at = [cell.strip() for cell in lines[0].split("|")].index("the relay's log")
        columns += [line.split("|")[at] for line in lines[2:]]
    assert len(columns) > 60
    for cell in columns:
        for name in re.findall(r"`([^`]+)`", cell):
            word, equals, value = name.partition("=")
            if word.startswith("/"):
                continue  # a path
            assert word in known | (endings if not equals else set()), name
            if word == "ending" and equals:
                assert value in endings, name
            if word == "error" and equals:
                assert value in errors, name


def test_the_faults_of_a_head_are_listed_where_the_page_says() -> None:
    listed = plain(text_of("errors.md"))
    faults = [pieces for _, status, pieces in TEMPLATES if status is None]
    assert all(piece in listed for pieces in faults for piece in pieces)
    assert "(errors.md#the-request)" in PAGE
