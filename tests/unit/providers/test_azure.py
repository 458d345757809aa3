from ccrelay.providers.base import Outgoing
from ccrelay.types import RequestClass
from tests.unit.providers.clouds import calls, cloud


def test_a_key_goes_to_the_gateway_and_to_the_api_as_the_sdk_sends_it() -> None:
    theirs = calls()["foundry.key.create"]["requests"][0]["headers"]
    lines = dict(cloud("foundry").credential_lines("test-key-1"))
    assert {name.decode(): value.decode() for name, value in lines.items()} == {
        name: theirs[name] for name in ("x-api-key", "api-key")
    }


def test_the_model_is_the_deployment() -> None:
    body = b'{"model":"claude-opus-5-5","max_tokens":7,"messages":[]}'
    bridged = cloud("foundry").bridge(Outgoing(body, "my-opus", RequestClass.MESSAGES, True))
    assert b'"model":"my-opus"' in bridged.body
