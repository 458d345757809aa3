"""What the dialects send, against what the official clients sent to each cloud (corpus)."""

import json
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from ccrelay.config.model import Credential, Key
from ccrelay.errors import BadRequest, CannotServe
from ccrelay.providers.base import Outgoing
from ccrelay.providers.cloud import CloudDialect
from ccrelay.types import RequestClass
from ccrelay.wire.cloud_credential import AwsKeys, BearerToken
from tests.unit.providers.clouds import CLOUDS, MODES, calls, cli_targets, cloud

MESSAGES = RequestClass.MESSAGES
COUNT = RequestClass.COUNT_TOKENS
BODY = b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"hi"}]}'
BETA = "interleaved-thinking-2025-05-14"


def outgoing(
    body: bytes = BODY,
    model: str = "claude-opus-5-5",
    kind: RequestClass = MESSAGES,
    stream: bool = False,
    betas: tuple[str, ...] = (),
) -> Outgoing:
    return Outgoing(body, model, kind, stream, b"2023-06-01", betas)


def lines_of(dialect: CloudDialect, **request: Any) -> dict[bytes, bytes]:
    lines = dialect.bridge(outgoing(**request)).lines
    assert len(dict(lines)) == len(lines), "no field twice"
    return dict(lines)


# ---- the official SDK

_FORMS = ("create", "stream", "beta_create", "beta_stream", "count_tokens", "beta_count_tokens")
_AUTHS = {
    "bedrock_invoke": "sigv4",
    "bedrock_messages": "key",
    "bedrock_mantle": "sigv4",
    "aws_platform": "sigv4",
    "vertex": "token",
    "google_cloud": "token",
    "foundry": "key",
}


@pytest.mark.parametrize("form", _FORMS)
@pytest.mark.parametrize("name", CLOUDS)
def test_the_path_and_the_fields_are_those_of_the_official_sdk(name: str, form: str) -> None:
    record = calls()[f"{name}.{_AUTHS[name]}.{form}"]
    first = calls()[f"first_party.key.{form}"]["requests"][0]
    if not record["requests"]:
        return  # the SDK cannot; Claude Code's form is tested below
    theirs = record["requests"][0]
    body = json.loads(theirs["body"])
    model = body.get("model") or theirs["target"].rpartition("/")[2].partition(":raw")[0]
    if name == "bedrock_invoke":
        model = theirs["target"].split("/")[2]
    elif "model" not in body:
        model = theirs["target"].rpartition("/")[2].rpartition(":")[0]
    told = first["headers"].get("anthropic-beta", "").split(",")
    betas = tuple(dict.fromkeys(beta for beta in told if beta))
    dialect = cloud(name)
    ours = dialect.bridge(
        Outgoing(
            first["body"].encode(),
            model,
            COUNT if "count" in form else MESSAGES,
            "stream" in form,
            b"2023-06-01",
            betas,
        )
    )
    path = (dialect.prefix() + ours.path).decode().partition("?")[0]
    assert path == theirs["target"].partition("?")[0]
    credentials = {"authorization", "x-amz-date", "x-api-key", "api-key"}
    # Betas that a surface does not take are left out, and may be all.
    wanted = set(theirs["headers"]) - credentials - {"anthropic-beta"}
    assert {line[0].decode() for line in ours.lines} - {"anthropic-beta"} == wanted
    sent = json.loads(ours.body)
    assert set(sent) - {"anthropic_beta"} <= set(body) | {"max_tokens"}
    assert sent.get("model") == body.get("model")
    assert sent["messages"] == body["messages"]
    assert sent.get("stream") == body.get("stream")


# ---- Claude Code


