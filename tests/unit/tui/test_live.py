from ccrelay.tui.live import ATTEMPTS_MAX, MOVED_MAX, RING_MAX, SEEN_MAX, Live, Ring, Trouble
from ccrelay.v1 import exchanges_pb2 as ex, providers_pb2 as pb, relay_pb2 as rl
from tests.unit.cli.examples import exchange
from tests.unit.cli.served import status
from tests.unit.tui.design import NOW_MS, running


def whole() -> rl.WatchStatusResponse:
    return rl.WatchStatusResponse(status=status(), whole=True)


def test_a_later_status_holds_only_the_providers_that_changed() -> None:
    live = Live()
    live.on_status(whole())
    changed = pb.Provider(name="zai", enabled=False)
    live.on_status(rl.WatchStatusResponse(status=rl.Status(at_ms=5, providers=[changed])))
    assert [one.name for one in live.status.providers] == ["anthropic", "bedrock", "zai"]
    assert not live.status.providers[2].enabled
    gone = rl.WatchStatusResponse(status=rl.Status(at_ms=6), removed_providers=["bedrock"])
    live.on_status(gone)
    assert [one.name for one in live.status.providers] == ["anthropic", "zai"]


def test_trouble_ends_with_the_next_sign_of_life_and_the_state_stays() -> None:
    live = Live()
    live.on_status(whole())
    live.on_running(running())
    live.on_trouble(Trouble("gone", NOW_MS + 1000))
    assert live.trouble is not None
    assert live.status is not None
    assert live.running() == ((), 0)
    assert live.last_seen_ms == NOW_MS
    live.on_alive(NOW_MS + 5)
    assert live.trouble is None
    assert live.last_seen_ms == NOW_MS + 5


def test_an_exchange_that_comes_twice_is_kept_once() -> None:
    live = Live()
    one = exchange(1, "14:30:00", "api", "zai/plan")
    assert live.on_exchanges(ex.TailResponse(exchanges=[one, one])) == [one]
    assert live.on_exchanges(ex.TailResponse(exchanges=[one], dropped=7)) == []
    assert live.exchanges() == ([one], 1, 7)


def test_what_is_kept_is_bounded() -> None:
    ring = Ring()
    for number in range(2 * SEEN_MAX):
        ring.add([ex.Exchange(id=str(number))])
    kept = ring.newest_first()
    assert len(kept) == RING_MAX
    assert kept[0].id == str(2 * SEEN_MAX - 1)
    assert ring.total == 2 * SEEN_MAX
    assert len(ring._seen) == SEEN_MAX
    live = Live()
    for number in range(ATTEMPTS_MAX + 10):
        live.on_attempts(ex.Exchange(id=str(number)), [ex.Attempt(provider="a", key="b")])
    assert live.attempts("0") == ()
    assert len(live.attempts(str(ATTEMPTS_MAX))) == 1


def test_a_filter_has_exchanges_of_its_own() -> None:
    live = Live()
    one, two = exchange(1, "14:30:00", "api", "zai/plan"), exchange(2, "14:30:00", "b", "zai/plan")
    live.on_exchanges(ex.TailResponse(exchanges=[one, two]))
    live.on_filtered(ex.TailResponse(exchanges=[two]))  # of a stream that has ended
    live.begin_filter(on=True)
    assert live.exchanges(filtered=True) == ([], 0, 0)
    live.on_filtered(ex.TailResponse(exchanges=[two]))
    assert live.exchanges(filtered=True)[0] == [two]
    assert live.exchanges()[0] == [two, one]
    live.on_filter_problem("unknown word")
    assert live.filter_problem == "unknown word"
    live.begin_filter(on=False)
    assert live.filter_problem == ""
    assert live.exchanges(filtered=True)[0] == [two, one]


def test_every_change_has_a_version() -> None:
    live = Live()
    seen = [live.version]
    for change in (
        lambda: live.on_status(whole()),
        lambda: live.on_running(running()),
        lambda: live.on_trouble(Trouble("gone", 0)),
        lambda: live.on_exchanges(ex.TailResponse()),
        lambda: live.on_attempts(ex.Exchange(id="1"), []),
    ):
        change()
        seen.append(live.version)
    assert seen == sorted(set(seen))


def test_the_last_move_of_a_session_is_kept() -> None:
    live = Live()
    moves = [ex.Exchange(id=f"{n}", session=f"s{n}", moved=True, started_at_ms=n) for n in (1, 2)]
    again = ex.Exchange(id="3", session="s1", moved=True, started_at_ms=9)
    stays = ex.Exchange(id="4", session="s1", started_at_ms=11)
    live.on_exchanges(ex.TailResponse(exchanges=[*moves, again, stays]))
    assert [live.moved_at(name) for name in ("s1", "s2", "s3")] == [9, 2, 0]
    many = [
        ex.Exchange(id=f"m{n}", session=f"m{n}", moved=True, started_at_ms=n)
        for n in range(MOVED_MAX)
    ]
    live.on_exchanges(ex.TailResponse(exchanges=many))
    assert live.moved_at("s1") == 0
