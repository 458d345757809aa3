"""Access tokens of Google, obtained with google-auth.

The order is that of Application Default Credentials, without what `google.auth.default` does to
learn a project, which is not needed here: a probe of the metadata address, a run of `gcloud`, and
one more call of Google.
"""

import json
import os
from pathlib import Path
from typing import Any, Final

import google.auth.compute_engine
import google.auth.exceptions as errors
import google.auth.impersonated_credentials
import google.auth.transport.requests
import google.oauth2.credentials
import google.oauth2.service_account

from ccrelay.credentials.machine import is_google
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

SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform",)
CALL_LIMIT_S: Final = 10.0
LIFETIME_S: Final = 3600  # of a token of an impersonated account; more has to be allowed there
LOGIN: Final = "log in: gcloud auth application-default login"
NOTHING_FOUND: Final = (
    "set GOOGLE_APPLICATION_CREDENTIALS or `file`, log in (gcloud auth application-default login), "
    "or say `source: metadata` on a machine of Google Cloud"
)
# By `type` in the file: what to do when Google refuses it.
HINTS: Final = {
    "authorized_user": LOGIN,
    "service_account": "check that the key exists, and that its service account is enabled",
    "external_account": "check the token of the identity provider, its audience and the pool",
    "external_account_authorized_user": LOGIN,
    "impersonated_service_account": "grant roles/iam.serviceAccountTokenCreator",
    "metadata": "attach a service account to this machine",
}


class _Request(google.auth.transport.requests.Request):  # type: ignore[misc]
    """A transport whose calls end in time; the library waits two minutes."""

    def __call__(self, *args: Any, **members: Any) -> Any:
        given = members.get("timeout")
        members["timeout"] = CALL_LIMIT_S if given is None else min(given, CALL_LIMIT_S)
        return super().__call__(*args, **members)


class GoogleSource(Source):
    """Obtains access tokens from a file, or from the metadata server."""

    def obtain(self) -> Obtained:
        """An access token. Raises what google-auth raises."""
        found, method = self._load()
        if account := self.entry.credential.impersonate:
            found = google.auth.impersonated_credentials.Credentials(
                found, target_principal=account, target_scopes=list(SCOPES), lifetime=LIFETIME_S
            )
        found.refresh(_Request())
        expiry = found.expiry  # UTC, without a zone
        return Obtained(
            BearerToken(
                checked(found.token, "access token"),
                _optional(getattr(found, "quota_project_id", None)),
            ),
            0.0 if expiry is None else _seconds(expiry),
            method,
        )

    def _load(self) -> tuple[Any, str]:
        quota = os.environ.get("GOOGLE_CLOUD_QUOTA_PROJECT") or None
        file = self._file()
        if file is not None:
            content = json.loads(Path(file).read_bytes())
            if not isinstance(content, dict):
                raise ValueError(f"{file} has no JSON object")
            found = _from_file(content)
            return found.with_quota_project(quota) if quota else found, str(content["type"])
        is_asked_for = self.entry.credential.source == "metadata"
        if is_asked_for or is_google(os.environ):
            made = google.auth.compute_engine.Credentials(
                scopes=list(SCOPES), quota_project_id=quota
            )
            return made, "metadata"
        raise ObtainFailed("no Google credentials were found", NOTHING_FOUND, is_final=True)

    def _file(self) -> str | None:
        """The file in use; None: the metadata server, or nothing."""
        credential = self.entry.credential
        if credential.source == "metadata":
            return None
        if named := credential.file or os.environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
            return os.path.expanduser(named)
        if credential.source == "env":
            return None
        made = application_default_file()
        return made if os.path.exists(made) or credential.source == "file" else None

    def _type(self) -> str:
        file = self._file()
        return "metadata" if file is None else str(_content(file).get("type", ""))

    def explain(self, error: Exception) -> ObtainFailed:
        """What an exception of google-auth means."""
        hint, is_final = self._judge(error)
        # Others hold the whole answer of the server in the second argument.
        is_google = isinstance(error, errors.GoogleAuthError) and error.args
        text = error.args[0] if is_google else error
        return ObtainFailed(self.reason(text), hint, is_final=is_final)

    def _judge(self, error: Exception) -> tuple[str, bool]:
        inner = error.args[0] if error.args else None
        if isinstance(error, errors.TransportError) or isinstance(inner, errors.TransportError):
            return NETWORK_HINT, False
        if isinstance(error, errors.DefaultCredentialsError):
            return NOTHING_FOUND, True
        if isinstance(error, errors.RefreshError):
            if error.retryable:
                return "Google could not answer; it is asked again", False
            if self.entry.credential.impersonate and "impersonat" in str(inner).lower():
                return HINTS["impersonated_service_account"], True
            return HINTS.get(self._type(), "check the credentials file"), True
        if isinstance(error, OSError):
            return "check that the file exists and can be read", True
        if isinstance(error, ValueError | TypeError | KeyError):
            return "check the credentials file, and what answers at its token address", True
        return UNKNOWN_HINT, False

    def files(self) -> WatchedFiles:
        """The file of the credential, and the token that it names."""
        file = self._file() or application_default_file()
        source = _content(file).get("credential_source")
        token = source.get("file") if isinstance(source, dict) else None
        return WatchedFiles((file,), (token,) if isinstance(token, str) else ())


def _from_file(content: dict[str, Any]) -> Any:
    """The credentials of a file. Raises DefaultCredentialsError, ValueError and others."""
    scopes = list(SCOPES)
    match content.get("type"):
        case "service_account":
            made = google.oauth2.service_account.Credentials
            return made.from_service_account_info(content, scopes=scopes)
        case "authorized_user":  # its scopes are those of the login
            return google.oauth2.credentials.Credentials.from_authorized_user_info(content)
        case "external_account":
            return _from_provider(content, scopes)
        case "external_account_authorized_user":
            from google.auth import external_account_authorized_user

            return external_account_authorized_user.Credentials.from_info(content)
        case "impersonated_service_account":
            impersonated = google.auth.impersonated_credentials.Credentials
            return impersonated.from_impersonated_service_account_info(content, scopes=scopes)
        case other:
            raise errors.DefaultCredentialsError(f"there is no type {other!r} of credentials file")


def _from_provider(content: dict[str, Any], scopes: list[str]) -> Any:
    source = content.get("credential_source")
    if content.get("subject_token_type") == "urn:ietf:params:aws:token-type:aws4_request":
        from google.auth import aws

        return aws.Credentials.from_info(content, scopes=scopes)
    if isinstance(source, dict) and source.get("executable") is not None:
        from google.auth import pluggable

        return pluggable.Credentials.from_info(content, scopes=scopes)
    from google.auth import identity_pool

    return identity_pool.Credentials.from_info(content, scopes=scopes)


def application_default_file() -> str:
    """Where `gcloud auth application-default login` writes."""
    folder = os.environ.get("CLOUDSDK_CONFIG") or os.path.expanduser("~/.config/gcloud")
    return str(Path(folder) / "application_default_credentials.json")


def _content(file: str) -> dict[str, Any]:
    try:
        content = json.loads(Path(file).read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _seconds(expiry: Any) -> float:
    from datetime import UTC

    return float(expiry.replace(tzinfo=UTC).timestamp())


def _optional(project: object) -> str:
    return checked(project, "quota project") if project else ""
