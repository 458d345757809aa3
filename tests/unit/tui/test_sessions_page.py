from ccrelay.store.filters import parse
from ccrelay.v1 import providers_pb2 as pb, usage_pb2 as us
from tests.unit.tui.design import Shown, failing


def opened(width: int = 120, height: int = 40, **answers: object) -> Shown:
    shown = Shown(width, height, **answers)
    shown.press("g", "s")
    return shown


def test_the_dearest_conversation_is_named() -> None:
    lines = opened().lines()
    assert lines[1].startswith(" payments-api has cost $13.84 since 12:41.")
    assert lines[1].endswith("today: 4 sessions, $24.43")
    assert lines[3].startswith("▌payments-api  3f8c41   since 12:41  47 turns, 9 agents")


def test_the_range_is_chosen_by_keys() -> None:
    shown = opened()
    shown.press("]", "y")
    assert shown.copied == ["ccrelay usage --by session --since 7d"]
    requests = shown.asked("Usage/ListSessions")
    assert requests[-1].since_ms < requests[-2].since_ms
    shown.press("[", "[", "[", "y")
    assert shown.copied[-1].endswith("--since 24h")


def test_a_filter_is_sent() -> None:
    shown = opened()
    shown.press("/")
    shown.type("project:api")
    shown.press("enter")
    assert shown.asked("Usage/ListSessions")[-1].filter == "project:api"
    assert "only project:api" in shown.lines()[1]
    shown.press("escape")
    assert shown.asked("Usage/ListSessions")[-1].filter == ""


def test_a_session_has_its_tree_and_its_exchanges() -> None:
    shown = opened()
    lines = shown.press("enter")
    text = "\n".join(lines)
    assert lines[1].startswith(" payments-api has cost $13.84, since 12:41, 47 turns, 9 agents.")
    assert "It left a warm cache 1 time: lost $0.97." in text
    assert any(line.startswith(" main") and "$11.20" in line for line in lines)
    assert any(line.startswith(" └ Explore") and "▓" in line for line in lines)
    assert any(line.startswith(" ├ general-purpose") for line in lines)
    assert any(line.startswith("▌14:31:12") for line in lines)
    assert shown.asked("Exchanges/List")[-2].filter == 'session="3f8c41aa-9b0e"'
    shown.press("y")
    assert shown.copied == ["ccrelay sessions 3f8c41aa-9b0e"]


def test_moves_have_their_time_and_reason() -> None:
    lines = opened().press("enter")
    at = lines.index(" It left a warm cache 1 time: lost $0.97.")
    assert lines[at + 1].startswith("   14:27:41 main to B eu-role: 529 overloaded at team-a after")
    assert "moved 14:27" in opened().lines()[3]


def test_any_name_of_a_session_is_asked_for_as_it_is() -> None:
    odd = us.Session(session='a "b\\c, d', totals=pb.Totals(moves=1))
    shown = opened(Usage__ListSessions=us.ListSessionsResponse(sessions=[odd]))
    shown.press("enter")
    asked = shown.asked("Exchanges/List")
    assert {parse(one.filter).terms[0].tests[0].values for one in asked[-2:]} == {(odd.session,)}


def test_an_exchange_of_a_session_opens_and_closes() -> None:
    shown = opened()
    shown.press("enter", "j", "enter")
    assert any("outcome   failover" in line for line in shown.lines())
    shown.press("j", "escape")
    assert any(line.startswith(" main") for line in shown.lines())
    assert shown.press("escape")[3].startswith("▌payments-api")


def test_an_old_relay_is_to_be_upgraded() -> None:
    text = opened(Usage__ListSessions=failing("x", "UNIMPLEMENTED")).text()
    assert "The running relay does not tell its sessions: upgrade it" in text


def test_no_session() -> None:
    assert (
        "No session in this time." in opened(Usage__ListSessions=us.ListSessionsResponse()).text()
    )


def test_many_agents_leave_room_for_exchanges() -> None:
    def query(request: us.QueryRequest) -> us.QueryResponse:
        return us.QueryResponse(rows=[us.UsageRow(group=[f"agent-{n}"]) for n in range(60)])

    shown = opened(80, 24, Usage__Query=query)
    lines = shown.press("enter")
    assert any("more agents" in line for line in lines)
    assert any(line.startswith("▌14:31:12") for line in lines)
    assert len(lines) == 24
