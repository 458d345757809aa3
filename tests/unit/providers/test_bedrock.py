import json
from base64 import b64decode

import pytest

from ccrelay.errors import CannotServe
from ccrelay.providers.base import Outgoing
from ccrelay.providers.bedrock import BedrockDialect, BedrockInvokeDialect, base_model
from ccrelay.types import RequestClass
from tests.unit.providers.clouds import calls, cloud

COUNT = RequestClass.COUNT_TOKENS
BODY = b'{"model":"m","max_tokens":7,"messages":[{"role":"user","content":"hi"}]}'


def test_each_api_has_its_dialect_and_mantle_is_the_default() -> None:
    assert isinstance(cloud("bedrock_invoke"), BedrockInvokeDialect)
    assert cloud("bedrock_messages").surface == "bedrock-messages"
    assert cloud("bedrock_mantle").surface == "mantle"
    assert isinstance(cloud("bedrock_mantle", api=None), BedrockDialect)


def test_the_path_of_messages_may_begin_in_the_base_url() -> None:
    request = Outgoing(BODY, "m", RequestClass.MESSAGES, False)
    for base in ("", "/anthropic", "/g/anthropic"):
        dialect = cloud("bedrock_messages", base_url="https://x.example" + base)
        path = dialect.prefix() + dialect.bridge(request).path
        assert path.endswith(b"/anthropic/v1/messages")
        assert path.count(b"anthropic") == 1


def test_a_workspace_is_named_where_the_configuration_has_one() -> None:
    lines = cloud("bedrock_mantle", workspace="wrkspc_test1")
    bridged = lines.bridge(Outgoing(BODY, "m", RequestClass.MESSAGES, False))
    assert (b"anthropic-workspace-id", b"wrkspc_test1") in bridged.lines


@pytest.mark.parametrize(
    ("model", "base"),
    [
        ("us.anthropic.claude-opus-5-5", "anthropic.claude-opus-5-5"),
        ("us-gov.anthropic.claude-haiku-4-5-x-v1:0", "anthropic.claude-haiku-4-5-x-v1:0"),
        ("global.anthropic.claude-haiku-5-5", "anthropic.claude-haiku-5-5"),
        ("anthropic.claude-opus-4-6-v1",) * 2,
        ("claude.x",) * 2,
        ("us.claude",) * 2,
        ("arn:aws:bedrock:us-east-1::foundation-model/anthropic.x", "anthropic.x"),
        ("arn:aws-cn:bedrock:r:123456789012:inference-profile/apac.anthropic.x", "anthropic.x"),
    ],
)
def test_counting_asks_for_the_base_id(model: str, base: str) -> None:
    assert base_model(model) == base


@pytest.mark.parametrize("kind", ["application-inference-profile", "provisioned-model", "x"])
def test_an_arn_that_names_no_model_counts_nothing(kind: str) -> None:
    with pytest.raises(CannotServe, match=f"is of '{kind}'"):
        base_model(f"arn:aws:bedrock:us-east-1:123456789012:{kind}/abc")


def test_a_count_is_wrapped_as_botocore_wraps_it() -> None:
    bridged = cloud("bedrock_invoke").bridge(
        Outgoing(BODY, "us.anthropic.claude-sonnet-4-5-20250929-v1:0", COUNT, False)
    )
    theirs = calls()["botocore.count_tokens.sigv4"]["requests"][0]
    assert bridged.path.decode() == theirs["target"].replace("%3A", ":")
    ours, wanted = json.loads(bridged.body), json.loads(theirs["body"])
    assert list(ours["input"]) == ["invokeModel"]
    inner = json.loads(b64decode(ours["input"]["invokeModel"]["body"], validate=True))
    wanted = json.loads(b64decode(wanted["input"]["invokeModel"]["body"]))
    assert set(inner) == set(wanted)
    assert inner["anthropic_version"] == wanted["anthropic_version"]


def test_a_count_is_answered_in_anthropics_form() -> None:
    dialect = cloud("bedrock_invoke")
    answer = dialect.translate_answer(COUNT, b' {"inputTokens": 12, "more": [1]}\n')
    assert answer == b'{"input_tokens":12}'
    assert dialect.translate_answer(RequestClass.MESSAGES, b'{"inputTokens":1}') is None
    assert cloud("bedrock_mantle").translate_answer(COUNT, b'{"input_tokens":1}') is None


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{}", b"[]", b"null", b"[", b"\xff", b'{"inputTokens":"1"}', b'{"inputTokens":-1}'),
        *(b'{"inputTokens":1e99}', b'{"inputTokens":99999999999999999999}'),
        b'{"inputTokens":true}',
    ],
)
def test_what_is_no_count_is_an_error(body: bytes) -> None:
    with pytest.raises(ValueError, match="count of tokens"):
        cloud("bedrock_invoke").translate_answer(COUNT, body)


@pytest.mark.parametrize(
    ("media_type", "decodes"),
    [
        (b"application/vnd.amazon.eventstream", True),
        (b"Application/VND.amazon.eventstream; charset=utf-8", True),
        (b"application/json", False),
        (b"text/event-stream", False),
        (None, False),
        (b"", False),
    ],
)
def test_frames_are_decoded_by_their_media_type(media_type: bytes | None, decodes: bool) -> None:
    head = {b"content-type": media_type}
    decoder = cloud("bedrock_invoke").stream_decoder(head.get)
    assert (decoder is not None) is decodes
    assert cloud("bedrock_mantle").stream_decoder(head.get) is None


def test_messages_on_the_runtime_counts_no_tokens() -> None:
    assert cloud("bedrock_messages").counts_tokens == "estimate"
    assert cloud("bedrock_mantle").counts_tokens == "forward"
