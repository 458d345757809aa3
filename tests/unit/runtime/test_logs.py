import json
import time

import pytest
from hypothesis import example, given, strategies as st

from ccrelay.config.model import Logging
from ccrelay.runtime.log_style import Style
from ccrelay.runtime.logs import BURSTS_LOOK_S, JsonLines, LogWriter, TextLines
from ccrelay.types import RowGroup

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
            elif isinstance(value, bytes):
                line.text(name.encode(), value.decode())
            elif isinstance(value, float):
                line.millis(name.encode(), value)
            else:
                line.text(name.encode(), value)

    def row(self, row, clock):
        row.start(clock, 0)
        row.open(row.what)
        row.put(self.members.get("what", "main"))
        row.close()
        row.end_row()
        return self.members.get("is_count", False)

    def group(self):
        session = self.members.get("session", b"s")
        is_count = self.members.get("is_count", False)
        return RowGroup(session, session, is_count, 0, False, 0.25, "one key", "")


def count(session=b"s"):
    return Entry(session=session, is_count=True, what="count_tokens")


def clock(at=AT):
    return time.strftime("%H:%M:%S", time.localtime(at))


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
    assert text.event("info", "x", {"input": value}).endswith(b" input=%d\n" % value)


def test_timestamps_follow_the_clock_forwards_and_backwards():
    lines = JsonLines(None, at(AT, AT + 0.5, AT + 0.75, AT - 0.5, AT - 0.375))
    times = [json.loads(lines.event("info", "x", {}))["at"][17:] for _ in range(5)]
    assert times == ["01.250Z", "01.750Z", "02.000Z", "00.750Z", "00.875Z"]


def test_exchange_in_text():
    line = TextLines(1, lambda: AT).exchange(Entry(what="payments-api main"))
    assert line.decode() == f"{clock()} payments-api main\n"


def test_event_in_text_has_the_worker_last():
    line = TextLines(1, lambda: AT).event("info", "failover", {"id": "req_1", "n": 2})
    assert line.decode() == f"{clock()} info    failover id=req_1 n=2 worker=1\n"
    line = TextLines(None, lambda: AT).event("warning", "worker_killed", {"worker": 0})
    assert line.decode() == f"{clock()} warning worker_killed worker=0\n"


@pytest.mark.parametrize(
    ("level", "colour"), [("info", ""), ("warning", "33"), ("error", "31"), ("debug", "2")]
)
def test_a_level_has_a_colour_on_a_terminal(level, colour):
    line = TextLines(None, lambda: AT, Style(is_coloured=True)).event(level, "x", {"a": 1})
    shown = f"\x1b[{colour}m{level:<7}\x1b[0m" if colour else f"{level:<7}"
    assert line.decode() == f"{clock()} {shown} x a=1\n"


def test_events_fit_the_terminal_and_are_one_line_elsewhere():
    members = {"reason": "cannot connect " * 20, "n": 1}
    shown = TextLines(0, lambda: AT, Style(terminal=-1)).event("warning", "x", members).decode()
    assert len(shown.splitlines()) > 3
    assert max(map(len, shown.splitlines())) <= 120
    plain = TextLines(0, lambda: AT).event("warning", "x", members).decode()
    assert plain.count("\n") == 1
    assert " ".join(shown.split()) == " ".join(plain.split())


def test_a_new_day_is_said_once_and_by_one_process():
    night = time.mktime((2026, 11, 23, 0, 0, 0, 0, 0, -1))
    for worker, said in ((None, b"-- 2026-11-23\n"), (0, b"-- 2026-11-23\n"), (1, b"")):
        lines = TextLines(worker, at(night - 2, night - 1, night, night + 1))
        assert not lines.event("info", "x", {}).startswith(b"--")
        assert not lines.exchange(Entry()).startswith(b"--")
        assert lines.exchange(Entry()).partition(clock(night).encode())[0] == said
        assert not lines.event("info", "x", {}).startswith(b"--")


