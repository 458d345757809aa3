"""Access tokens of Microsoft Entra for Azure AI Foundry, obtained with azure-identity.

Every call makes a credential of its own: azure-identity keeps tokens, and what a cloud has refused
is not to come back.
"""

import os
import re
import shutil
from typing import Any, Final

import azure.core.exceptions as errors
import azure.identity as identity

from ccrelay.credentials.machine import is_azure
from ccrelay.credentials.source import (
    NETWORK_HINT,
    UNKNOWN_HINT,
    Obtained,
    ObtainFailed,
    Source,
    WatchedFiles,
    checked,
)
from ccrelay.wire.cloud_credential import BearerToken

SCOPE: Final = "https://ai.azure.com/.default"
# Of azure-core's transport and its retries.
LIMITS: Final[dict[str, Any]] = {"connection_timeout": 4, "read_timeout": 8, "retry_total": 1}
PROGRAM_LIMIT_S: Final = 10
# Authorities that azure-identity knows; others it looks up at the first, which a private cloud may
# not reach. An AZURE_AUTHORITY_HOST set to another one is trusted.
AUTHORITIES: Final = frozenset(
    {"login.microsoftonline.com", "login.microsoftonline.us", "login.chinacloudapi.cn"}
)
NOTHING_FOUND: Final = (
    "log in (az login), set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, or say "
    "`source: metadata` on a machine with a managed identity"
)
HINTS: Final = {
    "secret": "check tenant_id, client_id and client_secret; secrets of applications expire",
    "env": "check AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET; secrets expire",
    "certificate": "check that the certificate belongs to the application, and has not expired",
    "workload": "check AZURE_FEDERATED_TOKEN_FILE and the federated credential of the application",
    "metadata": "assign a managed identity to this machine; client_id names a user-assigned one",
    "cli": "log in: az login",
}


class AzureSource(Source):
    """Obtains access tokens with one credential of azure-identity, or its default chain."""

    def obtain(self) -> Obtained:
        """An access token. Raises what azure-identity raises."""
        made = self._credential()
        with made:
            token = made.get_token(SCOPE)
        return Obtained(
            BearerToken(checked(token.token, "access token")),
            float(token.expires_on),
            self._source(),
        )

    def _source(self) -> str:
        credential = self.entry.credential
        if credential.source is not None:
            return credential.source
        if credential.client_secret:
            return "secret"
        return "certificate" if credential.certificate_file else "default"

    def _credential(self) -> Any:
        one = self.entry.credential
        match self._source():
            case "secret":
                application = self._application()
                secret = _or_env(one.client_secret, "CLIENT_SECRET")
                return identity.ClientSecretCredential(*application, secret, **_how())
            case "certificate":
                file = _or_env(one.certificate_file, "CLIENT_CERTIFICATE_PATH")
                path = os.path.expanduser(file)
                return identity.CertificateCredential(*self._application(), path, **_how())
            case "workload" | "web-identity":
                return identity.WorkloadIdentityCredential(
                    tenant_id=_or_env(one.tenant_id, "TENANT_ID"),
                    client_id=_or_env(one.client_id, "CLIENT_ID"),
                    **_how(),
                )
            case "metadata" | "container":
                return identity.ManagedIdentityCredential(client_id=one.client_id, **LIMITS)
            case "cli":
                return identity.AzureCliCredential(
                    tenant_id=one.tenant_id or "", process_timeout=PROGRAM_LIMIT_S
                )
            case "env":
                return identity.EnvironmentCredential(**_how())
            case _:
                return self._chain()

    def _application(self) -> tuple[str, str]:
        one = self.entry.credential
        return _or_env(one.tenant_id, "TENANT_ID"), _or_env(one.client_id, "CLIENT_ID")

    def _chain(self) -> Any:
        members: dict[str, Any] = {
            "exclude_managed_identity_credential": not is_azure(os.environ),
            "exclude_cli_credential": shutil.which("az") is None,
            "exclude_developer_cli_credential": shutil.which("azd") is None,
            "exclude_shared_token_cache_credential": True,
            "exclude_visual_studio_code_credential": True,
            "exclude_powershell_credential": True,
            "exclude_broker_credential": True,
            "process_timeout": PROGRAM_LIMIT_S,
        }
        if client := self.entry.credential.client_id:
            members["managed_identity_client_id"] = client
            members["workload_identity_client_id"] = client
        return identity.DefaultAzureCredential(**members, **_how())

    def explain(self, error: Exception) -> ObtainFailed:
        """What an exception of azure-identity means."""
        source = self._source()
        hint, is_final = HINTS.get(source, NOTHING_FOUND), True
        status = _status(error)
        if any(isinstance(one, _UNREACHED) for one in _causes(error)):
            hint, is_final = NETWORK_HINT, False
        elif status == 429 or status >= 500 or "temporarily_unavailable" in str(error):
            hint, is_final = "Entra could not answer; it is asked again", False
        elif isinstance(error, identity.CredentialUnavailableError) and source == "metadata":
            is_final = False  # the address of a machine that starts answers late
        elif isinstance(error, OSError):
            hint = "check that the file exists and can be read"
        elif not isinstance(error, errors.AzureError | ValueError):
            hint, is_final = UNKNOWN_HINT, False
        return ObtainFailed(self._first_line(error), hint, is_final=is_final)

    def _first_line(self, error: Exception) -> str:
        text = getattr(error, "message", None) or str(error)
        lines = [line.strip() for line in str(text).splitlines() if line.strip()]
        return self.reason(lines[0] if lines else type(error).__name__)

    def files(self) -> WatchedFiles:
        """The certificate, the token of a workload, and what `az login` writes."""
        certificate = self.entry.credential.certificate_file or os.environ.get(
            "AZURE_CLIENT_CERTIFICATE_PATH"
        )
        folder = os.path.expanduser(os.environ.get("AZURE_CONFIG_DIR", "~/.azure"))
        caches = [f"{folder}/msal_token_cache.json", f"{folder}/azureProfile.json"]
        if token := os.environ.get("AZURE_FEDERATED_TOKEN_FILE"):
            caches.append(token)
        settings = (os.path.expanduser(certificate),) if certificate else ()
        return WatchedFiles(settings, tuple(caches))


_UNREACHED = (errors.ServiceRequestError, errors.ServiceResponseError)


def _causes(error: BaseException) -> list[BaseException]:
    """An exception and those that it was raised from, a few at most."""
    found: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and len(found) < 5:
        found.append(at)
        at = at.__cause__
    return found


def _status(error: Exception) -> int:
    for one in _causes(error):
        response = getattr(one, "response", None)
        status = getattr(one, "status_code", None) or getattr(response, "status_code", None)
        if isinstance(status, int):
            return status
    told = re.search(r"HTTP Error: (\d{3})", str(error))  # of msal, which keeps no answer
    return int(told[1]) if told else 0


def _how() -> dict[str, Any]:
    host = os.environ.get("AZURE_AUTHORITY_HOST", "")
    name = host.removeprefix("https://").split("/")[0].split(":")[0]
    return {**LIMITS, "disable_instance_discovery": bool(name) and name not in AUTHORITIES}


def _or_env(given: str | None, name: str) -> str:
    found = given or os.environ.get(f"AZURE_{name}", "")
    if not found:
        raise ObtainFailed(
            f"{name.lower()} is missing", f"set {name.lower()} or AZURE_{name}", is_final=True
        )
    return found
