"""The credentials of clouds as they go from the process that obtains them to the workers.

Workers only use them: they sign with `AwsKeys`, and send a `BearerToken`.
"""

import msgspec


class AwsKeys(msgspec.Struct, frozen=True, tag="aws", gc=False):
    """Signs requests (SigV4). `session_token` is empty for a user's own keys."""

    access_key: str
    secret_key: str
    session_token: str = ""

    def __repr__(self) -> str:
        return "<AwsKeys>"


class BearerToken(msgspec.Struct, frozen=True, tag="bearer", gc=False):
    """Sent as `Authorization: Bearer`.

    `quota_project`: sent as `x-goog-user-project`; empty: not.
    """

    token: str
    quota_project: str = ""

    def __repr__(self) -> str:
        return "<BearerToken>"


class IssuedCredential(msgspec.Struct, frozen=True, gc=False):
    """The newest credential of one entry of `keys`, or why there is none.

    Args:
        provider: its name.
        key: `Key.key` of the resolved entry, which tells entries apart and is no secret.
        secret: the credential; None: there is none.
        serial: grows with every secret of this entry, from 1.
        expires_at: seconds since 1970; 0.0: never.
        error: why the last refresh failed, one sentence with the next step; empty: it did not.
    """

    provider: str
    key: str
    secret: AwsKeys | BearerToken | None = None
    serial: int = 0
    expires_at: float = 0.0
    error: str = ""

    def __repr__(self) -> str:
        return f"<IssuedCredential {self.provider} serial={self.serial}>"
