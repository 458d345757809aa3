"""What is told of clouds that are configured wrongly."""

import pytest

from ccrelay.config.check import check
from ccrelay.config.cloud import needs_credential
from ccrelay.config.model import Config, Credential, Key, Provider

BEDROCK = {"type": "bedrock", "region": "us-east-1"}
VERTEX = {"type": "vertex", "project": "test-project-1"}
AZURE = {"type": "azure", "resource": "my-resource"}
ROLE = "arn:aws:iam::111122223333:role/claude"


def told(**members: object) -> list[str]:
    problems = check(Config(providers=[Provider(name="p", **members)]))
    return [f"{p.severity}: {str(p).partition('providers[0].')[2]}" for p in problems]


@pytest.mark.parametrize(
    "members",
    [
        BEDROCK,
        BEDROCK | {"api": "invoke", "inference_profile": "global", "workspace": "wrkspc_test1"},
        BEDROCK | {"keys": [Key(key="test-key-1"), Key(credential=Credential(profile="dev"))]},
        {"type": "claude-aws", "region": "eu-west-1", "workspace": "wrkspc_test1"},
        VERTEX,
        VERTEX | {"base_url": "https://us-east5-aiplatform.googleapis.com/v1"},
        {"type": "claude-google", "project": "p-1", "workspace": "wrkspc_test1"},
        {"type": "claude-google", "base_url": "https://claude.example/invoke"},
        AZURE,
        {"type": "azure", "base_url": "https://gateway.example/anthropic"},
        BEDROCK | {"base_url": "http://127.0.0.1:8080"},
    ],
)
def test_nothing_is_told_of_a_cloud_that_is_complete(members):
    assert told(**members) == []


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (
            {"type": "bedrock"},
            "region: type bedrock requires a region, here or as AWS_REGION or AWS_DEFAULT_REGION",
        ),
        (
            {"type": "claude-aws", "region": "us-east-1"},
            "workspace: type claude-aws requires a workspace",
        ),
        (
            {"type": "vertex"},
            "project: type vertex requires a project, here or as ANTHROPIC_VERTEX_PROJECT_ID or "
            "GOOGLE_CLOUD_PROJECT",
        ),
        (
            {"type": "claude-google", "project": "p-1"},
            "workspace: type claude-google requires a workspace; or a base_url",
        ),
        ({"type": "azure"}, "resource: type azure requires a resource; or a base_url"),
        (
            AZURE | {"base_url": "https://gateway.example"},
            "base_url: give resource or base_url, not both",
        ),
        (
            AZURE | {"resource": "my-resource.services.ai.azure.com"},
            "resource: the name only: what stands before .services.ai.azure.com, got "
            '"my-resource.services.ai.azure.com"',
        ),
        (
            BEDROCK | {"region": "us-east-1.evil.example/"},
            'region: not a region: write it like us-east-1, got "us-east-1.evil.example/"',
        ),
        (
            VERTEX | {"location": "../x"},
            'location: not a location: write it like global, us, eu or europe-west1, got "../x"',
        ),
        (BEDROCK | {"auth": "bearer"}, "auth: type bedrock has an auth of its own: remove it"),
        (
            BEDROCK | {"base_url": "http://bedrock.example.com"},
            "base_url: plain http to a public host: credentials and prompts would travel "
            "unencrypted",
        ),
        (
            BEDROCK | {"base_url": "https://x.example/v1"},
            'base_url: must be the URL before /v1/messages: remove "/v1"',
        ),
        (
            VERTEX | {"base_url": "https://x.example/v1/messages"},
            'base_url: must be the URL before /v1/messages: remove "/v1/messages"',
        ),
        (
            {"type": "zai", "keys": [Key(key="test-key-1")], "region": "us-east-1"},
            "region: region requires type bedrock or claude-aws, not zai",
        ),
        (BEDROCK | {"resource": "x"}, "resource: resource requires type azure, not bedrock"),
        (AZURE | {"api": "invoke"}, "api: api requires type bedrock, not azure"),
    ],
)
def test_what_is_missing_or_does_not_belong_is_an_error(members, message):
    assert f"error: {message}" in told(**members)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (
            VERTEX | {"keys": [Key(key="test-key-1")]},
            "keys[0].key: type vertex takes no API keys: use credential",
        ),
        (
            BEDROCK | {"keys": [Key(key="test-key-1", credential=Credential())]},
            "keys[0].credential: give key or credential, not both",
        ),
        (
            {"type": "zai", "keys": [Key(credential=Credential())]},
            "keys[0].credential: a credential requires type azure, bedrock, claude-aws, "
            "claude-google or vertex, not zai",
        ),
        (
            BEDROCK | {"keys": [Key(credential=Credential()), Key(credential=Credential())]},
            "keys[1].credential: duplicate of keys[0]: its limits would be counted twice; "
            "remove one",
        ),
    ],
)
def test_an_entry_has_a_key_or_a_fitting_credential(members, message):
    assert f"error: {message}" in told(**members)


