"""Every method of every service, through both protocols, at both doors, with what may come."""

import http.client
from collections.abc import Iterator
from pathlib import Path

import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from ccrelay.control import server, throttle
from ccrelay.control.authorise import RIGHTS, Right
from tests.loopback.control.callers import RIGHT, WRONG, Caller, Metadata, Native, Web
from tests.loopback.control.harness import MODULES, Raw, Served, serve

CCRELAY = [
    f"/{service.full_name}/{method.name}"
    for pb2, _ in MODULES
    for service in pb2.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]
HEALTH = [
    f"/grpc.health.v1.Health/{method.name}"
    for method in health_pb2.DESCRIPTOR.services_by_name["Health"].methods
]
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
PATHS = ["/", "/favicon.svg", "/healthz", "/metrics", "/session", "/statusline",
         "/streams.js"]  # fmt: skip
ALL = [*CCRELAY, *(path for path in HEALTH if not path.endswith("/Watch"))]

PROTOCOLS = pytest.mark.parametrize("protocol", [Native, Web])


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(throttle, "LONGEST_S", 0.0)
    with serve(tmp_path) as served:
        yield served


def codes(
    served: Served, protocol: Caller, unix: bool, metadata: Metadata = (), authority: str = ""
) -> dict[str, str]:
    with protocol(served, unix=unix, authority=authority) as caller:
        return {path: caller.call(path, metadata=metadata).code for path in ALL}


def expected(code: str, open_code: str = "OK") -> dict[str, str]:
    return {path: open_code if RIGHTS[path] is Right.OPEN else code for path in ALL}


def test_the_table_holds_what_there_is_and_nothing_else() -> None:
    newer = {"/grpc.health.v1.Health/List"}  # than the oldest grpcio-health-checking
    assert set(RIGHTS) == {*CCRELAY, *HEALTH, REFLECTION, *PATHS} | newer


def test_what_changes_something_is_not_called_reading() -> None:
    words = (
        "Get",
        "Watch",
        "List",
        "Tail",
        "Query",
        "Export",
        "Prices",
        "Explain",
        "Validate",
        "Detect",
    )
    for path in CCRELAY:
        reads = path.rpartition("/")[2].startswith(words)
        assert (RIGHTS[path] is Right.READ) == reads, path


@PROTOCOLS
def test_the_unix_door_is_open_to_its_owner(served: Served, protocol: Caller) -> None:
    assert codes(served, protocol, True) == expected("OK")


@PROTOCOLS
def test_the_token_opens_tcp(served: Served, protocol: Caller) -> None:
    assert codes(served, protocol, False, RIGHT) == expected("OK")


@PROTOCOLS
@pytest.mark.parametrize(
    "metadata",
    [
        (),
        WRONG,
        (("authorization", ""),),
        (("authorization", "Bearer "),),
        (("authorization", RIGHT[0][1].removeprefix("Bearer ")),),
        (("authorization", RIGHT[0][1].replace("Bearer", "Basic")),),
        (("authorization", RIGHT[0][1] + "t"),),
        (("authorization", RIGHT[0][1][:-1]),),
        (("cookie", RIGHT[0][1]),),
    ],
)
def test_nothing_else_opens_tcp(served: Served, protocol: Caller, metadata: Metadata) -> None:
    assert codes(served, protocol, False, metadata) == expected("UNAUTHENTICATED")


@PROTOCOLS
@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost@evil", "[::2]"]
)
def test_a_page_that_rebinds_its_name_is_refused_even_with_the_token(
    served: Served, protocol: Caller, host: str
) -> None:
    denied = expected("PERMISSION_DENIED", "PERMISSION_DENIED")
    assert codes(served, protocol, False, RIGHT, host) == denied


@PROTOCOLS
@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1:8789", "127.8.8.8", "[::1]:1"]
)
def test_loopback_names_are_hosts(served: Served, protocol: Caller, host: str) -> None:
    assert codes(served, protocol, False, RIGHT, host) == expected("OK")


