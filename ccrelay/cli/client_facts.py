"""What of a relay decides how Claude Code is set up: its routes, its address, its tokens.

`facts_of` reads the effective configuration, as `Config.Get` and `ccrelay config show` give it; it
asks nothing itself. `ask` gets it from the relay that runs.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from ccrelay.cli.connection import Relay

ANTHROPIC = "https://api.anthropic.com"
_ANY_HOST = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}
_PORT_HTTPS = 443


class RouteProvider(NamedTuple):
    """A provider that requests may go to.

    Args:
        name: from the configuration.
        type: its API dialect.
        base_url: where requests go, without credentials.
        api: surface of type bedrock; empty: other types.
        has_keys: whether it has keys of its own; else the client's credential is passed through,
            or none is needed.
        mapping: requested model, name or glob -> model that is sent.
        models: names and globs that it serves under their own name.
        windows: context window of models, tokens, by name.
        drop_betas: values of `anthropic-beta` that are left out; `*`: all.
        drops_headers: whether headers of the client are left out.
        discovers: whether its own list of models is offered to clients.
    """

    name: str
    type: str
    base_url: str = ""
    api: str = ""
    has_keys: bool = True
    mapping: Mapping[str, str] = {}
    models: Sequence[str] = ()
    windows: Mapping[str, int] = {}
    drop_betas: Sequence[str] = ()
    drops_headers: bool = False
    discovers: bool = False

    @property
    def is_anthropic(self) -> bool:
        """Whether requests end at api.anthropic.com."""
        parts = urlsplit(self.base_url)
        return (
            self.type == "anthropic"
            and f"{parts.scheme}://{parts.hostname}" == ANTHROPIC
            and (parts.port or _PORT_HTTPS) == _PORT_HTTPS
        )

    @property
    def passes_through(self) -> bool:
        """Whether the client's own credential goes to it."""
        return self.type == "anthropic" and not self.has_keys

    def drops(self, beta: str) -> bool:
        """Return whether a value of `anthropic-beta` is left out for it."""
        return "*" in self.drop_betas or beta in self.drop_betas


class Facts(NamedTuple):
    """A relay, as far as it matters to the client.

    Args:
        url: base URL for clients on this machine.
        providers: those that requests may go to, in the order of the configuration.
        wants_token: whether clients must send a relay token.
        token: one of its relay tokens; None: not known here, or none is wanted.
    """

    url: str
    providers: Sequence[RouteProvider]
    wants_token: bool = False
    token: str | None = None


def facts_of(
    effective: Mapping[str, Any],
    url: str,
    token: str | None = None,
    switchable: frozenset[str] = frozenset(),
) -> Facts:
    """Return the facts of an effective configuration.

    Args:
        effective: the configuration as plain data, with all defaults.
        url: base URL of the relay.
        token: one of its tokens, where it is known.
        switchable: names of providers that are off by an override, which may be dropped any time.
    """
    providers = [
        _provider(one)
        for one in effective.get("providers", ())
        if one.get("enabled", True) or one["name"] in switchable
    ]
    wants_token = bool(effective.get("server", {}).get("auth", {}).get("tokens"))
    return Facts(url, providers, wants_token, token if wants_token else None)


def _provider(plain: Mapping[str, Any]) -> RouteProvider:
    models = plain.get("models") or ()
    entries: list[dict[str, Any]] = [{"id": one} if isinstance(one, str) else one for one in models]
    windows = {one["id"]: one["max_input_tokens"] for one in entries if "max_input_tokens" in one}
    return RouteProvider(
        name=plain["name"],
        type=plain["type"],
        base_url=plain.get("base_url") or "",
        api=plain.get("api") or "",
        has_keys=bool(plain.get("keys")),
        mapping=plain.get("model_mapping") or {},
        models=[one["id"] for one in entries],
        windows=windows,
        drop_betas=plain.get("drop_betas") or (),
        drops_headers=bool(plain.get("drop_headers")),
        discovers=bool(plain.get("discover_models")),
    )


def local_url(listen: Sequence[str]) -> str:
    """Return the URL of a relay for clients on this machine, given its addresses HOST:PORT."""
    host, _, port = listen[0].rpartition(":")
    return f"http://{_ANY_HOST.get(host, host)}:{port}"


def ask(relay: "Relay") -> Facts:
    """Ask the running relay. Raises Failed."""
    import yaml

    from ccrelay.cli.connection import Failed
    from ccrelay.v1.config_pb2 import ConfigGetRequest, ConfigGetResponse
    from ccrelay.v1.relay_pb2 import GetStatusRequest, GetStatusResponse

    status = relay.call("Relay/GetStatus", GetStatusRequest(), GetStatusResponse).status
    if not status.listen:
        raise Failed("The relay listens nowhere yet: try again.")
    told = relay.call("Config/Get", ConfigGetRequest(), ConfigGetResponse).effective
    effective = yaml.load(told, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}
    token = None
    if effective.get("server", {}).get("auth", {}).get("tokens"):
        from ccrelay.cli.doctor_config import find_config

        found = find_config(None, status)
        tokens = found.config.server.auth.tokens if found.config else []
        token = next((one for one in tokens if one not in found.missing), None)
    switchable = frozenset(
        provider.name
        for provider in status.providers
        if any(one.setting == "enabled" for one in provider.overrides)
    )
    return facts_of(effective, local_url(status.listen), token, switchable)
