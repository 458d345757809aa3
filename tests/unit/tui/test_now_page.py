import pytest

from ccrelay.tui.live import Live
from ccrelay.tui.now_page import attention, verdict, why_lines
from ccrelay.v1 import exchanges_pb2 as ex, providers_pb2 as pb, relay_pb2 as rl
from tests.unit.cli import examples
from tests.unit.cli.served import plain, status
from tests.unit.tui.design import NOW_MS, Shown, failing, filled


@pytest.mark.parametrize(
    ("changes", "begin", "style"),
    [
        ({"state": rl.Status.STATE_DRAINING}, "Draining", "amber"),
        ({"state": rl.Status.STATE_STARTING}, "Starting", "amber"),
        ({"answering": False}, "Not answering", "red"),
        ({}, "Answering.", "bold"),
    ],
)
def test_the_verdict(changes: dict[str, object], begin: str, style: str) -> None:
    said = status()
    for name, value in changes.items():
        setattr(said, name, value)
    word, found = verdict(said)
    assert word.startswith(begin)
    assert found == style


def test_what_needs_a_look_is_told_worst_first() -> None:
    said = status()
    said.notices.add(severity=rl.Notice.SEVERITY_ERROR, subject="ledger", message="is failing")
    said.reload_problem = "mistake"
    assert attention(said, NOW_MS, 9) == [
        ("bedrock open", "red"),
        ("ledger: is failing", "red"),
        ("team-b cooldown 0:47", "amber"),
        ("the last reload failed: g c", "amber"),
    ]
    assert len(attention(said, NOW_MS)) == 3


def test_a_lost_exchange_is_said() -> None:
    live = filled()
    said = status()
    said.today.lost = 2
    live.on_status(rl.WatchStatusResponse(status=said, whole=True))
    shown = Shown(live=live)
    assert "2 exchanges lost today." in shown.lines()[1]
    assert "\x1b[31m 2 exchanges lost" in shown.painted()[1]


def test_a_small_terminal_tells_what_no_lane_shows() -> None:
    live = filled()
    said = status()
    said.notices.add(severity=rl.Notice.SEVERITY_ERROR, subject="ledger", message="x " * 90)
    said.notices.add(severity=rl.Notice.SEVERITY_ERROR, subject="bedrock", message="is open")
    live.on_status(rl.WatchStatusResponse(status=said, whole=True))
    line = Shown(live=live).lines()[1]
    assert line.startswith(" Answering. Nothing was lost today.")
    assert "ledger: x x x" in line
    assert line.endswith("…")


@pytest.mark.parametrize("size", [(80, 24), (80, 60), (116, 37), (120, 40), (200, 60), (140, 24)])
def test_the_page_fills_every_size(size: tuple[int, int]) -> None:
    lines = Shown(*size).lines()
    assert len(lines) == size[1]
    assert lines[-2].startswith("└")
    assert lines[2].startswith("┌─ Lanes") or lines[4].startswith("┌─ Lanes")


@pytest.mark.parametrize("height", [8, 10, 14, 18, 20, 22])
@pytest.mark.parametrize("width", [30, 50, 80, 130])
def test_a_small_terminal_loses_boxes_and_nothing_breaks(width: int, height: int) -> None:
    lines = Shown(width, height).lines()
    assert len(lines) == height
    assert lines[0].startswith(" ccrelay")


def test_the_selected_exchange_stays_selected_while_others_come() -> None:
    shown = Shown()
    shown.press("j", "j", "j")
    before = next(line for line in shown.lines() if line.startswith("│▌"))
    new = examples.exchange(0x999, "14:32:07", "new", "zai/plan")
    shown.live.on_exchanges(ex.TailResponse(exchanges=[new]))
    lines = shown.lines()
    assert next(line for line in lines if line.startswith("│▌")) == before
    assert any("14:32:07 new main" in line for line in lines)


def test_the_first_row_stays_selected_while_others_come() -> None:
    shown = Shown(live=filled())
    shown.live.on_running(ex.WatchRunningResponse())
    shown.lines()
    new = examples.exchange(0x999, "14:32:07", "new", "zai/plan")
    shown.live.on_exchanges(ex.TailResponse(exchanges=[new]))
    assert any(line.startswith("│▌14:32:07 new main") for line in shown.lines())


def test_enter_shows_why() -> None:
    shown = Shown()
    lines = shown.press("j", "j", "j", "enter")
    assert any("outcome   failover, HTTP 200" in line for line in lines)
    assert not any("Latest" in line for line in shown.lines())
    assert any("Latest" in line for line in shown.press("escape"))


def test_a_large_terminal_shows_why_and_the_sessions() -> None:
    shown = Shown(120, 40)
    shown.press("j", "j", "j", "j")
    shown.now_ms += 1_000  # it is not asked for more often
    text = shown.text()
    assert "Why: 0fa17 infra-live main, 14:31:05" in text
    assert "team-a failed (status 529)" in text
    assert "Sessions today" in text
    assert "4, $24.43" in text
    assert "Streams 3" in text


def test_an_old_relay_has_no_sessions() -> None:
    shown = Shown(120, 40, Usage__ListSessions=failing("no", "UNIMPLEMENTED"))
    assert "does not tell its sessions: upgrade it" in shown.text()


def test_nothing_yet() -> None:
    live = Live()
    live.on_status(rl.WatchStatusResponse(
        status=rl.Status(answering=True, state=rl.Status.STATE_SERVING, at_ms=NOW_MS), whole=True
    ))  # fmt: skip
    text = Shown(live=live).text()
    assert "No provider. Write a configuration: ccrelay init" in text
    assert "No exchange yet. Start Claude Code through the relay: ccrelay claude" in text
    large = Shown(120, 40, live=live, Usage__ListSessions=failing("none")).text()
    assert "No provider has told of a 5-hour or 7-day window" in large


def test_hundreds_of_keys_and_windows_leave_room_for_exchanges() -> None:
    live = filled()
    said = status()
    for number in range(100):
        key = said.providers[2].keys.add()
        key.CopyFrom(said.providers[2].keys[0])
        key.name = f"key-{number}"
    live.on_status(rl.WatchStatusResponse(status=said, whole=True))
    for size in ((80, 24), (120, 40)):
        lines = Shown(*size, live=live).lines()
        assert any("more keys: g p" in line for line in lines)
        assert any("Latest exchanges" in line for line in lines)
        assert len(lines) == size[1]


def test_why_has_three_lines() -> None:
    lines = why_lines(examples.detail(), plain(116))
    assert len(lines) == 3
    assert lines[0].startswith("bedrock/eu-role  anthropic/team-a failed (status 529)")
    assert "team-a overloaded after 0.4 s; eu-role answered after 16.2 s" in lines[1]
    assert "the move from a warm cache lost $0.97" in lines[2]
    plan = examples.detail()
    plan.exchange.cost.billing = pb.BILLING_PLAN
    assert "at list price, covered by a plan" in why_lines(plan, plain(116))[2]
