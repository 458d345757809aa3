import json
import time

import pytest
from hypothesis import example, given, strategies as st

from ccrelay.config.model import Logging
from ccrelay.runtime.logs import JsonLines, LogWriter, TextLines

AT = 1_795_371_601.25  # 2026-11-22T18:20:01.250Z


def at(*instants):
    return iter(instants).__next__


class Entry:
    """An access log entry with the given members: text, count or flag by their type."""

    def __init__(self, **members):
        self.members = members

    def write(self, line):
        for name, value in self.members.items():
            if value is True:
                line.flag(name.encode())
            elif isinstance(value, int):
                line.count(name.encode(), value)
            elif isinstance(value, float):
                line.millis(name.encode(), value)
            else:
                line.text(name.encode(), value)


@pytest.fixture
def written(tmp_path):
    """Write to a log with these settings; returns the lines of its file."""

    def written(write, **settings):
        file = tmp_path / "log"
        log = LogWriter(Logging(file=str(file), **settings), now=lambda: AT)
        write(log)
        log.close()
        return file.read_bytes().splitlines()

    return written


def test_event_in_json():
    line = JsonLines(2, lambda: AT).event("info", "worker_ready", {"pid": 7})
    assert line == (
        b'{"at":"2026-11-22T18:20:01.250Z","level":"info","event":"worker_ready",'
        b'"worker":2,"pid":7}\n'
    )


def test_text_shows_lists_and_mappings_without_brackets():
    fields = {"settings": ("server.listen", "server.workers"), "keys_added": {"zai": ("ab", "cd")}}
    line = TextLines(None, lambda: AT).event("info", "reloaded", {**fields, "names": ["one"]})
    line_end = b" reloaded settings=server.listen,server.workers keys_added=zai:ab,cd names=one\n"
    assert line.endswith(line_end)


def test_event_without_fields_in_json():
    line = JsonLines(None, lambda: AT).event("info", "stopped", {})
    assert line == b'{"at":"2026-11-22T18:20:01.250Z","level":"info","event":"stopped"}\n'


def test_exchange_in_json_has_the_members_of_the_entry_with_time_and_worker():
    line = JsonLines(0, lambda: AT).exchange(Entry(status=200, model="glm\n5", ms=0.0125))
    assert line.count(b"\n") == 1
    assert json.loads(line) == {
        "at": "2026-11-22T18:20:01.250Z",
        "event": "exchange",
        "worker": 0,
        "status": 200,
        "model": "glm\n5",
        "ms": 12.5,
    }


@pytest.mark.parametrize("value", ["\udc80", 1 << 70, object, {1, 2}])
def test_event_values_that_json_cannot_hold_do_not_raise(value):
    line = JsonLines(0, lambda: AT).event("info", "x", {"model": value})
    assert "model" in json.loads(line)


@pytest.mark.parametrize("value", [-(1 << 63), (1 << 63) - 1, -1, 0])
def test_integers_at_64_bit_bounds(value):
    lines = JsonLines(0, lambda: AT)
    assert json.loads(lines.exchange(Entry(input=value)))["input"] == value
    assert json.loads(lines.event("info", "x", {"input": value}))["input"] == value
    text = TextLines(None, lambda: AT)
    assert text.exchange(Entry(input=value)).endswith(b" input=%d\n" % value)
    assert text.event("info", "x", {"input": value}).endswith(b" input=%d\n" % value)


def test_timestamps_follow_the_clock_forwards_and_backwards():
    lines = JsonLines(None, at(AT, AT + 0.5, AT + 0.75, AT - 0.5, AT - 0.375))
    times = [json.loads(lines.event("info", "x", {}))["at"][17:] for _ in range(5)]
    assert times == ["01.250Z", "01.750Z", "02.000Z", "00.750Z", "00.875Z"]


def test_exchange_in_text():
    members = {"status": 200, "model": "glm-5.3", "error": None, "note": "", "ms": 0.0125}
    line = TextLines(1, lambda: AT).exchange(Entry(**members, moved=True))
    clock = time.strftime("%Y-%m-%d %H:%M:%S.250", time.localtime(AT)).encode()
    assert line == (
        clock + b" info    worker 1 exchange status=200 model=glm-5.3 ms=12.5 moved=true\n"
    )


FORGERIES = ["a b", 'a"b', "a\nb", "\x1b[2J", "a=b c=d", "\udc80", "\x7f", "é", "\x9b2J"]