@pytest.mark.parametrize("row", cli_targets(), ids=lambda row: f"{row['mode']}{row['target']}")
def test_the_target_and_the_fields_are_those_of_claude_code(row: dict[str, Any]) -> None:
    name = MODES.get(row["mode"], row["mode"])
    url = urlsplit(row["target"])
    counts = "count" in url.path
    segment = url.path.rpartition("/models/")[2] or url.path
    model = row["model"] or (
        url.path.split("/")[2] if name == "bedrock_invoke" else segment.rpartition(":")[0]
    )
    stream = "tream" in url.path or name not in ("bedrock_invoke", "vertex")
    betas = ("claude-code-20250219",) if "anthropic-beta" in row["headers"] or counts else ()
    dialect = cloud(name)
    ours = dialect.bridge(
        outgoing(
            model=unquote(model), kind=COUNT if counts else MESSAGES, stream=stream, betas=betas
        )
    )
    mine, theirs = (dialect.prefix() + ours.path).decode(), row["target"]
    # AWS's own client escapes the colon, Claude Code does not; both verify.
    assert mine == theirs.replace("%3A", ":") or (
        not ours.path.endswith(b"beta=true") and mine == theirs.partition("?")[0]
    )
    wanted = set(row["headers"]) - {"authorization", "x-api-key", "x-amzn-bedrock-service-tier"}
    if name in ("bedrock_invoke", "vertex"):
        wanted -= {"anthropic-version"}  # the body has it; the SDK drops the field, too
    extra = {"accept"} if name == "bedrock_invoke" and counts else set()
    assert {line[0].decode() for line in ours.lines} == wanted | extra or not ours.left_out


def test_the_query_is_sent_with_betas_where_the_surface_is_anthropics_own() -> None:
    for name in CLOUDS:
        has_query = b"?beta=true" in cloud(name).bridge(outgoing(betas=(BETA,))).path
        is_there = dict(cloud(name).bridge(outgoing(betas=(BETA,))).lines).get(b"anthropic-beta")
        takes = name not in ("bedrock_invoke", "bedrock_messages", "vertex")
        assert has_query is (takes and is_there is not None)
        assert b"?" not in cloud(name).bridge(outgoing()).path


# ---- lines


@pytest.mark.parametrize("name", CLOUDS)
def test_fields_that_the_relay_writes_are_dropped_from_the_clients(name: str) -> None:
    dialect = cloud(name)
    written = {line[0] for line in dialect.bridge(outgoing(betas=(BETA,))).lines}
    assert written <= dialect.drop_names
    assert {b"anthropic-workspace-id", b"anthropic-beta"} <= dialect.drop_names


def test_static_headers_of_the_configuration_come_before_those_of_the_dialect() -> None:
    dialect = cloud("bedrock_mantle", headers={"Accept": "a/b", "X-Amzn-Bedrock-Trace": "ENABLED"})
    bridged = dialect.bridge(outgoing())
    assert b"accept" not in dict(bridged.lines)
    assert dialect.signed_lines(bridged.lines)[-2:] == [
        (b"accept", b"a/b"),
        (b"x-amzn-bedrock-trace", b"ENABLED"),
    ]


def test_betas_that_the_configuration_drops_are_not_sent() -> None:
    betas = (BETA, "context-1m-2025-08-07")
    sent = lines_of(cloud("foundry", drop_betas=[BETA]), betas=betas)[b"anthropic-beta"]
    assert sent == b"context-1m-2025-08-07"
    assert b"anthropic-beta" not in lines_of(cloud("foundry", drop_betas=["*"]), betas=betas)


@pytest.mark.parametrize("beta", ["a\r\nx-evil: 1", "a b", "caf\u00e9", "", "x" * 201, 'a"b'])
def test_a_beta_that_is_no_token_is_left_out(beta: str) -> None:
    sent = lines_of(cloud("foundry"), betas=(beta, BETA))[b"anthropic-beta"]
    assert sent == BETA.encode()


@pytest.mark.parametrize("name", CLOUDS)
@pytest.mark.parametrize("version", [b"", b"2023-06-01\r\nx: y", b"latest", b"\xff", b"2026-10-21"])
def test_a_version_is_a_date_or_the_default(name: str, version: bytes) -> None:
    request = outgoing()
    request.version = version
    try:
        sent = dict(cloud(name).bridge(request).lines).get(b"anthropic-version", b"2023-06-01")
    except BadRequest:
        return
    assert sent in (b"2023-06-01", b"2026-10-21")


def test_a_body_that_is_no_object_is_the_clients_fault() -> None:
    for name in CLOUDS:
        with pytest.raises(BadRequest):
            cloud(name).bridge(outgoing(body=b"[1]"))


# ---- credentials

KEYS = {
    "bedrock_invoke": [(b"authorization", b"Bearer test-key-1")],
    "bedrock_messages": [(b"authorization", b"Bearer test-key-1")],
    "bedrock_mantle": [(b"authorization", b"Bearer test-key-1")],
    "aws_platform": [(b"x-api-key", b"test-key-1")],
    "vertex": [(b"authorization", b"Bearer test-key-1")],
    "google_cloud": [(b"authorization", b"Bearer test-key-1")],
    "foundry": [(b"x-api-key", b"test-key-1"), (b"api-key", b"test-key-1")],
}


