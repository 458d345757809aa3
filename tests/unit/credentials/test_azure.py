"""Access tokens of Entra through the real azure-identity, against scripted services."""

import os
import time

import pytest

from ccrelay.credentials.azure import AzureSource
from ccrelay.credentials.source import ObtainFailed
from ccrelay.wire.cloud_credential import BearerToken
from tests.unit.credentials.oracles import assert_as_recorded
from tests.unit.credentials.services import Answer, entra, entry, make_certificate, serving

TOKEN = BearerToken("test-entra-token-1")
TENANT = "00000000-0000-0000-0000-000000000001"
CLIENT = "00000000-0000-0000-0000-000000000002"
SECRET = {"tenant_id": TENANT, "client_id": CLIENT, "client_secret": "test-secret-1"}


@pytest.fixture(scope="session")
def tls(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch, tls):
    for name in list(os.environ):
        if name.startswith(("AZURE_", "IDENTITY_", "MSI_", "IMDS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tls[0]))
    monkeypatch.setattr("ccrelay.credentials.machine.DMI", tmp_path / "dmi")
    monkeypatch.setattr(
        "azure.core.pipeline.policies._retry.RetryPolicy.get_backoff_time", no_delay
    )
    return tmp_path


def no_delay(*_):
    return 0.0


@pytest.fixture
def authority(monkeypatch, tls):
    """An authority of Entra over TLS; azure-identity takes no other."""

    def authority(script):
        return serving(script, tls[1])

    return authority


def obtained(**members):
    return AzureSource(entry("azure", **members)).obtain()


def failure(**members) -> ObtainFailed:
    source = AzureSource(entry("azure", **members))
    try:
        source.obtain()
    except ObtainFailed as failed:
        return failed
    except Exception as error:
        return source.explain(error)
    raise AssertionError("it was obtained")


def use(monkeypatch, service) -> None:
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", service.url)


# ---- sources


def test_a_secret(monkeypatch, authority):
    with authority(entra()) as service:
        use(monkeypatch, service)
        found = obtained(**SECRET)
        assert_as_recorded("azure_client_secret", service)
    assert (found.secret, found.method) == (TOKEN, "secret")
    assert found.expires_at == pytest.approx(time.time() + 3600, abs=30)


@pytest.mark.parametrize("source", [None, "env"])
def test_the_environment(monkeypatch, authority, source):
    monkeypatch.setenv("AZURE_TENANT_ID", TENANT)
    monkeypatch.setenv("AZURE_CLIENT_ID", CLIENT)
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "test-secret-1")
    with authority(entra()) as service:
        use(monkeypatch, service)
        found = obtained(source=source)
        assert_as_recorded("azure_client_secret", service)
    assert found.secret == TOKEN


def test_a_certificate(monkeypatch, authority, tls):
    both = tls[0].with_name("both.pem")
    both.write_bytes(tls[0].read_bytes() + tls[0].with_name("tls-key.pem").read_bytes())
    rsa = make_rsa_certificate(tls[0].parent)
    with authority(entra()) as service:
        use(monkeypatch, service)
        found = obtained(tenant_id=TENANT, client_id=CLIENT, certificate_file=str(rsa))
        form = service.asked[-1].form
    assert found.secret == TOKEN
    assert form["client_assertion_type"].endswith("jwt-bearer")


def make_rsa_certificate(folder):
    import subprocess

    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout rsa-key.pem -out rsa-cert.pem"
        " -subj /CN=app"
    )
    subprocess.run(command.split(), check=True, capture_output=True, cwd=folder)
    both = folder / "rsa.pem"
    texts = [(folder / name).read_text() for name in ("rsa-key.pem", "rsa-cert.pem")]
    both.write_text("".join(texts))
    return both


@pytest.mark.parametrize("source", [None, "workload"])
def test_a_workload_identity(monkeypatch, authority, home, source):
    (home / "oidc").write_text("test-oidc-token")
    monkeypatch.setenv("AZURE_TENANT_ID", TENANT)
    monkeypatch.setenv("AZURE_CLIENT_ID", CLIENT)
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(home / "oidc"))
    with authority(entra()) as service:
        use(monkeypatch, service)
        found = obtained(source=source)
        assert_as_recorded("azure_workload_identity", service)
    assert found.secret == TOKEN


@pytest.mark.parametrize(
    ("client", "name"),
    [(None, "azure_managed_identity_imds"), (CLIENT, "azure_managed_identity_imds_user_assigned")],
)
def test_a_managed_identity(monkeypatch, client, name):
    with serving(entra()) as service:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", service.url)
        found = obtained(source="metadata", client_id=client)
        assert_as_recorded(name, service)
    assert (found.secret, found.method) == (TOKEN, "metadata")


