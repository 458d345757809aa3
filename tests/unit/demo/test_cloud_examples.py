import pytest
import yaml

from ccrelay.demo.cloud import DIALECTS, Cloud
from ccrelay.demo.cloud_examples import cloud_examples

URL = "http://127.0.0.1:8788"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_has_an_example(dialect):
    shown = cloud_examples(Cloud(dialect=dialect), URL)
    (provider,) = yaml.safe_load(shown.config)["providers"]
    assert provider["name"] == dialect
    assert provider["base_url"].startswith(URL)
    assert URL in shown.client
    assert f"_{URL}" not in shown.client, "the name of a variable is no place for it"
    assert shown.environment or provider["keys"] == [{"key": "test-key-1"}]
    assert "@" not in shown.environment


def test_google_is_asked_for_a_token_at_the_mock():
    shown = cloud_examples(Cloud(dialect="vertex"), URL)
    assert "GCE_METADATA_HOST=127.0.0.1:8788" in shown.environment
