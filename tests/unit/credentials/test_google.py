"""Access tokens of Google through the real google-auth, against scripted services."""

import json
import os
import time

import pytest

from ccrelay.credentials.google import GoogleSource, application_default_file
from ccrelay.credentials.source import ObtainFailed
from ccrelay.wire.cloud_credential import BearerToken
from tests.unit.credentials.oracles import assert_as_recorded
from tests.unit.credentials.services import (
    Answer,
    entry,
    google_tokens,
    make_key,
    serving,
)

TOKEN = BearerToken("test-google-token-1")
ACCOUNT = "sa@test-project-1.iam.gserviceaccount.com"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.startswith(("GOOGLE_", "GCE_", "CLOUDSDK_", "K_", "GAE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("ccrelay.credentials.machine.DMI", tmp_path / "dmi")
    # Between the tries of the library.
    monkeypatch.setattr("google.auth._exponential_backoff.time.sleep", lambda _: None)
    return tmp_path


@pytest.fixture(scope="session")
def private_key(tmp_path_factory):
    return make_key(tmp_path_factory.mktemp("key"))


def obtained(**members):
    return GoogleSource(entry("google", **members)).obtain()


def failure(**members) -> ObtainFailed:
    source = GoogleSource(entry("google", **members))
    try:
        source.obtain()
    except ObtainFailed as failed:
        return failed
    except Exception as error:
        return source.explain(error)
    raise AssertionError("it was obtained")


def service_account(home, url: str, private_key: str) -> str:
    return write(
        home / "sa.json",
        {
            "type": "service_account",
            "project_id": "test-project-1",
            "private_key_id": "k1",
            "private_key": private_key,
            "client_email": ACCOUNT,
            "token_uri": f"{url}/token",
        },
    )


def user(file, url: str) -> str:
    return write(
        file,
        {
            "type": "authorized_user",
            "client_id": "c1.apps.googleusercontent.com",
            "client_secret": "test-secret-1",
            "refresh_token": "test-refresh-1",
            "quota_project_id": "test-project-1",
            "token_uri": f"{url}/token",
        },
    )


def workload(home, url: str, **more) -> str:
    (home / "oidc").write_text("test-oidc-token")
    return write(
        home / "ext.json",
        {
            "type": "external_account",
            "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/"
            "providers/q",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": f"{url}/v1/token",
            "credential_source": {"file": str(home / "oidc")},
            **more,
        },
    )


@pytest.fixture
def of_users(monkeypatch):
    """Where users' tokens are asked for: the library takes no address from their file."""

    def of_users(url: str) -> None:
        endpoint = "google.oauth2.credentials._GOOGLE_OAUTH2_TOKEN_ENDPOINT"
        monkeypatch.setattr(endpoint, f"{url}/token")

    return of_users


def write(file, content) -> str:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(file)


# ---- sources


@pytest.mark.parametrize("is_named", [True, False])
def test_a_service_account(home, monkeypatch, private_key, is_named):
    with serving(google_tokens()) as service:
        file = service_account(home, service.url, private_key)
        if not is_named:
            monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", file)
        found = obtained(file=file if is_named else None)
        assert_as_recorded("google_service_account", service)
    assert (found.secret, found.method) == (TOKEN, "service_account")
    assert found.expires_at == pytest.approx(time.time() + 3600, abs=30)


def test_a_user_who_has_logged_in(home, of_users):
    with serving(google_tokens()) as service:
        of_users(service.url)
        user(home / ".config" / "gcloud" / "application_default_credentials.json", service.url)
        found = obtained()
        assert_as_recorded("google_authorized_user_direct", service)
    assert found.secret == BearerToken("test-google-token-1", "test-project-1")
    assert found.method == "authorized_user"


def test_the_project_that_pays_can_be_another(home, monkeypatch, of_users):
    monkeypatch.setenv("GOOGLE_CLOUD_QUOTA_PROJECT", "test-project-2")
    with serving(google_tokens()) as service:
        of_users(service.url)
        found = obtained(file=user(home / "user.json", service.url))
    assert found.secret.quota_project == "test-project-2"


def test_a_workload_identity(home):
    with serving(google_tokens()) as service:
        found = obtained(file=workload(home, service.url))
        assert_as_recorded("google_external_account", service)
    assert (found.secret, found.method) == (TOKEN, "external_account")


def test_a_workload_identity_that_impersonates(home):
    with serving(google_tokens()) as service:
        url = f"{service.url}/v1/projects/-/serviceAccounts/{ACCOUNT}:generateAccessToken"
        file = workload(home, service.url, service_account_impersonation_url=url)
        found = obtained(file=file)
        assert_as_recorded("google_external_account_impersonated", service)
    assert found.secret == BearerToken("test-google-token-2")


def test_an_account_to_impersonate(home, monkeypatch, private_key):
    with serving(google_tokens()) as service:
        endpoint = service.url + "/v1/projects/-/serviceAccounts/{}:generateAccessToken"
        monkeypatch.setattr("google.auth.iam._IAM_ENDPOINT", endpoint)
        file = service_account(home, service.url, private_key)
        found = obtained(file=file, impersonate=ACCOUNT)
        targets = [one.target for one in service.asked]
        assert targets[-1].endswith(f"{ACCOUNT}:generateAccessToken")
        assert service.asked[-1].headers["authorization"] == "Bearer test-google-token-1"
    assert found.secret.token == "test-google-token-2"
    assert found.expires_at == pytest.approx(time.time() + 3600, abs=30)


@pytest.mark.parametrize("source", ["metadata", None])
def test_the_metadata_server_where_it_is_shown(monkeypatch, source):
    with serving(google_tokens()) as service:
        host = f"127.0.0.1:{service.port}"
        monkeypatch.setattr("google.auth.compute_engine._metadata._GCE_METADATA_HOST", host)
        if source is None:
            monkeypatch.setenv("GCE_METADATA_HOST", host)
        found = obtained(source=source)
        asked = [(one.method, one.target) for one in service.asked]
    assert (found.secret.token, found.method) == ("test-google-token-1", "metadata")
    # What was recorded, without the probe and the project.
    path = "/computeMetadata/v1/instance/service-accounts/default"
    scopes = "https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fcloud-platform"
    assert asked == [
        ("GET", f"{path}/?recursive=true"),
        ("GET", f"{path}/token?scopes={scopes}"),
    ]


# ---- what is not there, and what is refused


def test_nothing_is_found_without_asking_an_address(monkeypatch):
    def fail(*_, **__):
        raise AssertionError("an address was asked")

    monkeypatch.setattr("google.auth.compute_engine._metadata.get", fail)
    monkeypatch.setattr("google.auth.compute_engine._metadata.ping", fail)
    failed = failure()
    assert failed.is_final
    assert "gcloud auth application-default login" in failed.hint


def test_a_login_that_was_revoked_names_the_command(home, of_users):
    refusal = {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}
    with serving(lambda _: Answer(refusal, 400)) as service:
        of_users(service.url)
        failed = failure(file=user(home / "user.json", service.url))
    assert failed.is_final
    assert failed.hint == "log in: gcloud auth application-default login"
    assert "invalid_grant" in failed.reason
    assert "test-refresh-1" not in failed.reason


def test_an_account_that_was_disabled(home, private_key):
    refusal = {"error": "invalid_grant", "error_description": "account not found"}
    with serving(lambda _: Answer(refusal, 400)) as service:
        failed = failure(file=service_account(home, service.url, private_key))
    assert failed.is_final
    assert "enabled" in failed.hint


def test_impersonation_that_is_not_granted(home, monkeypatch, private_key):
    def script(asked):
        if "generateAccessToken" in asked.target:
            return Answer({"error": {"code": 403, "message": "denied"}}, 403)
        return google_tokens()(asked)

    with serving(script) as service:
        endpoint = service.url + "/v1/projects/-/serviceAccounts/{}:generateAccessToken"
        monkeypatch.setattr("google.auth.iam._IAM_ENDPOINT", endpoint)
        file = service_account(home, service.url, private_key)
        failed = failure(file=file, impersonate=ACCOUNT)
    assert failed.is_final
    assert "serviceAccountTokenCreator" in failed.hint


@pytest.mark.parametrize("status", [500, 503])
def test_a_server_that_fails_is_asked_again(home, private_key, status):
    with serving(lambda _: Answer({"error": "internal_failure"}, status)) as service:
        failed = failure(file=service_account(home, service.url, private_key))
    assert not failed.is_final


def test_an_address_that_refuses_connections(home, private_key):
    with serving(google_tokens()) as service:
        file = service_account(home, service.url, private_key)
    failed = failure(file=file)
    assert not failed.is_final
    assert "HTTPS_PROXY" in failed.hint


def test_an_address_that_never_answers_costs_a_bounded_time(home, monkeypatch, private_key):
    monkeypatch.setattr("ccrelay.credentials.google.CALL_LIMIT_S", 0.3)
    with serving(lambda _: Answer(wait=service.released)) as service:
        began = time.monotonic()
        failed = failure(file=service_account(home, service.url, private_key))
    assert not failed.is_final
    assert time.monotonic() - began < 10.0


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[]", b"{}", b"\xff", b'{"access_token":5}'])
def test_nonsense_of_a_token_server_is_explained(home, private_key, body):
    with serving(lambda _: Answer(body)) as service:
        failed = failure(file=service_account(home, service.url, private_key))
    assert failed.reason
    assert failed.hint


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "5", '{"type": "service_account"}', '{"type":1}']
)
def test_a_file_that_is_no_credential(home, content):
    failed = failure(file=write(home / "bad.json", content))
    assert failed.is_final


def test_a_file_that_is_not_there():
    failed = failure(file="/nonexistent/sa.json")
    assert failed.is_final
    assert "No such file" in failed.reason


def test_a_private_key_that_is_none_is_not_told(home):
    file = service_account(home, "http://127.0.0.1:1", "test-secret-key-1")
    failed = failure(file=file)
    assert failed.is_final
    assert "test-secret-key-1" not in failed.reason


def test_what_it_depends_on(home, monkeypatch):
    file = workload(home, "http://127.0.0.1:1")
    files = GoogleSource(entry("google", file=file)).files()
    assert files == ((file,), (str(home / "oidc"),))
    assert GoogleSource(entry("google")).files() == ((application_default_file(),), ())
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(home / "sdk"))
    assert application_default_file() == str(home / "sdk" / "application_default_credentials.json")