@pytest.mark.parametrize("text", FORGERIES)
def test_client_text_cannot_forge_a_line_or_control_the_terminal(text):
    lines = TextLines(None, lambda: AT)
    for line in (
        lines.exchange(Entry(model=text)),
        lines.event("info", "x", {"model": text}),
    ):
        assert line.count(b"\n") == 1
        assert all(32 <= byte < 127 for byte in line[:-1])
        assert json.loads(line.partition(b"model=")[2]) == text


NOT_PRINTABLE = {
    "DEL": "\x7f",
    "C1, a control sequence of terminals": "\x9b2J",
    "C1, next line": "\x85",
    "line separator": "\u2028",
    "paragraph separator": "\u2029",
    "right-to-left override": "\u202e",
    "isolates": "\u2066\u2067\u2068\u2069",
    "Arabic letter mark": "\u061c",
    "zero-width space, joiners, word joiner": "\u200b\u200c\u200d\u2060",
    "byte order mark": "\ufeff",
    "soft hyphen": "\xad",
    "no-break space": "\xa0",
    "interlinear annotation": "\ufff9",
    "tags": "\U000e0041\U000e007f",
    "private": "\ue000\U0010fffd",
    "unassigned": "\u0378",
    "no character": "\uffff",
    "surrogate": "\udc80",
}


@pytest.mark.parametrize("kind", NOT_PRINTABLE)
@pytest.mark.parametrize("make", [JsonLines, TextLines])
def test_what_unicode_does_not_call_printable_is_escaped(make, kind):
    text = f"a{NOT_PRINTABLE[kind]}b"
    lines = make(None, lambda: AT)
    for line in (
        lines.exchange(Entry(model=text)),
        lines.event("info", "x", {"model": text}),
        lines.event("info", "x", {"models": [text], "by": {text: (text,)}, "n": 1 << 70}),
    ):
        assert line.decode().removesuffix("\n").isprintable()
    if make is JsonLines and kind != "surrogate":
        assert json.loads(lines.exchange(Entry(model=text)))["model"] == text
        assert json.loads(lines.event("info", "x", {"model": text}))["model"] == text
        assert json.loads(lines.event("info", "x", {"by": {text: 1}}))["by"] == {text: 1}


def test_words_of_any_language_stay_readable_in_json():
    line = JsonLines(None, lambda: AT).event("info", "x", {"reason": "Schlüssel 鍵 🔑"})
    assert "Schlüssel 鍵 🔑".encode() in line


@example("\\")
@given(st.text(st.characters(exclude_categories=()), min_size=1))
def test_text_values_end_where_the_next_member_begins(text):
    lines, members = TextLines(None, lambda: AT), {"model": text, "status": 200}
    line = lines.exchange(Entry(**members))
    assert (
        lines.event("info", "x", members).partition(b" model=")[2]
        == (line.partition(b" model=")[2])
    )
    value = line.decode("ascii").partition(" model=")[2].removesuffix(" status=200\n")
    if value[0] == '"':
        assert json.loads(value) == text
    else:
        assert value == text
        assert not set(value) & set(' "=\\\n')


def test_a_very_long_text_is_written_whole():
    text = "x" * 1_000_000 + "\n"
    lines = JsonLines(0, lambda: AT)
    assert json.loads(lines.exchange(Entry(error=text)))["error"] == text
    assert json.loads(lines.exchange(Entry(error="short")))["error"] == "short"
    line = TextLines(None, lambda: AT).exchange(Entry(error=text))
    assert line.count(b"\n") == 1
    assert len(line) > len(text)


def test_events_below_the_level_are_not_written(written):
    def write(log):
        log.event("debug", "a")
        log.event("info", "b")
        log.event("warning", "c")
        log.event("error", "d")

    lines = written(write, level="warning")
    assert [line.split()[-1] for line in lines] == [b"c", b"d"]


def test_exchanges_can_be_disabled(written):
    def write(log):
        log.exchange(Entry(status=200))
        log.event("info", "stopped")

    assert [line.split()[-1] for line in written(write, exchanges=False)] == [b"stopped"]


def test_exchanges_do_not_depend_on_the_level(written):
    [line] = written(lambda log: log.exchange(Entry(status=200)), level="error", format="json")
    assert json.loads(line)["status"] == 200
