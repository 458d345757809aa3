from ccrelay.control.authorise import Door
from ccrelay.control.connections import Connection, Connections

TCP, UNIX = Door(is_unix=False), Door(is_unix=True)
GET, CHECK = "/ccrelay.v1.Relay/GetStatus", "/grpc.health.v1.Health/Watch"


def full(limit: int = 3) -> tuple[Connections, list[Connection], list[str]]:
    """A full door, the connections by age, and the names of those that are closed."""
    closed: list[str] = []
    connections = Connections(limit)
    made = [Connection(f"c{number}", TCP, last_active=float(number)) for number in range(limit)]
    for each in made:
        each.abort = lambda name=each.name: closed.append(name)
        assert connections.add(each)
    return connections, made, closed


def test_at_the_limit_the_one_idle_longest_is_closed() -> None:
    connections, made, closed = full()
    made[0].last_active = 9.0
    new = Connection("new", TCP, last_active=10.0)
    assert connections.add(new)
    assert closed == ["c1"]
    assert len(connections) == 3
    assert connections.get("c1") is None
    assert connections.get("new") is new
    assert {each.name for each in connections} == {"c0", "c2", "new"}


def test_one_with_a_call_is_not_closed() -> None:
    connections, made, closed = full(2)
    end = made[0].begin(GET)
    assert connections.add(Connection("new", TCP, last_active=10.0))
    assert closed == ["c1"]
    end(None)
    assert connections.add(Connection("newer", TCP, last_active=10.0))
    assert closed == ["c1", "c0"]


def test_without_an_idle_one_there_is_no_room() -> None:
    connections, made, closed = full(2)
    for each in made:
        each.begin(GET)
    assert not connections.add(Connection("new", TCP))
    assert closed == []


def test_calls_that_need_no_token_hold_nothing() -> None:
    connection = Connection("c", TCP)
    for path in (CHECK, "/", "/assets/app.js", "/session"):
        connection.begin(path)
        assert connection.calls == 0
    connection.begin("/unknown")
    assert connection.calls == 1
    owner = Connection("u", UNIX)
    owner.begin(CHECK)
    assert owner.calls == 1


def test_removing_is_of_that_connection_only() -> None:
    connections, made, _ = full(1)
    other = Connection("c0", TCP)
    connections.remove(other)
    assert connections.get("c0") is made[0]
    connections.remove(made[0])
    connections.remove(made[0])
    assert len(connections) == 0
