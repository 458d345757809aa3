"""Credentials of AWS through the real botocore, against scripted services."""

import json
import time
from pathlib import Path

import pytest

from ccrelay.credentials.aws import AwsSource
from ccrelay.credentials.source import ObtainFailed
from ccrelay.wire.cloud_credential import AwsKeys
from tests.unit.credentials.oracles import assert_as_recorded
from tests.unit.credentials.services import (
    KEYS,
    Answer,
    container,
    entry,
    serving,
    sso_portal,
    sts,
    sts_error,
)

ROLE = "arn:aws:iam::123456789012:role/test"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """No settings but those of the test, and no address but loopback."""
    for name in list(__import__("os").environ):
        if name.startswith(("AWS_", "BOTO")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("ccrelay.credentials.machine.DMI", tmp_path / "dmi")
    # Between the two tries of botocore.
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", no_delay)
    return tmp_path


def no_delay(*_):
    return 0.0


def obtained(**members):
    return AwsSource(entry("aws", **members)).obtain()


def failure(**members) -> ObtainFailed:
    source = AwsSource(entry("aws", **members))
    try:
        source.obtain()
    except ObtainFailed as failed:
        return failed
    except Exception as error:
        return source.explain(error)
    raise AssertionError("it was obtained")


def write(file: Path, text: str) -> None:
    file.write_text(text)


def use_env_keys(monkeypatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test-secret-1")


def use_web_identity(monkeypatch, home, service) -> None:
    write(home / "wi", "test-web-identity-token")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(home / "wi"))
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    monkeypatch.setenv("AWS_ROLE_SESSION_NAME", "relay")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", service.url)


def use_sso(monkeypatch, home, service, expires: str = "2099-01-01T00:00:00Z") -> None:
    write(
        home / "config",
        "[profile sso]\nsso_start_url = https://test.awsapps.com/start\nsso_region = us-east-1\n"
        "sso_account_id = 123456789012\nsso_role_name = test\nregion = us-east-1\n",
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSO", service.url)
    cache = home / ".aws" / "sso" / "cache"
    monkeypatch.setattr("botocore.credentials.SSOProvider._SSO_TOKEN_CACHE_DIR", str(cache))
    cache.mkdir(parents=True, exist_ok=True)
    # The name is the SHA-1 of the start URL.
    token = {"accessToken": "test-sso-token", "expiresAt": expires}
    name = __import__("hashlib").sha1(b"https://test.awsapps.com/start").hexdigest()
    write(cache / f"{name}.json", json.dumps(token))


# ---- sources


def test_keys_of_the_environment(monkeypatch):
    use_env_keys(monkeypatch)
    for members in ({}, {"source": "env"}):
        found = obtained(**members)
        assert found == (AwsKeys("AKIDEXAMPLE", "test-secret-1"), 0.0, "env")


def test_a_named_profile_stands_before_the_environment(monkeypatch, home):
    use_env_keys(monkeypatch)
    write(
        home / "credentials",
        "[team]\naws_access_key_id = AKIDTEAM\naws_secret_access_key = test-secret-3\n",
    )
    found = obtained(profile="team")
    assert found == (AwsKeys("AKIDTEAM", "test-secret-3"), 0.0, "shared-credentials-file")
    write(
        home / "credentials",
        "[team]\naws_access_key_id = AKIDNEW\naws_secret_access_key = test-secret-4\n",
    )
    assert obtained(profile="team").secret.access_key == "AKIDNEW", "a rotated file is read again"


def test_a_role_of_a_profile(monkeypatch, home):
    write(
        home / "config",
        f"[profile r]\nrole_arn = {ROLE}\nsource_profile = base\nregion = us-east-1\n"
        "[profile base]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = test-secret-1\n",
    )
    with serving(sts()) as service:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", service.url)
        found = obtained(profile="r")
        assert_as_recorded("aws_assume_role_profile", service)
    assert (found.secret, found.method) == (AwsKeys(*KEYS), "assume-role")
    assert found.expires_at == pytest.approx(time.time() + 3600, abs=30)


def test_a_role_of_the_entry_is_assumed_with_what_is_found(monkeypatch):
    use_env_keys(monkeypatch)
    with serving(sts()) as service:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", service.url)
        found = obtained(role_arn=ROLE, external_id="test-external-1")
        form = service.asked[0].form
    assert found.secret == AwsKeys(*KEYS)
    assert form["RoleArn"] == ROLE
    assert (form["ExternalId"], form["RoleSessionName"]) == ("test-external-1", "ccrelay")
    assert "AKIDEXAMPLE/" in service.asked[0].headers["authorization"]
    assert "/us-east-1/sts/" in service.asked[0].headers["authorization"]


@pytest.mark.parametrize("source", [None, "web-identity"])
def test_a_web_identity(monkeypatch, home, source):
    with serving(sts()) as service:
        use_web_identity(monkeypatch, home, service)
        found = obtained(source=source)
        assert_as_recorded("aws_web_identity", service)
    assert (found.secret, found.method) == (AwsKeys(*KEYS), "assume-role-with-web-identity")


@pytest.mark.parametrize("source", [None, "container"])
def test_a_container(monkeypatch, source):
    with serving(container()) as service:
        url = f"{service.url}/container-creds"
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)
        monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "test-auth-1")
        found = obtained(source=source)
        assert_as_recorded("aws_container_full_uri", service)
    assert (found.secret, found.method) == (AwsKeys(*KEYS), "container-role")