@pytest.mark.parametrize(
    ("place", "members", "message"),
    [
        (BEDROCK, {"file": "/x.json"}, "file: file is not for AWS (type bedrock)"),
        (VERTEX, {"profile": "dev"}, "profile: profile is not for Google (type vertex)"),
        (AZURE, {"role_arn": ROLE}, "role_arn: role_arn is not for Azure (type azure)"),
        (
            AZURE,
            {"source": "container"},
            "source: container is no source of Azure: use certificate, cli, default, env, "
            "metadata, secret or workload",
        ),
        (
            BEDROCK,
            {"source": "env", "profile": "dev"},
            "profile: contradicts source: env; remove one of them",
        ),
        (
            AZURE,
            {"client_secret": "test-secret-1", "client_id": "c"},
            "tenant_id: client_secret requires a tenant_id",
        ),
        (
            AZURE,
            {"certificate_file": "/c.pem", "tenant_id": "t"},
            "client_id: certificate_file requires a client_id",
        ),
        (
            AZURE,
            {
                "certificate_file": "/c.pem",
                "client_secret": "test-secret-1",
                "tenant_id": "t",
                "client_id": "c",
            },
            "certificate_file: give client_secret or certificate_file, not both",
        ),
        (
            AZURE,
            {"client_secret": "test-secret-1\n", "tenant_id": "t", "client_id": "c"},
            "client_secret: the secret contains whitespace, perhaps a line break",
        ),
        (
            BEDROCK,
            {"role_arn": "claude"},
            "role_arn: must be the ARN of a role, arn:aws:iam::ACCOUNT:role/NAME",
        ),
        (BEDROCK, {"external_id": "x"}, "external_id: an external_id requires a role_arn"),
        (
            VERTEX,
            {"impersonate": "claude"},
            "impersonate: must be the e-mail address of a service account",
        ),
        (BEDROCK, {"profile": ""}, "profile: must not be empty or contain control characters"),
    ],
)
def test_members_of_a_credential_agree(place, members, message):
    found = told(**place, keys=[Key(credential=Credential(**members))])
    assert f"error: keys[0].credential.{message}" in found
    assert "test-secret-1" not in "".join(found)


@pytest.mark.parametrize(
    ("place", "members"),
    [
        (BEDROCK, {"source": "profile"}),
        (BEDROCK, {"source": "file"}),
        (VERTEX, {"source": "file"}),  # that of gcloud
        (AZURE, {"source": "secret"}),  # of AZURE_CLIENT_SECRET
        (BEDROCK, {"source": "metadata", "role_arn": ROLE, "external_id": "x"}),
        (BEDROCK, {"profile": "dev", "role_arn": "arn:aws-us-gov:iam::111122223333:role/a/b"}),
        (VERTEX, {"file": "/sa.json", "impersonate": "claude@p.iam.gserviceaccount.com"}),
        (AZURE, {"client_id": "c"}),
        (AZURE, {"source": "workload", "client_id": "c", "tenant_id": "t"}),
        (AZURE, {"client_secret": "test-secret-1", "tenant_id": "t", "client_id": "c"}),
    ],
)
def test_credentials_that_agree_are_fine(place, members):
    assert told(**place, keys=[Key(credential=Credential(**members))]) == []


@pytest.mark.parametrize(
    ("location", "models", "warns"),
    [
        ("us-east5", None, True),
        ("us-east5", ["claude-opus-5-5"], True),
        ("us-east5", ["claude-sonnet-4-6", "claude-haiku-4-5"], False),
        ("us-east5", ["claude-sonnet-4-5@20250929", "claude-3-5-haiku"], False),
        ("us-east5", ["claude-sonnet-4-6", "claude-opus-4-8"], True),
        ("us-east5", ["claude-sonnet-4-20250514", "claude-opus-4-1"], False),
        ("us-east5", ["claude-opus-4-10"], True),
        ("global", None, False),
        ("eu", None, False),
    ],
)
def test_a_single_region_of_vertex_lacks_newer_models(location, models, warns):
    found = told(**VERTEX, location=location, models=models)
    assert bool(found) == warns
    assert not found or found[0].startswith("warning: location: single regions serve claude-sonnet")


