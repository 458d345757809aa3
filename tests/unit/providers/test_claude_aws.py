from ccrelay.providers.base import Outgoing
from ccrelay.types import RequestClass
from tests.unit.providers.clouds import cloud


def test_the_workspace_is_sent_with_every_request() -> None:
    for kind in (RequestClass.MESSAGES, RequestClass.COUNT_TOKENS):
        body = b'{"model":"m","max_tokens":7,"messages":[]}'
        bridged = cloud("aws_platform").bridge(Outgoing(body, "claude-opus-5-5", kind, False))
        assert (b"anthropic-workspace-id", b"wrkspc_test1") in bridged.lines


def test_its_limits_are_those_of_a_key_as_anthropics_are() -> None:
    fault = cloud("aws_platform").read_error(
        429, b'{"type":"error","error":{"type":"rate_limit_error","message":"m"}}'
    )
    assert (fault.status, fault.per_model) == (429, False)
