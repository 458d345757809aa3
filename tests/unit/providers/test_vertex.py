import pytest

from ccrelay.providers.base import Outgoing
from ccrelay.types import RequestClass
from tests.unit.providers.clouds import cloud

BODY = b'{"model":"m","max_tokens":7,"messages":[]}'
MODELS = b"/v1/projects/test-project-1/locations/global/publishers/anthropic/models/"


@pytest.mark.parametrize("end", ["", "/v1", "/v1/"])
def test_a_base_url_may_end_in_the_version(end: str) -> None:
    dialect = cloud("vertex", base_url="https://x.example" + end)
    bridged = dialect.bridge(Outgoing(BODY, "claude-opus-5-5", RequestClass.MESSAGES, True))
    assert dialect.prefix() + bridged.path == MODELS + b"claude-opus-5-5:streamRawPredict"


def test_the_location_is_that_of_the_configuration_or_global() -> None:
    request = Outgoing(BODY, "m", RequestClass.COUNT_TOKENS, False)
    assert b"/locations/global/" in cloud("vertex", location=None).bridge(request).path
    path = cloud("vertex", location="europe-west1").bridge(request).path
    assert path == MODELS.replace(b"global", b"europe-west1") + b"count-tokens:rawPredict"


@pytest.mark.parametrize("project", [None, "", "a/../b", ".."])
def test_a_project_that_is_none_is_refused(project: str | None) -> None:
    with pytest.raises(ValueError, match="project or location"):
        cloud("vertex", project=project)
