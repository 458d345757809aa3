"""What `ccrelay serve` prints when ready: where it listens, who is behind it, how to use it."""

from pathlib import Path

from ccrelay import __version__
from ccrelay.config.address import split_listen
from ccrelay.config.fingerprint import fingerprint
from ccrelay.config.model import Config, Model, Provider

MODELS_SHOWN = 6  # a longer list is cut; `ccrelay config show` has all of it
WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}
DEMO_MODEL = "claude-sonnet-4-6"


def banner(
    config: Config, addresses: list[str], *, pid: int, source: Path | None, demo: bool
) -> str:
    """Return the text, without a newline at its end; secrets appear as fingerprints only.

    Args:
        config: resolved.
        addresses: what the relay listens on, "HOST:PORT".
        pid: the supervisor, to whom signals are sent.
        source: the configuration file, None when there is none.
        demo: the provider is the built-in one.
    """
    url = local_url(addresses[0])
    parts = [_where(config, addresses, pid, source), _table(config)]
    parts += [_demo(url)] if demo else []
    parts += [_exports(config, url)]
    return "\n\n".join(part for part in parts if part)


def local_url(address: str) -> str:
    """Return the URL by which this machine reaches a listen address."""
    host, port = split_listen(address)
    host = WILDCARDS.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{host}:{port}"


def _where(config: Config, addresses: list[str], pid: int, source: Path | None) -> str:
    workers = config.server.workers
    where = ", ".join(f"http://{address}" for address in addresses)
    count = "1 worker" if workers == 1 else f"{workers} workers"
    lines = [f"ccrelay {__version__} listens on {where} ({count}, process {pid})"]
    return "\n".join([*lines, f"configuration: {source}"] if source else lines)


def _table(config: Config) -> str:
    rows = [
        (provider.name, provider.type, provider.base_url or "", _keys(provider), _models(provider))
        for provider in config.providers
        if provider.enabled
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
    return "\n".join(f"  {line.rstrip()}" for line in lines)


def _keys(provider: Provider) -> str:
    if passes_through(provider):
        return "client's own credential"
    keys = [key for key in provider.keys if key.enabled]
    shown = [
        f"{key.name} {fingerprint(key.key)}" if key.name else fingerprint(key.key) for key in keys
    ]
    return ", ".join(shown) or "no key"


def passes_through(provider: Provider) -> bool:
    """Tell whether the provider gets the client's own credential."""
    return provider.enabled and provider.type == "anthropic" and not provider.keys


def _models(provider: Provider) -> str:
    served = [f"{asked} -> {sent}" for asked, sent in provider.model_mapping.items()]
    served += [m.id if isinstance(m, Model) else m for m in provider.models or []]
    more = len(served) - MODELS_SHOWN
    return ", ".join(served[:MODELS_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _demo(url: str) -> str:
    return (
        "Demo: no key and no network; a provider inside this process answers. Try:\n\n"
        f"  curl {url}/v1/messages -H 'x-api-key: anything' \\\n"
        "    -H 'content-type: application/json' \\\n"
        f'    -d \'{{"model":"{DEMO_MODEL}","max_tokens":64,'
        '"messages":[{"role":"user","content":"Hello"}]}\''
    )


def _exports(config: Config, url: str) -> str:
    lines = ["Claude Code uses it after:", "", f"  export ANTHROPIC_BASE_URL={url}"]
    through = [p.name for p in config.providers if passes_through(p)]
    if config.server.auth.tokens:
        lines.append("  export ANTHROPIC_AUTH_TOKEN='<your relay token>'")
    elif not through:
        lines.append("  export ANTHROPIC_AUTH_TOKEN=anything")
    else:
        lines += [
            "",
            f"Its own login or key passes through to {' and '.join(through)}; nothing else to set.",
        ]
    return "\n".join(lines)