@pytest.mark.parametrize(("name", "lines"), KEYS.items())
def test_an_api_key_goes_into_the_fields_of_the_cloud(
    name: str, lines: list[tuple[bytes, bytes]]
) -> None:
    assert cloud(name).credential_lines("test-key-1") == lines
    assert cloud(name, auth="none").credential_lines("test-key-1") == []


@pytest.mark.parametrize("name", CLOUDS)
@pytest.mark.parametrize("key", [None, "", "credential:{}", 'credential:{"profile":"a"}'])
def test_the_identity_of_a_credential_is_never_sent(name: str, key: str | None) -> None:
    assert cloud(name).credential_lines(key) == []


@pytest.mark.parametrize("name", CLOUDS)
def test_an_issued_token_is_a_bearer_and_aws_keys_sign(name: str) -> None:
    dialect = cloud(name)
    assert dialect.secret_lines(AwsKeys("AKIDEXAMPLE", "test-secret-1")) == []
    assert dialect.secret_lines(BearerToken("test-token-1")) == [
        (b"authorization", b"Bearer test-token-1")
    ]
    assert dialect.secret_lines(BearerToken("test-token-1", "proj"))[1:] == [
        (b"x-goog-user-project", b"proj")
    ]


@pytest.mark.parametrize("secret", ["a\r\nb", "caf\u00e9", "a\x00b"])
def test_a_secret_that_is_no_header_is_refused_and_not_shown(secret: str) -> None:
    dialect = cloud("vertex")
    for send in (
        lambda: dialect.credential_lines(secret),
        lambda: dialect.secret_lines(BearerToken(secret)),
        lambda: dialect.secret_lines(BearerToken("t", secret)),
    ):
        with pytest.raises(ValueError, match="not allowed in headers") as caught:
            send()
        assert secret not in str(caught.value)


def test_what_is_signed_for() -> None:
    services = {name: (cloud(name).sigv4_service, cloud(name).sigv4_region) for name in CLOUDS}
    assert services == {
        "bedrock_invoke": ("bedrock", "us-east-1"),
        "bedrock_messages": ("bedrock", "us-east-1"),
        "bedrock_mantle": ("bedrock-mantle", "us-east-1"),
        "aws_platform": ("aws-external-anthropic", "us-east-1"),
        "vertex": ("", ""),
        "google_cloud": ("", ""),
        "foundry": ("", ""),
    }
    for name, (service, region) in services.items():
        for auth in ("sigv4", "key"):
            found = calls().get(f"{name}.{auth}.create", {"requests": []})["requests"]
            scope = found[0]["headers"].get("authorization", "") if found else ""
            if scope.startswith("AWS4"):
                assert scope.endswith(f"/{region}/{service}/aws4_request")


def test_what_is_signed_is_what_the_dialect_writes() -> None:
    dialect = cloud("bedrock_invoke")
    lines = dialect.bridge(outgoing()).lines
    assert dialect.signed_lines(lines) == lines


def test_the_bytes_that_each_cloud_takes() -> None:
    assert {name: cloud(name).payload_bytes_max for name in CLOUDS} == {
        "bedrock_invoke": 20_000_000,
        "bedrock_messages": 20_000_000,
        "bedrock_mantle": 25_000_000,
        "aws_platform": 33_554_432,
        "vertex": 30_000_000,
        "google_cloud": 33_554_432,
        "foundry": 33_554_432,
    }


def test_a_dialect_shows_no_secret() -> None:
    keys = [Key(key="test-key-1"), Key(credential=Credential(client_secret="test-secret-1"))]
    for name in CLOUDS:
        shown = repr(cloud(name, keys=keys)) + str(vars(cloud(name, keys=keys)))
        assert "test-key-1" not in shown
        assert "test-secret-1" not in shown


def test_no_model_of_a_client_leaves_its_place_in_the_path() -> None:
    for name in ("bedrock_invoke", "vertex"):
        for model in ("..", "../x", "a/../b", ".", "", "a?b", "a#b", "a%2Fb", "a b", "a\r\nb"):
            with pytest.raises(CannotServe, match="no model id"):
                cloud(name).bridge(outgoing(model=model))