@pytest.mark.parametrize("source", [None, "metadata"])
def test_the_metadata_service_where_the_environment_shows_it(monkeypatch, source):
    with serving(container()) as service:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", service.url)
        found = obtained(source=source)
        assert_as_recorded("aws_imdsv2", service)
    assert (found.secret, found.method) == (AwsKeys(*KEYS), "iam-role")


def test_sso(monkeypatch, home):
    with serving(sso_portal()) as service:
        use_sso(monkeypatch, home, service)
        found = obtained(profile="sso")
        assert_as_recorded("aws_sso_profile", service)
    assert (found.secret, found.method) == (AwsKeys(*KEYS), "sso")


def test_a_program(home):
    given = {
        "Version": 1,
        "AccessKeyId": "ASIAEXAMPLE",
        "SecretAccessKey": "s",
        "SessionToken": "t",
    }
    write(home / "given", json.dumps({**given, "Expiration": "2099-01-01T00:00:00Z"}))
    write(home / "config", f"[profile p]\ncredential_process = cat {home}/given\n")
    found = obtained(profile="p")
    assert (found.secret, found.method) == (AwsKeys("ASIAEXAMPLE", "s", "t"), "custom-process")
    assert found.expires_at == 4_070_908_800.0


# ---- what is not there, and what is refused


def test_nothing_is_found_without_asking_an_address(monkeypatch):
    def fail(*_):
        raise AssertionError("an address was asked")

    monkeypatch.setattr(
        "botocore.utils.InstanceMetadataFetcher.retrieve_iam_role_credentials", fail
    )
    failed = failure()
    assert failed.reason == "no AWS credentials were found"
    assert failed.is_final
    assert "aws sso login" in failed.hint


@pytest.mark.parametrize("source", ["env", "web-identity", "container", "file"])
def test_a_source_that_is_named_is_the_only_one(monkeypatch, home, source):
    if source != "env":
        use_env_keys(monkeypatch)
    assert failure(source=source).reason == "no AWS credentials were found"


@pytest.mark.parametrize(
    ("code", "status", "is_final", "hint"),
    [
        ("AccessDenied", 403, True, "trust policy"),
        ("ExpiredToken", 403, True, "has expired"),
        ("InvalidClientTokenId", 403, True, "does not exist any more"),
        ("SignatureDoesNotMatch", 403, True, "clock"),
        ("Throttling", 400, False, "asked again"),
        ("InternalFailure", 500, False, "asked again"),
        ("SomethingElse", 400, True, "permissions"),
    ],
)
def test_what_sts_refuses(monkeypatch, code, status, is_final, hint):
    use_env_keys(monkeypatch)
    with serving(sts_error(code, status)) as service:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", service.url)
        failed = failure(role_arn=ROLE)
    assert failed.is_final is is_final
    assert hint in failed.hint
    assert code in failed.reason


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[]", b'{"Code": "Success"}', b"\xff\xfe"])
def test_nonsense_of_a_container_is_no_end(monkeypatch, body):
    with serving(lambda _: Answer(body)) as service:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{service.url}/c")
        monkeypatch.setattr("botocore.utils.ContainerMetadataFetcher.SLEEP_TIME", 0.0)
        assert not failure(source="container").is_final