def test_a_region_of_another_shape_is_a_warning():
    assert told(type="bedrock", region="useast1") == [
        "warning: region: not the shape of a region of AWS, such as us-east-1"
    ]


def test_mantle_has_no_inference_profiles():
    assert told(**BEDROCK, inference_profile="geo") == [
        "warning: inference_profile: api mantle has no inference profiles: remove it, or set "
        "another api"
    ]


def test_quotas_that_differ_may_be_used_with_one_credential():
    def pair(one: dict[str, object], other: dict[str, object]) -> list[str]:
        config = Config(
            providers=[Provider(name="a", **BEDROCK, **one), Provider(name="b", **BEDROCK, **other)]
        )
        return [problem.message for problem in check(config)]

    assert pair({"api": "invoke"}, {"api": "invoke", "inference_profile": "global"}) == []
    assert pair({"api": "invoke"}, {"api": "messages"}) == []
    again = pair({"api": "invoke"}, {"api": "invoke", "keys": [Key(credential=Credential())]})
    assert len(again) == 1
    assert again[0].startswith("also a credential of providers[0]")


def test_needs_a_credential():
    def needs(**members: object) -> bool:
        return needs_credential(Provider(name="p", **members))

    key = Key(key="test-key-1")
    off = Key(credential=Credential(), enabled=False)
    assert needs(**BEDROCK)
    assert needs(**BEDROCK, keys=[key, Key(credential=Credential())])
    assert not needs(**BEDROCK, keys=[key])
    assert not needs(**BEDROCK, keys=[key, off])
    assert not needs(**BEDROCK, enabled=False)
    assert not needs(type="zai")


def test_the_place_of_a_problem_is_the_files(problems_of):
    text = "providers:\n  - name: b\n    type: bedrock\n    keys:\n      - {name: x}\n"
    assert problems_of(text) == [
        "2:5: providers[0].region: type bedrock requires a region, here or as AWS_REGION or "
        "AWS_DEFAULT_REGION",
        '5:9: providers[0].keys[0].key: is missing; write keys: [{key: "${VAR}"}]',
    ]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{credentials: {}}", 'keys[0].credentials: unknown key (did you mean "credential"?)'),
        ("{credential: x}", "keys[0].credential: expected a mapping, got text"),
        (
            "{credential: {source: imds}}",
            'keys[0].credential.source: expected one of "certificate", "cli", "container", '
            '"default", "env", "file", "metadata", "profile", "secret", "web-identity", '
            '"workload", got "imds" (did you mean "metadata"?)',
        ),
        (
            "{credential: {profil: dev}}",
            'keys[0].credential.profil: unknown key (did you mean "profile"?)',
        ),
    ],
)
def test_a_credential_of_a_wrong_shape_is_one_finding(entry, message, problems_of):
    text = f"providers: [{{name: b, type: bedrock, region: us-east-1, keys: [{entry}]}}]\n"
    found = problems_of(text)
    assert [line.partition("providers[0].")[2] for line in found] == [message]


@pytest.mark.parametrize(
    ("place", "model", "message"),
    [
        (BEDROCK, "claude-sonnet-5", "sent as it is, and Bedrock's ids begin with anthropic."),
        (BEDROCK | {"api": "invoke"}, "claude-opus-4-5-20251101", "sent as it is, and Bedrock's"),
        (VERTEX, "claude-opus-4-5-20251101", "sent as it is, and Vertex AI's ids have the date"),
        (BEDROCK, "anthropic.claude-sonnet-5", ""),
        (BEDROCK, "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/x", ""),
        (VERTEX, "claude-opus-4-5@20251101", ""),
        (VERTEX, "claude-opus-5", ""),
        (AZURE, "claude-opus-5", ""),
        ({"type": "claude-google", "base_url": "https://x.example"}, "claude-opus-5", ""),
    ],
)
def test_a_mapped_name_that_is_no_id_is_a_warning(place, model, message):
    found = told(**place, model_mapping={"claude-*": model})
    if not message:
        assert found == []
    else:
        (warning,) = found
        assert warning.startswith(f'warning: model_mapping["claude-*"]: {message}')
