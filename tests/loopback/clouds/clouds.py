"""Providers of each cloud before scripted ones, their credentials, and requests to them."""

import json
from collections.abc import Sequence
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from ccrelay.config.model import Credential, Key, Provider
from ccrelay.wire.cloud_credential import AwsKeys, BearerToken, IssuedCredential
from tests.loopback.relay.harness import Lab, Peer, Upstream
from tests.loopback.relay.wires import Request, post

MODEL = "claude-sonnet-4-5"
TOKEN = BearerToken("test-token-1")
KEYS = AwsKeys("AKIDEXAMPLE", "test-secret-1", "test-session-1")
BODY = json.dumps(
    {"model": MODEL, "max_tokens": 8, "messages": [{"role": "user", "content": "hi"}]}
).encode()
STREAM = BODY[:-1] + b',"stream":true}'
VERSION = (b"anthropic-version", b"2023-06-01")
MINE = (VERSION, (b"content-type", b"application/json"), (b"x-api-key", b"test-client-key"))

_KINDS: dict[str, dict[str, Any]] = {
    "vertex": {"project": "test-project", "location": "global"},
    "claude-google": {"project": "test-project", "location": "global", "workspace": "ws-1"},
    "claude-aws": {"region": "us-east-1", "workspace": "ws-1"},
    "bedrock": {"region": "us-east-1", "api": "invoke"},
    "azure": {},
}


def cloud(
    kind: str, upstream: Upstream | str, name: str = "", credentials: int = 1, **fields: Any
) -> Provider:
    """A provider with so many credentials; with none, `keys` are given."""
    url = upstream if isinstance(upstream, str) else upstream.url
    made = [
        Key(credential=Credential(profile=f"test-{n}") if n else Credential())
        for n in range(credentials)
    ]
    if kind in ("vertex", "claude-google"):
        made = [
            Key(credential=Credential(impersonate=f"test-{n}@example.com"))
            for n in range(credentials)
        ]
    if kind == "azure":
        made = [Key(credential=Credential(client_id=f"test-{n}")) for n in range(credentials)]
    given = {"keys": made, **_KINDS[kind], **fields}
    return Provider(name=name or kind, type=kind, base_url=url, **given)  # type: ignore[arg-type]


def issue(
    lab: Lab,
    name: str,
    secret: AwsKeys | BearerToken | None = None,
    serial: int = 1,
    *,
    index: int = 0,
    expires_at: float = 0.0,
    error: str = "",
) -> None:
    """A credential comes from the process that obtains them."""
    provider = next(p for p in lab.relay.config.providers if p.name == name)
    if secret is None and not error:
        secret = TOKEN if provider.type in ("vertex", "claude-google", "azure") else KEYS
    key = provider.keys[index].key
    issued = IssuedCredential(name, key, secret, serial, expires_at, error)
    lab.relay.take_credentials([issued])


def asked(body: bytes = BODY, *more: tuple[bytes, bytes], path: bytes = b"/v1/messages") -> bytes:
    """A request of a client that has a key of its own."""
    return post(body, path, headers=[*MINE, *more])


class Swallow:
    """A provider that takes requests of any size, keeps their bodies and answers them."""

    def __init__(self, reply: bytes) -> None:
        self._reply = reply
        self.bodies: list[bytes] = []

    async def __call__(self, peer: Peer) -> None:
        while True:
            while b"\r\n\r\n" not in peer.pending:
                if not await peer.more():
                    return
            head, _, rest = peer.pending.partition(b"\r\n\r\n")
            lines = (line.lower().partition(b":") for line in head.split(b"\r\n"))
            size = next(int(value) for name, _, value in lines if name == b"content-length")
            pieces, peer.pending = [rest], b""
            while sum(map(len, pieces)) < size:
                if not await peer.more():
                    return
                pieces.append(peer.pending)
                peer.pending = b""
            self.bodies.append(b"".join(pieces))
            await peer.send(self._reply)


def is_signed(request: Request, keys: AwsKeys, service: str, region: str = "us-east-1") -> bool:
    """Whether the signature of a request is right, as botocore sees it."""
    value = (request.get(b"authorization") or b"").decode()
    parts = dict(part.strip().split("=", 1) for part in value.split(" ", 1)[1].split(","))
    signed = parts["SignedHeaders"].split(";")
    headers = {name: (request.get(name.encode()) or b"").decode() for name in signed}
    path = request.line.split(b" ")[1].decode()
    made = AWSRequest("POST", f"http://{headers['host']}{path}", headers=headers, data=request.body)
    made.context["timestamp"] = headers["x-amz-date"]
    secret = Credentials(keys.access_key, keys.secret_key, keys.session_token or None)
    auth = SigV4Auth(secret, service, region)
    text = auth.string_to_sign(made, auth.canonical_request(made))
    return bool(auth.signature(text, made) == parts["Signature"])


def tokens(requests: Sequence[Request]) -> list[str]:
    """The bearer tokens that requests came with."""
    return [
        (request.get(b"authorization") or b"").decode().removeprefix("Bearer ")
        for request in requests
    ]
