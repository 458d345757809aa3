"""Credentials of AWS, obtained with botocore.

Every call makes a session of its own: botocore keeps what it has read, and a rotated file or a new
login has to be seen.
"""

import os
from typing import Any, Final

import botocore.exceptions as errors
from botocore.config import Config
from botocore.credentials import create_credential_resolver
from botocore.session import Session

from ccrelay.config.model import CredentialSource
from ccrelay.credentials.machine import is_ec2
from ccrelay.credentials.source import (
    NETWORK_HINT,
    UNKNOWN_HINT,
    Obtained,
    ObtainFailed,
    Source,
    WatchedFiles,
    checked,
)
from ccrelay.wire.cloud_credential import AwsKeys

CONNECT_LIMIT_S: Final = 4
READ_LIMIT_S: Final = 8
SESSION_NAME: Final = "ccrelay"
_PROFILE: Final = frozenset(
    {
        *("assume-role", "assume-role-with-web-identity", "sso", "shared-credentials-file"),
        *("login", "custom-process", "config-file"),
    }
)
# Names of botocore's providers, by source; those of the default chain are all.
METHODS: Final[dict[CredentialSource, frozenset[str]]] = {
    "env": frozenset({"env"}),
    "profile": _PROFILE,
    "web-identity": frozenset({"assume-role-with-web-identity"}),
    "container": frozenset({"container-role"}),
    "metadata": frozenset({"iam-role"}),
    "file": frozenset({"shared-credentials-file", "config-file"}),
}
METADATA: Final = "iam-role"
# Of a ClientError: what each means for a person. Others with a status below 500 are final, too.
CODES: Final = {
    "AccessDenied": "check the trust policy of the role, and the permission to assume it",
    "AccessDeniedException": "check the trust policy of the role, and the permission to assume it",
    "ExpiredToken": "the credential that the role is assumed with has expired: renew it",
    "ExpiredTokenException": "the token in the file has expired: renew it",
    "InvalidIdentityToken": "check the issuer and the audience of the token file",
    "IDPRejectedClaim": "check the issuer and the audience of the token file",
    "InvalidClientTokenId": "the access key does not exist any more, or is inactive",
    "UnrecognizedClientException": "the access key does not exist any more, or is inactive",
    "SignatureDoesNotMatch": "check the secret access key, and the clock of this machine",
    "RequestExpired": "check the clock of this machine",
    "ForbiddenException": "the account or the role of the SSO profile is not assigned any more",
    "ResourceNotFoundException": "check account and role of the SSO profile",
    "RegionDisabledException": "turn STS on for this region, or use another one",
}
_THROTTLED: Final = frozenset({"Throttling", "ThrottlingException", "TooManyRequestsException"})
NOTHING_FOUND: Final = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a `profile`, log in (aws sso login), or "
    "say `source: metadata` on a machine of EC2"
)


class _AsksForMfa(Exception):
    """A profile wants a code that a person reads from a device."""


# What other exceptions mean, the first that fits: hint, and whether it is final.
MEANINGS: Final[tuple[tuple[tuple[type[Exception], ...], str, bool], ...]] = (
    ((errors.ProfileNotFound,), "write the profile to ~/.aws/config, or name another one", True),
    (
        (errors.CredentialRetrievalError, errors.MetadataRetrievalError),
        "check the program or the address that gives the credentials",
        False,
    ),
    ((errors.HTTPClientError, errors.ConnectionError), NETWORK_HINT, False),
    ((_AsksForMfa, EOFError), "use a profile without MFA, or one of SSO (aws sso login)", True),
    ((errors.BotoCoreError,), "check ~/.aws/config and ~/.aws/credentials", True),
    # "the refreshed credentials are still expired"
    ((RuntimeError,), "check the clock of this machine", False),
    ((OSError,), "check that the file exists and can be read", True),
)