def test_a_file_begins_with_the_date_and_a_terminal_with_the_columns():
    assert (
        TextLines(None, lambda: AT).begin(True)
        == time.strftime("-- %Y-%m-%d\n", time.localtime(AT)).encode()
    )
    shown = TextLines(None, lambda: AT, Style(terminal=-1)).begin(True).decode()
    assert shown.split() == [
        *("TIME", "WHAT", "MODEL", "TARGET", "OUTCOME", "FIRST", "TOTAL"),
        *("IN/OUT", "HITS", "COST"),
    ]
    assert len(shown) <= 121
    assert TextLines(None, lambda: AT, Style(terminal=-1)).begin(False) == b""
    assert JsonLines(None, lambda: AT).begin(True) == b""


# ---- bursts


class Later:
    """A loop's `call_later`: calls what it was given when the test says so."""

    def __init__(self):
        self.calls = []

    def __call__(self, delay, callback):
        self.calls.append((delay, callback))

    def run(self):
        calls, self.calls = self.calls, []
        for _, callback in calls:
            callback()


@pytest.fixture
def folding(tmp_path):
    """A log that folds, its clock, its timers, and what it has written."""

    class Folding:
        def __init__(self):
            self.now = AT
            self.later = Later()
            self.marks = 0
            self.file = tmp_path / "log"
            self.log = LogWriter(Logging(file=str(self.file)), worker_id=0, now=lambda: self.now)
            self.log.fold_bursts(self.later)

        def rows(self):
            # Not by `flush`, which writes what is kept back.
            self.marks += 1
            self.log.event("error", "mark", n=self.marks)
            ends_at = time.monotonic() + 20.0
            while f"mark n={self.marks} " not in self.file.read_text():
                assert time.monotonic() < ends_at
                time.sleep(0.002)
            lines = self.file.read_text().splitlines()
            return [line[9:] for line in lines if "mark n=" not in line]

    folding = Folding()
    yield folding
    folding.log.close()


def test_a_burst_is_one_row_after_a_pause(folding):
    for _ in range(25):
        folding.log.exchange(count())
        folding.now += 0.01
    assert folding.rows() == []
    assert [delay for delay, _ in folding.later.calls] == [BURSTS_LOOK_S]
    folding.later.run()
    assert folding.rows() == []  # it may go on
    folding.now += 1.0
    folding.later.run()
    (row,) = folding.rows()
    assert row.split()[:4] == ["s", "25", "x", "count_tokens"]
    assert "all ok" in row
    assert folding.later.calls == []


def test_one_count_alone_is_a_row_of_its_own(folding):
    folding.log.exchange(count())
    folding.now += 1.0
    folding.later.run()
    assert folding.rows() == ["count_tokens"]


def test_another_row_of_the_session_ends_a_burst(folding):
    for _ in range(3):
        folding.log.exchange(count())
    folding.log.exchange(Entry(session=b"other"))
    assert folding.rows() == ["main"]
    folding.log.exchange(Entry())
    assert [row.split()[:2] for row in folding.rows()] == [["main"], ["s", "3"], ["main"]]


@pytest.mark.parametrize("end", ["close", "flush"])
def test_nothing_is_kept_back_at_the_end(folding, end):
    for session in (b"a", b"b"):
        folding.log.exchange(count(session))
        folding.log.exchange(count(session))
    getattr(folding.log, end)()
    lines = folding.file.read_text().splitlines()
    assert [line.split()[1:3] for line in lines] == [["a", "2"], ["b", "2"]]


def test_without_a_loop_nothing_is_folded(written):
    lines = written(lambda log: [log.exchange(count()) for _ in range(3)])
    assert [line.split()[1] for line in lines] == [b"count_tokens"] * 3


def test_json_is_not_folded(tmp_path):
    file = tmp_path / "log"
    log = LogWriter(Logging(file=str(file), format="json"), now=lambda: AT)
    log.fold_bursts(Later())
    for _ in range(3):
        log.exchange(count())
    log.close()
    assert file.read_bytes().count(b"\n") == 3


# ---- hostile text


FORGERIES = ["a b", 'a"b', "a\nb", "\x1b[2J", "a=b c=d", "\udc80", "\x7f", "é", "\x9b2J"]


@pytest.mark.parametrize("text", FORGERIES)
def test_client_text_cannot_forge_a_line_or_control_the_terminal(text):
    lines = TextLines(None, lambda: AT)
    for line in (
        lines.exchange(Entry(what=text)),
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
        lines.exchange(Entry(model=text, what=text)),
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
    line = lines.event("info", "x", members)
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
    line = TextLines(None, lambda: AT).event("error", "x", {"error": text})
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
