"""Who asks: what of a request's head goes into records."""

import pytest
from hypothesis import example, given, strategies as st

from ccrelay._fast.asker import texts_of
from ccrelay._fast.http1 import Head, parse_request
from ccrelay.wire.session import conversation_id

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def head_of(*fields: tuple[str, str]) -> Head:
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    found = parse_request(f"GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n".encode("latin-1"))
    assert found is not None
    return found[0]


def test_a_head_without_these_fields_tells_nothing() -> None:
    for head in (head_of(), None):
        assert texts_of(head) == ("", "", "", "")


VALUES = st.one_of(
    st.sampled_from(["undefined", "NULL", "Session_ID", "session_id", "nan", "none", "0-0", "00"]),
    st.text(st.sampled_from("abcXYZ019.-_:"), max_size=130),
    st.text(st.characters(min_codepoint=33, max_codepoint=255), max_size=20),
    st.uuids().map(str),
)


@given(VALUES)
@example("anonymous")
@example("a" * 128)
@example("a" * 129)
@example("sessionid")
@example("session\x7fid")
@example("00000000-0000-0000-0000-000000000000")
def test_a_session_is_what_the_router_takes_for_one(value: str) -> None:
    if "\x7f" in value:
        return  # no field value
    head = head_of(("X-Claude-Code-Session-Id", value))
    sent = value.strip(" \t").encode("latin-1")
    assert texts_of(head)[0] == (conversation_id(sent, None) or "")


@pytest.mark.parametrize(
    ("value", "agent", "project"),
    [
        ("a1", "a1", "a1"),
        ("my project", "my project", "my project"),
        ("x" * 200, "x" * 128, "x" * 64),
        ("caf\xe9", "", ""),
        ("a\tb", "", ""),
        ("", "", ""),
    ],
)
def test_agent_and_project_are_printable_and_bounded(value: str, agent: str, project: str) -> None:
    head = head_of(("x-claude-code-agent-id", value), ("X-CCRELAY-project", value))
    assert texts_of(head)[1:3] == (agent, project)


def test_other_fields_of_the_relay_are_no_project() -> None:
    head = head_of(
        ("x-ccrelay-projects", "a"), ("x-ccrelay-projecu", "b"), ("x_ccrelay_project", "c")
    )
    assert texts_of(head)[2] == ""
    head = head_of(("x-ccrelay-other", "a"), ("x-ccrelay-project", "b"), ("x-ccrelay-project", "c"))
    assert texts_of(head)[2] == "b"


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (TRACE, TRACE),
        (TRACE[:-2] + "00", TRACE[:-2] + "00"),
        ("01" + TRACE[2:] + "-more", "01" + TRACE[2:]),
        ("cc" + TRACE[2:], "cc" + TRACE[2:]),
        ("ff" + TRACE[2:], ""),
        (TRACE + "-more", ""),
        ("01" + TRACE[2:] + ".more", ""),
        (TRACE.upper(), ""),
        (TRACE[:-1], ""),
        (TRACE.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32), ""),
        (TRACE.replace("b7ad6b7169203331", "0" * 16), ""),
        (TRACE.replace("-", "_"), ""),
        (TRACE.replace("01", "0g"), ""),
        ("", ""),
    ],
)
def test_a_trace_has_the_form_of_the_standard(value: str, found: str) -> None:
    assert texts_of(head_of(("Traceparent", value)))[3] == found
