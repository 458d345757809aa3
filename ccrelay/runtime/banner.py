"""What `ccrelay serve` prints when ready: addresses, providers, and how to set up the client."""

from pathlib import Path

from ccrelay import __version__
from ccrelay.config.address import split_listen
from ccrelay.config.fingerprint import fingerprint
from ccrelay.config.model import Config, Model, Provider
from ccrelay.config.show import shown_url

MODELS_SHOWN = 6  # longer lists are cut; `ccrelay config show` prints all
WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}
DEMO_MODEL = "claude-sonnet-4-6"


def banner(
    config: Config, addresses: list[str], *, pid: int, config_file: Path | None, demo: bool
) -> str:
    """Return the text, without a trailing newline; secrets appear as fingerprints only.

    Args:
        config: resolved.
        addresses: the listen addresses, "HOST:PORT".
        pid: process id of the supervisor, which takes the signals.
        config_file: its path; None when there is no file.
        demo: whether the provider is the built-in mock.
    """
    url = local_url(addresses[0])
    parts = [_header(config, addresses, pid, config_file), _table(config)]
    parts += [_demo(url)] if demo else []
    parts += [_client_setup(config, url)]
    return "\n\n".join(part for part in parts if part)


def local_url(address: str) -> str:
    """Return the URL of a listen address for clients on this machine."""
    host, port = split_listen(address)
    host = WILDCARDS.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{host}:{port}"


def _header(config: Config, addresses: list[str], pid: int, config_file: Path | None) -> str:
    workers = config.server.workers
    urls = ", ".join(f"http://{address}" for address in addresses)
    count = "1 worker" if workers == 1 else f"{workers} workers"
    lines = [f"ccrelay {__version__} listening on {urls} ({count}, pid {pid})"]
    return "\n".join([*lines, f"configuration: {config_file}"] if config_file else lines)


def _table(config: Config) -> str:
    rows = [
        (provider.name, provider.type, _url(provider), _keys(provider), _models(provider))
        for provider in config.providers
        if provider.enabled
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
    return "\n".join(f"  {line.rstrip()}" for line in lines)


def _url(provider: Provider) -> str:
    return shown_url(provider.base_url) if provider.base_url else ""


def _keys(provider: Provider) -> str:
    if passes_through(provider):
        return "pass-through"
    keys = [key for key in provider.keys if key.enabled]
    shown = [
        f"{key.name} {fingerprint(key.key)}" if key.name else fingerprint(key.key) for key in keys
    ]
    return ", ".join(shown) or "no key"


def passes_through(provider: Provider) -> bool:
    """Whether the client's own credential is passed through to the provider."""
    return provider.enabled and provider.type == "anthropic" and not provider.keys


def _models(provider: Provider) -> str:
    models = [f"{asked} -> {sent}" for asked, sent in provider.model_mapping.items()]
    models += [m.id if isinstance(m, Model) else m for m in provider.models or []]
    more = len(models) - MODELS_SHOWN
    return ", ".join(models[:MODELS_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _demo(url: str) -> str:
    return (
        "Demo mode: a mock provider in this process answers, without API key or network. Try:\n\n"
        f"  curl {url}/v1/messages -H 'x-api-key: anything' \\\n"
        "    -H 'content-type: application/json' \\\n"
        f'    -d \'{{"model":"{DEMO_MODEL}","max_tokens":64,'
        '"messages":[{"role":"user","content":"Hello"}]}\''
    )


def _client_setup(config: Config, url: str) -> str:
    lines = ["To use it with Claude Code:", "", f"  export ANTHROPIC_BASE_URL={url}"]
    pass_through = [p.name for p in config.providers if passes_through(p)]
    if config.server.auth.tokens:
        lines.append("  export ANTHROPIC_AUTH_TOKEN='<your relay token>'")
    elif not pass_through:
        lines.append("  export ANTHROPIC_AUTH_TOKEN=anything")
    else:
        lines += [
            "",
            f"Claude Code's own credential is passed through to {' and '.join(pass_through)}.",
        ]
    return "\n".join(lines)
