"""A scripted token service on loopback: STS, SSO portal, metadata servers, Google's and Entra's.

It answers from a thread, as the libraries under test block.
"""

import contextlib
import datetime
import http.server
import json
import shutil
import ssl
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ccrelay.config.model import Credential
from ccrelay.runtime.credentials_link import CredentialEntry

KEYS = ("ASIAEXAMPLE", "test-secret-2", "test-session-2")


class Asked(NamedTuple):
    """One request as it came in."""

    method: str
    target: str
    headers: dict[str, str]
    body: str

    @property
    def form(self) -> dict[str, str]:
        return dict(urllib.parse.parse_qsl(self.body))


class Answer(NamedTuple):
    """What is sent: a status and a body; `wait` for that event first."""

    body: Any = b""
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    wait: threading.Event | None = None

    def raw(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


Script = Callable[[Asked], Answer]


class Service:
    """One service. `script` may be replaced at any time."""

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        self.script = script
        self.asked: list[Asked] = []
        self.released = threading.Event()  # lets answers go that wait
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def __getattr__(self, name: str) -> Any:
                if name.startswith("do_"):
                    return self.answer
                raise AttributeError(name)

            def answer(self) -> None:
                size = int(self.headers.get("content-length") or 0)
                headers = {name.lower(): value for name, value in self.headers.items()}
                body = self.rfile.read(size).decode()
                asked = Asked(self.command, self.path, headers, body)
                service.asked.append(asked)
                answer = service.script(asked)
                if answer.wait is not None:
                    answer.wait.wait(60)
                raw = answer.raw()
                with contextlib.suppress(OSError):
                    self.send_response(answer.status)
                    for name, value in answer.headers:
                        self.send_header(name, value)
                    self.send_header("content-length", str(len(raw)))
                    self.end_headers()
                    self.wfile.write(raw)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        scheme = "http" if tls is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextlib.contextmanager
def serving(script: Script, tls: ssl.SSLContext | None = None) -> Iterator[Service]:
    service = Service(script, tls)
    try:
        yield service
    finally:
        service.close()


def make_certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate of 127.0.0.1 that is its own authority, and the context of its server."""
    openssl = shutil.which("openssl")
    assert openssl is not None, "these tests need the openssl program"
    command = (
        f"{openssl} req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
        " -keyout tls-key.pem -out tls-cert.pem -subj /CN=localhost"
        " -addext subjectAltName=DNS:localhost,IP:127.0.0.1"
    )
    subprocess.run(command.split(), check=True, capture_output=True, cwd=folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls-cert.pem", folder / "tls-key.pem")
    return folder / "tls-cert.pem", context


def make_key(folder: Path) -> str:
    """An RSA key in PEM, of a service account."""
    command = ["openssl", "genrsa", "2048"]
    ran = subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder)
    return ran.stdout


def entry(cloud: str, region: str = "us-east-1", **members: Any) -> CredentialEntry:
    """An entry with this credential."""
    credential = Credential(**members)
    return CredentialEntry("cloudy", "credential:{}", "main", cloud, region, credential)


def in_s(seconds: float) -> str:
    """An instant as AWS writes it."""
    at = datetime.datetime.fromtimestamp(time.time() + seconds, datetime.UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


# ---- AWS


def sts(lives_s: float = 3600.0, keys: tuple[str, str, str] = KEYS) -> Script:
    """AssumeRole and AssumeRoleWithWebIdentity."""

    def script(asked: Asked) -> Answer:
        action = asked.form.get("Action", "AssumeRole")
        access, secret, token = keys
        body = (
            f'<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
            f"<{action}Result><Credentials><AccessKeyId>{access}</AccessKeyId>"
            f"<SecretAccessKey>{secret}</SecretAccessKey><SessionToken>{token}</SessionToken>"
            f"<Expiration>{in_s(lives_s)}</Expiration></Credentials></{action}Result>"
            f"<ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></{action}Response>"
        )
        return Answer(body.encode(), headers=(("content-type", "text/xml"),))

    return script


def sts_error(code: str, status: int = 403, text: str = "no") -> Script:
    """A refusal of STS."""
    body = (
        '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error>'
        f"<Type>Sender</Type><Code>{code}</Code><Message>{text}</Message></Error>"
        "<RequestId>r</RequestId></ErrorResponse>"
    )
    return lambda _: Answer(body.encode(), status, (("content-type", "text/xml"),))


def container(lives_s: float = 3600.0, keys: tuple[str, str, str] = KEYS) -> Script:
    """The credentials endpoint of a container, and of IMDS."""
    access, secret, token = keys

    def script(asked: Asked) -> Answer:
        if asked.target == "/latest/api/token":
            return Answer(b"test-imds-token")
        if asked.target.endswith("/security-credentials/"):
            return Answer(b"test-role")
        given = {
            "Code": "Success",
            "AccessKeyId": access,
            "SecretAccessKey": secret,
            "Token": token,
            "Expiration": in_s(lives_s),
        }
        return Answer(given)

    return script


def sso_portal(lives_s: float = 3600.0) -> Script:
    """GetRoleCredentials of the SSO portal."""
    access, secret, token = KEYS
    given = {
        "accessKeyId": access,
        "secretAccessKey": secret,
        "sessionToken": token,
        "expiration": int((time.time() + lives_s) * 1000),
    }
    return lambda _: Answer({"roleCredentials": given})


# ---- Google


def google_tokens(lives_s: int = 3600) -> Script:
    """Token, exchange, impersonation and metadata endpoints of Google."""

    def script(asked: Asked) -> Answer:
        if asked.target.startswith("/computeMetadata"):
            return _google_metadata(asked, lives_s)
        if asked.target.endswith(":generateAccessToken"):
            return Answer({"accessToken": "test-google-token-2", "expireTime": in_s(lives_s)})
        return Answer(
            {
                "access_token": "test-google-token-1",
                "expires_in": lives_s,
                "token_type": "Bearer",
                "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            }
        )

    return script


def _google_metadata(asked: Asked, lives_s: int) -> Answer:
    flavor = (("Metadata-Flavor", "Google"), ("content-type", "application/json"))
    if "/token" in asked.target:
        token = {"access_token": "test-google-token-1", "expires_in": lives_s}
        return Answer({**token, "token_type": "Bearer"}, headers=flavor)
    if "universe" in asked.target:
        return Answer(b"googleapis.com", headers=(("Metadata-Flavor", "Google"),))
    about = {"email": "sa@test-project-1.iam.gserviceaccount.com", "scopes": [], "aliases": []}
    return Answer(about, headers=flavor)


# ---- Azure


def entra(lives_s: int = 3600) -> Script:
    """The authority of Entra, IMDS and App Service."""

    def script(asked: Asked) -> Answer:
        if "openid-configuration" in asked.target:
            tenant = asked.target.split("/")[1]
            host = asked.headers["host"]
            base = f"https://{host}/{tenant}"
            return Answer(
                {
                    "token_endpoint": f"{base}/oauth2/v2.0/token",
                    "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                    "issuer": f"{base}/v2.0",
                }
            )
        token = {
            "access_token": "test-entra-token-1",
            "expires_in": str(lives_s) if "metadata" in asked.target else lives_s,
            "expires_on": str(int(time.time()) + lives_s),
            "resource": "https://ai.azure.com",
            "token_type": "Bearer",
        }
        return Answer(token, headers=(("content-type", "application/json"),))

    return script