def test_keys_that_would_break_a_head_are_refused(monkeypatch):
    keys = ("ASIAEXAMPLE", "test-secret-2", "a\r\nx-evil: 1")
    with serving(container(keys=keys)) as service:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{service.url}/c")
        failed = failure(source="container")
    assert "session token" in failed.reason
    assert "evil" not in failed.reason


def test_an_address_that_refuses_connections(monkeypatch):
    use_env_keys(monkeypatch)
    with serving(sts()) as service:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", service.url)
    failed = failure(role_arn=ROLE)
    assert not failed.is_final
    assert "HTTPS_PROXY" in failed.hint


def test_an_address_that_never_answers_costs_a_bounded_time(monkeypatch):
    use_env_keys(monkeypatch)
    monkeypatch.setattr("ccrelay.credentials.aws.READ_LIMIT_S", 0.3)
    with serving(lambda _: Answer(wait=service.released)) as service:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", service.url)
        began = time.monotonic()
        failed = failure(role_arn=ROLE)
    assert not failed.is_final
    assert time.monotonic() - began < 10.0


def test_an_expired_login_names_the_command(monkeypatch, home):
    with serving(sso_portal()) as service:
        use_sso(monkeypatch, home, service, expires="2020-01-01T00:00:00Z")
        failed = failure(profile="sso")
        assert service.asked == []
    assert failed.is_final
    assert failed.hint == "log in: aws sso login --profile sso"


def test_a_login_that_the_portal_refuses_names_the_command(monkeypatch, home):
    refusal = {"message": "Session token not found or invalid"}
    headers = (("x-amzn-errortype", "UnauthorizedException"),)
    with serving(lambda _: Answer(refusal, 401, headers)) as service:
        use_sso(monkeypatch, home, service)
        failed = failure(profile="sso")
    assert failed.hint == "log in: aws sso login --profile sso"


def test_a_role_that_is_not_assigned_any_more(monkeypatch, home):
    headers = (("x-amzn-errortype", "ForbiddenException"),)
    with serving(lambda _: Answer({"message": "No access"}, 403, headers)) as service:
        use_sso(monkeypatch, home, service)
        failed = failure(profile="sso")
    assert failed.is_final
    assert "not assigned any more" in failed.hint


def test_nobody_is_asked_for_an_mfa_code(home):
    write(
        home / "config",
        f"[profile r]\nrole_arn = {ROLE}\nsource_profile = base\n"
        "mfa_serial = arn:aws:iam::123456789012:mfa/person\n"
        "[profile base]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = test-secret-1\n",
    )
    failed = failure(profile="r")
    assert failed.is_final
    assert "MFA" in failed.reason
    assert "SSO" in failed.hint


def test_a_profile_that_is_not_there():
    failed = failure(profile="nobody")
    assert failed.is_final
    assert "nobody" in failed.reason


def test_a_token_file_that_is_not_there(monkeypatch, home):
    with serving(sts()) as service:
        use_web_identity(monkeypatch, home, service)
        (home / "wi").unlink()
        failed = failure()
    assert failed.is_final
    assert "file" in failed.hint


def test_a_program_that_fails_tells_no_secret(monkeypatch, home):
    write(
        home / "config",
        "[profile p]\ncredential_process = sh -c 'echo $AWS_TEST_SECRET >&2; exit 1'\n",
    )
    monkeypatch.setenv("AWS_TEST_SECRET", "test-secret-9")
    failed = failure(profile="p")
    assert not failed.is_final
    assert "test-secret-9" not in failed.reason


def test_credentials_that_had_expired_when_they_came_blame_the_clock(monkeypatch, home):
    with serving(sts(lives_s=-3600)) as service:
        use_web_identity(monkeypatch, home, service)
        failed = failure()
    assert not failed.is_final
    assert "clock" in failed.hint


def test_what_it_depends_on(monkeypatch, home):
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/run/token")
    files = AwsSource(entry("aws")).files()
    assert files.settings == (str(home / "config"), str(home / "credentials"))
    assert files.caches == (
        str(home / ".aws/sso/cache"),
        str(home / ".aws/login/cache"),
        "/run/token",
    )
