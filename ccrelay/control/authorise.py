"""Who may call what: one function for gRPC methods and HTTP paths, on both doors. Deny by default.

A Unix door trusts the user it runs as, and root. A TCP door wants the token, or a session of the
web page, and refuses what a page of others could send: a Host that is no name of ours (a page that
rebinds its own name to 127.0.0.1 still sends that name), and an Origin other than the one the
request itself goes to, which is a page of the relay.

A session is a cookie, which browsers send by themselves, and the page's key in a header, which a
form cannot send, nor a script of another origin before it has asked; and that is always refused.
"""

import hmac
import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from ccrelay.control.sessions import Session, Sessions

ROOT_UID = 0
ANY = "*"
LOOPBACK_NAMES = frozenset({"localhost", "[::1]"})
SESSION_PATH = "/session"
PAGE_HEADER = "x-ccrelay-page"
COOKIES_MAX = 4  # of one name, which other servers of this host may set, too

Metadata = Sequence[tuple[str, str | bytes]]
"""Headers, names in lower case. `:authority` or `host` holds the Host."""


class Right(Enum):
    """What a call needs."""

    OPEN = "open"  # nothing: whether the relay is alive, and the files of the page
    SIGN_IN = "sign_in"  # the header of the page; what else, its handler looks at
    READ = "read"
    ACT = "act"


# The only list of what may be called: gRPC methods and HTTP paths. What is not in it is denied, but
# for the files below ASSETS, whose names change with each build: `right_of`.
RIGHTS = {
    "/": Right.OPEN,
    "/favicon.svg": Right.OPEN,
    "/streams.js": Right.OPEN,
    SESSION_PATH: Right.SIGN_IN,
    "/healthz": Right.OPEN,
    "/metrics": Right.READ,
    "/statusline": Right.READ,
    "/grpc.health.v1.Health/Check": Right.OPEN,
    "/grpc.health.v1.Health/List": Right.OPEN,
    "/grpc.health.v1.Health/Watch": Right.OPEN,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": Right.READ,
    "/ccrelay.v1.Relay/GetStatus": Right.READ,
    "/ccrelay.v1.Relay/WatchStatus": Right.READ,
    "/ccrelay.v1.Relay/Reload": Right.ACT,
    "/ccrelay.v1.Relay/Drain": Right.ACT,
    "/ccrelay.v1.Relay/Stop": Right.ACT,
    "/ccrelay.v1.Relay/SetLogLevel": Right.ACT,
    "/ccrelay.v1.Relay/GetVersion": Right.READ,
    "/ccrelay.v1.Relay/CreateSignInLink": Right.ACT,
    "/ccrelay.v1.Providers/List": Right.READ,
    "/ccrelay.v1.Providers/Watch": Right.READ,
    "/ccrelay.v1.Providers/Probe": Right.ACT,
    "/ccrelay.v1.Providers/SetEnabled": Right.ACT,
    "/ccrelay.v1.Providers/SetKeyEnabled": Right.ACT,
    "/ccrelay.v1.Providers/ClearCooldown": Right.ACT,
    "/ccrelay.v1.Providers/SetWeight": Right.ACT,
    "/ccrelay.v1.Providers/ListOverrides": Right.READ,
    "/ccrelay.v1.Providers/WriteOverrides": Right.ACT,
    "/ccrelay.v1.Providers/DropOverrides": Right.ACT,
    "/ccrelay.v1.Exchanges/List": Right.READ,
    "/ccrelay.v1.Exchanges/Get": Right.READ,
    "/ccrelay.v1.Exchanges/Tail": Right.READ,
    "/ccrelay.v1.Exchanges/WatchRunning": Right.READ,
    "/ccrelay.v1.Usage/Query": Right.READ,
    "/ccrelay.v1.Usage/Export": Right.READ,
    "/ccrelay.v1.Usage/Prices": Right.READ,
    "/ccrelay.v1.Usage/ListSessions": Right.READ,
    "/ccrelay.v1.Routing/Explain": Right.READ,
    "/ccrelay.v1.Routing/ListRules": Right.READ,
    "/ccrelay.v1.Setup/Detect": Right.READ,
    "/ccrelay.v1.Setup/Check": Right.ACT,
    "/ccrelay.v1.Setup/Write": Right.ACT,
    "/ccrelay.v1.Config/Get": Right.READ,
    "/ccrelay.v1.Config/Validate": Right.READ,
    "/ccrelay.v1.Config/Apply": Right.ACT,
    "/ccrelay.v1.Config/ListRevisions": Right.READ,
    "/ccrelay.v1.Config/Rollback": Right.ACT,
}
ASSETS = "/assets/"
FILES = ("/favicon.svg", "/streams.js")  # of the page, whose names stay


