import pytest

from ccrelay.control.methods import Service, methods_of
from ccrelay.v1 import relay_pb2, relay_pb2_grpc

RELAY = Service(
    "ccrelay.v1.Relay",
    relay_pb2_grpc.RelayServicer(),
    relay_pb2_grpc.add_RelayServicer_to_server,
)


def test_methods_are_those_of_the_schema() -> None:
    methods = methods_of([RELAY])
    service = relay_pb2.DESCRIPTOR.services_by_name["Relay"]
    assert list(methods) == [f"/ccrelay.v1.Relay/{method.name}" for method in service.methods]
    for method in service.methods:
        found = methods[f"/ccrelay.v1.Relay/{method.name}"]
        assert (found.takes_stream, found.gives_stream) == (False, method.server_streaming)
        assert found.behaviour == getattr(RELAY.servicer, method.name)
        assert type(found.parse(b"")).DESCRIPTOR.full_name == method.input_type.full_name
    level = relay_pb2.SetLogLevelResponse(previous="info")
    assert methods["/ccrelay.v1.Relay/SetLogLevel"].serialize(level) == level.SerializeToString()


def test_a_service_under_another_name_is_a_mistake() -> None:
    with pytest.raises(ValueError, match=r"ccrelay\.v1\.Usage"):
        methods_of([RELAY._replace(name="ccrelay.v1.Usage")])


def test_a_service_that_is_there_twice_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="twice"):
        methods_of([RELAY, RELAY])
