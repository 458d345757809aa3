from urllib.parse import unquote

import pytest
from hypothesis import given, strategies as st

from ccrelay.errors import CannotServe
from ccrelay.providers.cloud_paths import quoted_model, quoted_name

ARN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123def456"


@pytest.mark.parametrize(
    ("model", "quoted"),
    [
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0",) * 2,
        (ARN, ARN.replace("/", "%2F")),
        ("claude-sonnet-4-5@20250929", "claude-sonnet-4-5%4020250929"),
        ("anthropic.claude-opus-4-6-v1",) * 2,
        ("a+b=c", "a%2Bb%3Dc"),
        ("modell-\u00e4", "modell-%C3%A4"),
    ],
)
def test_an_id_is_quoted_as_the_sdk_quotes_it(model: str, quoted: str) -> None:
    assert quoted_model(model, ":") == quoted
    assert quoted_model(model, ":@") == quoted.replace("%40", "@")


@pytest.mark.parametrize(
    "model",
    [
        *("", ".", "..", "../x", "x/..", "a/../b", "a/./b", "a b", "a\tb", "a\nb", "a\x00"),
        *("a?b", "a#b", "a%2e", "a;b", "a\\b", "x" * 2049, "\ud800", "\U0001f600"),
    ],
)
def test_what_is_no_id_is_for_another_provider(model: str) -> None:
    with pytest.raises(CannotServe, match="no model id of a cloud"):
        quoted_model(model, ":@")


@given(st.text(max_size=60))
def test_any_id_is_one_segment_or_refused(model: str) -> None:
    try:
        quoted = quoted_model(model, ":@")
    except CannotServe:
        return
    assert quoted.isascii()
    assert not set(quoted) & set("/?#\\ ")
    assert unquote(quoted) == model


@pytest.mark.parametrize("name", ["", "..", "a/../b", "a b", "a?b"])
def test_a_name_that_is_none_is_an_error_of_the_configuration(name: str) -> None:
    with pytest.raises(ValueError, match="no name of a project"):
        quoted_name(name)


def test_a_project_of_a_domain_keeps_its_colon() -> None:
    assert quoted_name("example.com:project") == "example.com:project"
