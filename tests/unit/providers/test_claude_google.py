from ccrelay.providers.base import Outgoing
from ccrelay.types import RequestClass
from tests.unit.providers.clouds import calls, cloud


def test_the_path_is_below_the_workspace() -> None:
    dialect = cloud("google_cloud")
    body = b'{"model":"m","max_tokens":7,"messages":[]}'
    bridged = dialect.bridge(Outgoing(body, "claude-opus-5-5", RequestClass.MESSAGES, True))
    target = calls()["google_cloud.token.stream"]["requests"][0]["target"]
    assert (dialect.prefix() + bridged.path).decode() == target