def right_of(method: str) -> Right | None:
    """Return what a method or path needs; None: it may not be called."""
    return Right.OPEN if method.startswith(ASSETS) else RIGHTS.get(method)


def is_of_page(path: str) -> bool:
    """Whether a path is that of a file of the web page."""
    return path in ("/", *FILES) or path.startswith(ASSETS)


@dataclass(frozen=True, slots=True)
class Door:
    """Where a connection came in.

    Args:
        is_unix: a Unix socket; else TCP.
        owner_uid: the user that this process runs as.
        peer_uid: the user at the other end of a Unix socket; -1: not known.
        token: that TCP asks for; empty: none is valid.
        hosts: names that a Host may have beside loopback names, as `host_names` returns them.
        is_tls: whether a page of the relay has an `https` origin.
        peer: address of the client, for wrong tokens; empty on a Unix socket.
        sessions: of the web page; None: there is no page.
        cookie: name of the cookie of sessions.
    """

    is_unix: bool
    owner_uid: int = -1
    peer_uid: int = -1
    token: str = field(default="", repr=False)
    hosts: frozenset[str] = frozenset()
    is_tls: bool = False
    peer: str = ""
    sessions: Sessions | None = field(default=None, repr=False)
    cookie: str = ""

    @property
    def is_owner(self) -> bool:
        """Whether a Unix peer is the user that this process runs as, or root."""
        return self.is_unix and self.peer_uid >= 0 and self.peer_uid in (self.owner_uid, ROOT_UID)