@PROTOCOLS
def test_allowed_hosts_are_hosts(tmp_path: Path, protocol: Caller) -> None:
    with serve(tmp_path, allowed_hosts=("relay.example", "other.example:99")) as served:
        for host in ("relay.example", "Relay.Example.:8789", "other.example"):
            assert codes(served, protocol, False, RIGHT, host) == expected("OK"), host


@PROTOCOLS
@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost", "", "x"])
def test_pages_of_other_sites_are_refused_even_with_the_token(
    served: Served, protocol: Caller, origin: str
) -> None:
    metadata = (*RIGHT, ("origin", origin))
    denied = expected("PERMISSION_DENIED", "PERMISSION_DENIED")
    assert codes(served, protocol, False, metadata, "127.0.0.1:8789") == denied


@PROTOCOLS
def test_a_page_of_the_relay_itself_may_call(served: Served, protocol: Caller) -> None:
    metadata = (*RIGHT, ("origin", "http://localhost:8789"))
    assert codes(served, protocol, False, metadata, "localhost:8789") == expected("OK")
    metadata = (*RIGHT, ("origin", "https://localhost:8789"))  # there is no TLS here
    assert "OK" not in codes(served, protocol, False, metadata, "localhost:8789").values()


@PROTOCOLS
def test_a_method_that_the_table_does_not_name_is_denied(
    served: Served, protocol: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(RIGHTS, "/ccrelay.v1.Relay/Stop")
    for unix in (True, False):
        with protocol(served, unix=unix) as caller:
            code = caller.call("/ccrelay.v1.Relay/Stop", metadata=RIGHT).code
            assert code == "PERMISSION_DENIED"
            code = caller.call("/ccrelay.v1.Relay/None", metadata=RIGHT).code
            assert code == "UNIMPLEMENTED"
            assert caller.call("/other.Service/None", metadata=RIGHT).code == "UNIMPLEMENTED"
    with protocol(served, unix=False) as caller:
        assert caller.call("/ccrelay.v1.Relay/None").code == "UNAUTHENTICATED"


@PROTOCOLS
def test_another_user_is_shut_out(
    served: Served, protocol: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "peer_uid", lambda sock: 12345)
    with Raw(served, unix=True) as raw:
        assert raw.all() == b""
    with protocol(served, unix=True) as caller:
        try:
            assert caller.call(CCRELAY[0]).code == "UNAVAILABLE"
        except (http.client.RemoteDisconnected, ConnectionError):
            assert protocol is Web
    told = [(level, fields["why"]) for level, _, fields in served.log.events]
    assert ("warning", "foreign_user") in told
    assert served.connections() == 0


def test_an_unknown_user_is_shut_out(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "peer_uid", lambda sock: -1)
    with Raw(served, unix=True) as raw:
        assert raw.all() == b""


# ---- reflection and health


def reflected(caller: Native, metadata: Metadata = ()) -> tuple[str, list[str]]:
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    result = caller.call(REFLECTION, request.SerializeToString(), metadata)
    answers = [reflection_pb2.ServerReflectionResponse.FromString(data) for data in result.answers]
    return result.code, [each.name for a in answers for each in a.list_services_response.service]


def test_reflection_needs_the_token_and_tells_all_services(served: Served) -> None:
    names = {path.split("/")[1] for path in (*CCRELAY, *HEALTH, REFLECTION)}
    with Native(served, unix=True) as caller:
        code, services = reflected(caller)
        assert (code, set(services)) == ("OK", names)
    with Native(served, unix=False) as caller:
        assert reflected(caller) == ("UNAUTHENTICATED", [])
        assert reflected(caller, WRONG) == ("UNAUTHENTICATED", [])
        assert set(reflected(caller, RIGHT)[1]) == names
        symbol = reflection_pb2.ServerReflectionRequest(file_containing_symbol="ccrelay.v1.Relay")
        result = caller.call(REFLECTION, symbol.SerializeToString(), RIGHT)
        assert b"GetStatus" in result.answers[0]
    with Native(served, unix=False, authority="evil.example") as caller:
        assert reflected(caller, RIGHT) == ("PERMISSION_DENIED", [])


@PROTOCOLS
def test_health_needs_no_token(served: Served, protocol: Caller) -> None:
    request = health_pb2.HealthCheckRequest(service="ccrelay.v1.Relay").SerializeToString()
    none = health_pb2.HealthCheckRequest(service="no.Such").SerializeToString()
    with protocol(served, unix=False) as caller:
        result = caller.call(HEALTH[0], request)
        answer = health_pb2.HealthCheckResponse.FromString(result.answers[0])
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        assert caller.call(HEALTH[0], none).code == "NOT_FOUND"
        watched = caller.call("/grpc.health.v1.Health/Watch", request, timeout_s=0.3)
        assert (watched.code, len(watched.answers)) == ("DEADLINE_EXCEEDED", 1)


# ---- HTTP paths


def get(
    served: Served, path: str, headers: dict[str, str] | None = None, method: str = "GET"
) -> tuple[int, str]:
    caller = Web(served, unix=False)
    with caller:
        caller.http.request(method, path, headers=headers or {})
        response = caller.http.getresponse()
        assert not {name.lower() for name in response.headers} & {"access-control-allow-origin"}
        return response.status, response.read().decode()


def test_http_paths_are_under_the_same_guard(served: Served) -> None:
    right = {"authorization": RIGHT[0][1]}
    assert get(served, "/healthz") == (200, "ok\n")
    assert get(served, "/metrics", right) == (200, "up 1\n")
    assert get(served, "/metrics")[0] == 401
    assert get(served, "/metrics", {"authorization": WRONG[0][1]})[0] == 401
    assert get(served, "/metrics?token=" + RIGHT[0][1][7:])[0] == 401
    for path in ("/healthz", "/metrics"):
        assert get(served, path, right | {"host": "evil.example"})[0] == 403
        assert get(served, path, right | {"origin": "https://evil.example"})[0] == 403
        assert get(served, path, right | {"sec-fetch-site": "cross-site"})[0] == 403
        assert get(served, path, right | {"origin": "https://evil.example"}, "OPTIONS")[0] == 403
        assert get(served, path, right, "OPTIONS")[0] == 405
        assert get(served, path, right, "DELETE")[0] == 405
    assert get(served, "/none", right)[0] == 404
    assert get(served, "/none")[0] == 401
    assert get(served, "/metrics/", right)[0] == 404
    assert get(served, "//metrics", right)[0] == 404
    assert get(served, CCRELAY[0], right)[0] == 415


def test_a_route_that_the_table_does_not_name_is_denied(tmp_path: Path) -> None:
    async def secret(_: object) -> None:
        raise AssertionError

    with serve(tmp_path, routes={"/secret": secret}) as served:
        assert get(served, "/secret", {"authorization": RIGHT[0][1]})[0] == 404


def test_head_is_get_without_a_body(served: Served) -> None:
    assert get(served, "/healthz", method="HEAD") == (200, "")


def test_the_unix_door_serves_paths_too(served: Served) -> None:
    with Web(served, unix=True) as caller:
        for _ in range(2):
            caller.http.request("GET", "/metrics")
            assert caller.http.getresponse().read() == b"up 1\n"


def test_wrong_tokens_are_answered_later_and_later(tmp_path: Path) -> None:
    import time

    with serve(tmp_path) as served, Web(served, unix=False) as caller:
        took = []
        for metadata in (WRONG, WRONG, RIGHT):
            began = time.monotonic()
            caller.call(CCRELAY[0], metadata=metadata)
            took.append(time.monotonic() - began)
        assert took[0] >= 0.1
        assert took[1] >= 0.2
        assert took[2] < 0.1


def test_nothing_of_a_token_is_logged(served: Served) -> None:
    for protocol in (Native, Web):
        codes(served, protocol, False, WRONG)
        codes(served, protocol, False, RIGHT)
    text = repr(served.log.events)
    assert "wrong_token" in text
    assert "xxxx" not in text
    assert "tttt" not in text
    assert "tttt" not in repr(next(iter(served.server._doors[1]), "")) + repr(served.server)