class AwsSource(Source):
    """Obtains keys with botocore's chain, or the part of it that the entry names."""

    def obtain(self) -> Obtained:
        """Keys, session keys for the most part. Raises what botocore raises."""
        session = self._session()
        found = self._resolver(session).load_credentials()
        if found is None:
            raise ObtainFailed("no AWS credentials were found", NOTHING_FOUND, is_final=True)
        frozen = found.get_frozen_credentials()
        if self.entry.credential.role_arn:
            return self._assume_role(session, frozen)
        # Of credentials that expire; nothing public shows it.
        expiry = getattr(found, "_expiry_time", None)
        return Obtained(
            _keys(frozen.access_key, frozen.secret_key, frozen.token),
            0.0 if expiry is None else float(expiry.timestamp()),
            str(found.method),
        )

    def _session(self) -> Any:
        session = Session(profile=self.entry.credential.profile)
        session.set_default_client_config(
            Config(
                connect_timeout=CONNECT_LIMIT_S,
                read_timeout=READ_LIMIT_S,
                retries={"mode": "standard", "total_max_attempts": 2},
            )
        )
        return session

    def _resolver(self, session: Any) -> Any:
        region = self.entry.region or None
        resolver = create_credential_resolver(session, region_name=region)
        credential = self.entry.credential
        source = credential.source or ("profile" if credential.profile else "default")
        if source in METHODS:
            wanted = METHODS[source]
            resolver.providers = [one for one in resolver.providers if one.METHOD in wanted]
        elif not is_ec2(os.environ):
            resolver.remove(METADATA)
        for provider in resolver.providers:
            if provider.METHOD == "assume-role":
                provider._prompter = _refuse_to_ask
        return resolver

    def _assume_role(self, session: Any, frozen: Any) -> Obtained:
        credential = self.entry.credential
        client = session.create_client(
            "sts",
            region_name=self.entry.region or session.get_config_variable("region") or "us-east-1",
            aws_access_key_id=frozen.access_key,
            aws_secret_access_key=frozen.secret_key,
            aws_session_token=frozen.token,
        )
        arguments = {"RoleArn": credential.role_arn, "RoleSessionName": SESSION_NAME}
        if credential.external_id:
            arguments["ExternalId"] = credential.external_id
        given = client.assume_role(**arguments)["Credentials"]
        return Obtained(
            _keys(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"]),
            float(given["Expiration"].timestamp()),
            "assume-role",
        )

    def explain(self, error: Exception) -> ObtainFailed:
        """What an exception of botocore means."""
        hint, is_final = self._judge(error)
        return ObtainFailed(self.reason(error), hint, is_final=is_final)

    def _judge(self, error: Exception) -> tuple[str, bool]:
        if isinstance(error, errors.ClientError):
            return _judge_response(error)
        if isinstance(error, errors.SSOError | errors.TokenRetrievalError):
            return f"log in: aws sso login --profile {self._profile()}", True
        if isinstance(error, errors.LoginError):
            return f"log in: aws login --profile {self._profile()}", True
        for kinds, hint, is_final in MEANINGS:
            if isinstance(error, kinds):
                return hint, is_final
        return UNKNOWN_HINT, False

    def _profile(self) -> str:
        return self.entry.credential.profile or os.environ.get("AWS_PROFILE") or "default"

    def files(self) -> WatchedFiles:
        """The files of the AWS command line, and the token of a web identity."""
        config = os.environ.get("AWS_CONFIG_FILE", "~/.aws/config")
        shared = os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")
        caches = ["~/.aws/sso/cache", "~/.aws/login/cache"]
        if token := os.environ.get("AWS_WEB_IDENTITY_TOKEN_FILE"):
            caches.append(token)
        return WatchedFiles(
            (os.path.expanduser(config), os.path.expanduser(shared)),
            tuple(map(os.path.expanduser, caches)),
        )


def _refuse_to_ask(_: str) -> str:
    raise _AsksForMfa("the profile asks for an MFA code, which the relay cannot enter")


def _judge_response(error: Any) -> tuple[str, bool]:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _THROTTLED or status >= 500 or status == 429:
        return "AWS could not answer; it is asked again", False
    return CODES.get(code, "check the permissions of this credential"), True


def _keys(access_key: object, secret_key: object, token: object) -> AwsKeys:
    return AwsKeys(
        checked(access_key, "access key"),
        checked(secret_key, "secret key"),
        checked(token, "session token") if token else "",
    )