class Why(Enum):
    """Why a call is denied."""

    USER = "user"
    HOST = "host"
    ORIGIN = "origin"
    NO_TOKEN = "no_token"
    WRONG_TOKEN = "wrong_token"
    NO_PAGE_KEY = "no_page_key"
    SIGNED_OUT = "signed_out"
    READ_ONLY = "read_only"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a call may go on.

    Args:
        why: it may not, and why; None: it may.
        message: one sentence for the caller.
        session: of the page that calls; None: the caller is none.
    """

    why: Why | None = None
    message: str = ""
    session: Session | None = None

    @property
    def is_allowed(self) -> bool:
        """Whether the call may go on."""
        return self.why is None


_ALLOWED = Decision()
_HOST = Decision(
    Why.HOST, "Host not allowed: add it to management.allowed_hosts if clients use it."
)
_ORIGIN = Decision(Why.ORIGIN, "Pages of other sites may not call this relay.")
_USER = Decision(Why.USER, "This socket is for the user who runs the relay.")
_NO_TOKEN = Decision(
    Why.NO_TOKEN,
    "Send the token of the file management-token as `authorization: Bearer TOKEN`.",
)
_WRONG_TOKEN = Decision(
    Why.WRONG_TOKEN, "Wrong token: the file management-token of the relay holds the right one."
)
_NO_PAGE_KEY = Decision(
    Why.NO_PAGE_KEY, f"A cookie alone opens nothing: the page sends its key as {PAGE_HEADER}."
)
_SIGNED_OUT = Decision(Why.SIGNED_OUT, "You are signed out: run `ccrelay open` to sign in.")
_READ_ONLY = Decision(
    Why.READ_ONLY, "You are signed in to look, not to change: run `ccrelay open` to sign in again."
)
_UNKNOWN = Decision(Why.UNKNOWN, "No such method or path is open to callers.")


def authorise(door: Door, method: str, metadata: Metadata) -> Decision:
    """Decide whether a call may go on.

    Args:
        door: where the connection came in.
        method: `/ccrelay.v1.Relay/GetStatus`, or the path of an HTTP request without its query.
        metadata: all headers.
    """
    right = right_of(method)
    if door.is_unix:
        decision = _ALLOWED if door.is_owner else _USER
    else:
        decision = _foreign(door, method, metadata) or _tcp(door, right, metadata)
    return _UNKNOWN if right is None and decision.is_allowed else decision


def _foreign(door: Door, method: str, metadata: Metadata) -> Decision | None:
    """Return why a call is one of a page that is not ours; None: it is not."""
    hosts = _values(metadata, ":authority") or _values(metadata, "host")
    if len(hosts) != 1 or not host_allowed(hosts[0], door.hosts):
        return _HOST
    own_origin = f"{'https' if door.is_tls else 'http'}://{hosts[0]}".lower()
    if any(origin.lower() != own_origin for origin in _values(metadata, "origin")):
        return _ORIGIN
    # Sent by browsers also where they send no Origin: images, links, frames.
    sites = _values(metadata, "sec-fetch-site")
    if all(site in ("same-origin", "none") for site in sites):
        return None
    # A link that is followed shows the page in a tab of its own, and its opener nothing of it.
    is_link = _values(metadata, "sec-fetch-dest") == ["document"]
    is_link = is_link and _values(metadata, "sec-fetch-mode") == ["navigate"]
    return None if is_link and method == "/" else _ORIGIN


def _tcp(door: Door, right: Right | None, metadata: Metadata) -> Decision:
    """Decide by token or session."""
    if right is Right.OPEN:
        return _ALLOWED
    keys = _values(metadata, PAGE_HEADER)
    if right is Right.SIGN_IN:
        return Decision(session=_session(door, keys, metadata)) if keys else _NO_PAGE_KEY
    if credentials := _values(metadata, "authorization"):
        is_right = len(credentials) == 1 and _is_right(credentials[0], door.token)
        return _ALLOWED if is_right else _WRONG_TOKEN
    if not _cookies(door, metadata):
        return _SIGNED_OUT if keys else _NO_TOKEN
    if not keys:
        return _NO_PAGE_KEY
    session = _session(door, keys, metadata)
    if session is None:
        return _SIGNED_OUT
    if session.is_read_only and right not in (Right.READ, None):  # None is denied anyway
        return _READ_ONLY
    return Decision(session=session)


def _session(door: Door, keys: Sequence[str], metadata: Metadata) -> Session | None:
    """Return the session of a page of ours that calls."""
    sites = _values(metadata, "sec-fetch-site")
    if door.sessions is None or len(keys) != 1 or any(site != "same-origin" for site in sites):
        return None
    for cookie in _cookies(door, metadata)[:COOKIES_MAX]:
        if session := door.sessions.find(cookie, keys[0]):
            return session
    return None


def _cookies(door: Door, metadata: Metadata) -> list[str]:
    """Return the values of the door's cookie."""
    pairs = [pair for line in _values(metadata, "cookie") for pair in line.split(";")]
    split = [pair.strip().partition("=") for pair in pairs]
    return [value for name, _, value in split if door.cookie and name == door.cookie]


def _is_right(credential: str, token: str) -> bool:
    scheme, _, given = credential.partition(" ")
    is_bearer = scheme.lower() == "bearer"
    # Compared whatever came, in a time that says nothing.
    is_equal = hmac.compare_digest(given.strip().encode(), token.encode())
    return is_equal and is_bearer and bool(token)


def _values(metadata: Metadata, name: str) -> list[str]:
    return [
        value if isinstance(value, str) else value.decode("latin-1")
        for key, value in metadata
        if key == name
    ]


# ---- hosts


_HOST_PORT = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]:/@?#\s\\]+)(?::[0-9]{1,5})?")


def host_allowed(host: str, allowed: frozenset[str]) -> bool:
    """Whether a request with this Host may be served; the port is ignored.

    Loopback names are always allowed. `allowed` comes from `host_names`; `*` allows any host.
    """
    name = _name(host)
    if name is None:
        return False
    return ANY in allowed or name in LOOPBACK_NAMES or name in allowed or _is_loopback(name)


def host_names(names: Iterable[str]) -> frozenset[str]:
    """Return configured host names and addresses, with or without port, for `host_allowed`."""
    return frozenset(name for each in names if (name := _configured(each)) is not None)


def _configured(name: str) -> str | None:
    if name == ANY:
        return name
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return _name(name)
    if address.is_unspecified:  # a listener's, and no peer's
        return None
    return f"[{address}]" if address.version == 6 else str(address)


def _name(host: str) -> str | None:
    match = _HOST_PORT.fullmatch(host.strip().lower())
    return match[1].removesuffix(".") if match else None


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.IPv4Address(name).is_loopback
    except ValueError:
        return False