def test_a_managed_identity_of_an_app_service(monkeypatch):
    with serving(entra()) as service:
        endpoint = f"{service.url}/metadata/identity/oauth2/token"
        monkeypatch.setenv("IDENTITY_ENDPOINT", endpoint)
        monkeypatch.setenv("IDENTITY_HEADER", "test-identity-header")
        found = obtained()
        assert_as_recorded("azure_managed_identity_app_service", service)
    assert found.secret == TOKEN


def test_a_user_of_the_command_line(monkeypatch, home):
    program = home / "az"
    expires = int(time.time()) + 3600
    program.write_text(
        f'#!/bin/sh\necho \'{{"accessToken": "test-entra-token-1", "expires_on": {expires}}}\'\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{home}:/usr/bin:/bin")
    for source in ("cli", None):
        found = obtained(source=source)
        assert (found.secret, found.expires_at) == (TOKEN, expires)


# ---- what is not there, and what is refused


def test_nothing_is_found_without_asking_an_address(monkeypatch):
    def fail(*_, **__):
        raise AssertionError("an address was asked")

    monkeypatch.setattr("azure.identity.ManagedIdentityCredential.__init__", fail)
    failed = failure()
    assert failed.is_final
    assert "az login" in failed.hint
    assert "\n" not in failed.reason


def test_a_login_that_is_not_there_names_the_command(monkeypatch, home):
    program = home / "az"
    program.write_text(
        "#!/bin/sh\necho \"ERROR: Please run 'az login' to setup account.\" >&2\nexit 1\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{home}:/usr/bin:/bin")
    failed = failure(source="cli")
    assert failed.is_final
    assert failed.hint == "log in: az login"


def test_a_secret_that_is_wrong_is_not_told(monkeypatch, authority):
    def script(asked):
        if "token" not in asked.target.split("/")[-1]:
            return entra()(asked)
        text = f"AADSTS7000215: Invalid client secret provided: {asked.form['client_secret']}."
        return Answer({"error": "invalid_client", "error_description": text}, 401)

    with authority(script) as service:
        use(monkeypatch, service)
        failed = failure(**SECRET)
    assert failed.is_final
    assert "AADSTS7000215" in failed.reason
    assert "test-secret-1" not in failed.reason
    assert "client_secret" in failed.hint


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_authority_that_fails_is_asked_again(monkeypatch, authority, status):
    def script(asked):
        is_token = asked.target.endswith("/token")
        return Answer({"error": "temporarily_unavailable"}, status) if is_token else entra()(asked)

    with authority(script) as service:
        use(monkeypatch, service)
        failed = failure(**SECRET)
    assert not failed.is_final


def test_an_authority_that_refuses_connections(monkeypatch, authority):
    with authority(entra()) as service:
        use(monkeypatch, service)
    failed = failure(**SECRET)
    assert not failed.is_final
    assert "HTTPS_PROXY" in failed.hint


def test_a_managed_identity_that_never_answers_costs_a_bounded_time(monkeypatch):
    limits = {"connection_timeout": 0.3, "read_timeout": 0.3, "retry_total": 1}
    monkeypatch.setattr("ccrelay.credentials.azure.LIMITS", limits)
    with serving(lambda _: Answer(wait=service.released)) as service:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", service.url)
        began = time.monotonic()
        failed = failure(source="metadata")
    assert not failed.is_final
    assert time.monotonic() - began < 15.0


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[]", b"{}", b"\xff", b'{"access_token":5}'])
def test_nonsense_of_a_managed_identity_is_explained(monkeypatch, body):
    with serving(lambda _: Answer(body)) as service:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", service.url)
        failed = failure(source="metadata")
    assert failed.reason
    assert failed.hint


def test_an_authority_over_plain_http_is_refused(monkeypatch):
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", "http://127.0.0.1:1")
    failed = failure(**SECRET)
    assert failed.is_final
    assert "https" in failed.reason


def test_a_part_that_is_missing_is_named():
    failed = failure(source="secret", tenant_id=TENANT)
    assert failed.reason == "client_id is missing"
    assert "AZURE_CLIENT_ID" in failed.hint


def test_a_certificate_that_is_not_there():
    failed = failure(tenant_id=TENANT, client_id=CLIENT, certificate_file="/nonexistent.pem")
    assert failed.is_final
    assert "file" in failed.hint


def test_what_it_depends_on(monkeypatch, home):
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", "/run/token")
    files = AzureSource(entry("azure", certificate_file="~/app.pem")).files()
    assert files.settings == (str(home / "app.pem"),)
    assert files.caches[-1] == "/run/token"
    assert files.caches[0] == str(home / ".azure/msal_token_cache.json")
