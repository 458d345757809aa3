"""What a configuration reaches outside of the relay: shown before a found file is confirmed."""

from collections.abc import Container, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from ccrelay.config.expand import Sources, expand
from ccrelay.config.model import Config
from ccrelay.config.problems import Path
from ccrelay.printable import printable

BY_COMMAND = "what a command says"


class Effects(msgspec.Struct, frozen=True):
    """Commands, secret files and variables, as written; where requests and keys are sent."""

    listen: str
    hosts: list[tuple[str, str]]  # provider, scheme and host of its base URL
    commands: tuple[str, ...]
    files: tuple[str, ...]
    variables: tuple[str, ...]
    log_file: str | None
    collector: str | None = None  # scheme and host; None: none is configured
    management: str | None = None
    ledger: str | None = None
    credentials: tuple[str, ...] = ()  # of clouds, by name, with their provider
    keychain: tuple[str, ...] = ()  # names of entries

    def lines(self) -> list[str]:
        """Return one line for each, without control characters."""
        found = [("listens on", self.listen)]
        found += [("sends to", f"{host} (provider {name})") for name, host in self.hosts]
        if self.collector:
            found.append(("sends to", f"{self.collector} (traces and metrics)"))
        found += [("runs", command) for command in self.commands]
        found += [("reads", file) for file in self.files]
        found += [("reads", f"the keychain entry {name}") for name in self.keychain]
        found += [("uses", f"${name}") for name in self.variables]
        found += [("uses", text) for text in self.credentials]
        found += [("logs to", self.log_file)] if self.log_file else []
        found += [("managed at", self.management)] if self.management else []
        found += [("records to", self.ledger)] if self.ledger else []
        # Whole and as it is: what were hidden as a secret could be where a secret goes.
        return [f"  {verb:<10} {_one_line(text)}" for verb, text in found]


def effects(data: Any, config: Config, not_run: Container[Path] = ()) -> Effects:
    """Return the effects of a file.

    Args:
        data: its parsed content, not expanded.
        config: the configuration made of it, resolved.
        not_run: places of values that only a command could tell, and that it has not told.
    """
    seen: dict[str, dict[str, None]] = {"commands": {}, "files": {}, "keychain": {}}

    def note(kind: str, text: str) -> str:
        seen[kind][text] = None
        return ""

    def unknown(index: int) -> bool:
        # Type and preset have base URLs, too; those of clouds have other members in them.
        names = ("base_url", "type", "preset", "region", "location", "project", "workspace")
        places = [("providers", index, name) for name in (*names, "resource")]
        return any(place in not_run for place in places)

    names = _Names()
    expand(
        data,
        Sources(
            names,
            lambda text: note("files", text),
            lambda text: note("commands", text),
            lambda text: note("keychain", text),
        ),
    )

    def shown(section: str, name: str, value: str | None) -> str | None:
        return BY_COMMAND if (section, name) in not_run else value

    return Effects(
        listen=BY_COMMAND if ("server", "listen") in not_run else config.server.listen,
        hosts=[
            (provider.name, BY_COMMAND if unknown(index) else origin(provider.base_url))
            for index, provider in enumerate(config.providers)
        ],
        commands=tuple(seen["commands"]),
        files=(*seen["files"], *_credential_files(config)),
        variables=tuple(names.asked),
        log_file=shown("logging", "file", config.logging.file),
        collector=BY_COMMAND if ("telemetry", "otlp_endpoint") in not_run else _collector(config),
        management=shown("management", "listen", config.management.listen),
        ledger=shown("ledger", "path", config.ledger.path),
        credentials=_credentials(config),
        keychain=tuple(seen["keychain"]),
    )


def _credentials(config: Config) -> tuple[str, ...]:
    return tuple(
        f"the credential {key.name} of {provider.type} (provider {provider.name})"
        for provider in config.providers
        for key in provider.keys
        if key.credential is not None
    )


def _credential_files(config: Config) -> Iterator[str]:
    for provider in config.providers:
        for key in provider.keys:
            if key.credential is not None:
                files = (key.credential.file, key.credential.certificate_file)
                yield from (file for file in files if file)


def origins(config: Config) -> frozenset[str]:
    """Return where the providers and the collector are: schemes and hosts of their URLs."""
    found = {origin(provider.base_url) for provider in config.providers}
    collector = _collector(config)
    return frozenset(found | {collector} if collector else found)


def _collector(config: Config) -> str | None:
    endpoint = config.telemetry.otlp_endpoint
    return None if endpoint is None else origin(endpoint)


def origin(base_url: str | None) -> str:
    """Return scheme, host and port of a URL, without user and password; "?" when unknown."""
    try:
        parts = urlsplit(base_url or "")
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError:
        return "?"
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}{port}" if host else "?"


def _one_line(text: str) -> str:
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


class _Names(Mapping[str, str]):
    """An environment without variables, so that every default is walked; notes what is asked."""

    def __init__(self) -> None:
        self.asked: dict[str, None] = {}

    def get(self, name: str, default: Any = None) -> Any:
        """Note the name. Empty, so that the rest of the text is walked, too."""
        self.asked[name] = None
        return ""

    def __getitem__(self, name: str) -> str:
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0
