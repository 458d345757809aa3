"""What `ccrelay serve` prints when ready: addresses, providers, and how to set up the client."""

from pathlib import Path

from ccrelay import __version__
from ccrelay.config.address import is_loopback, page_url, split_listen
from ccrelay.config.fingerprint import fingerprint
from ccrelay.config.letters import letters
from ccrelay.config.model import Config, Key, Provider
from ccrelay.runtime.totals_text import counted

COLUMNS = 100
PROVIDER_COLUMNS = 40
KEY_COLUMNS = 24
VALUE_COLUMNS = 29  # of what stands before a remark
DEMO_MODEL = "claude-sonnet-4-6"


def banner(
    config: Config,
    addresses: list[str],
    *,
    pid: int,
    config_file: Path | None,
    demo: bool,
    ready_s: float | None = None,
    management: str | None = None,
    code: str = "",
    is_terminal: bool = False,
) -> str:
    """Return the text, without a trailing newline; secrets appear as fingerprints only.

    Args:
        config: resolved.
        addresses: the listen addresses, "HOST:PORT".
        pid: process id of the supervisor, which takes the signals.
        config_file: its path; None when there is no file.
        demo: whether the provider is the built-in mock.
        ready_s: seconds from the start until every worker accepted connections; None: not told.
        management: the address of the management plane, "HOST:PORT"; None: there is none.
        code: signs a browser in to the web page, once; empty: the link has none.
        is_terminal: whether Ctrl-C reaches it.
    """
    url = local_url(addresses[0])
    page = [] if management is None else _page(config, management, code)
    parts = [_header(config, pid, ready_s), _facts(config, addresses, config_file, page)]
    if config_file is None and not demo:
        parts[-1] += "\n" + _fact("config", "none: the first run", "make one with: ccrelay init")
    parts += [_providers(config)]
    parts += [_demo(url)] if demo else []
    end = "\n\n  Ctrl-C finishes what runs, then stops." if is_terminal else ""
    parts += [_client_setup(config, addresses, is_found=management is not None) + end]
    return "\n\n".join(part for part in parts if part)


def local_url(address: str) -> str:
    """Return the URL of a listen address for clients on this machine."""
    return page_url(address)


def _header(config: Config, pid: int, ready_s: float | None) -> str:
    workers = counted(config.server.workers, "worker")
    ready = "" if ready_s is None else f", ready in {max(ready_s, 0.0):.1f} s"
    return f"ccrelay {__version__} (pid {pid}), {workers}{ready}"


def _facts(config: Config, addresses: list[str], config_file: Path | None, page: list[str]) -> str:
    providers = [provider for provider in config.providers if provider.enabled]
    keys = sum(len(_enabled(provider)) for provider in providers)
    counts = [counted(len(providers), "provider")]
    if keys:
        counts.append(counted(keys, "key"))
    if config.routing.rules:
        counts.append(counted(len(config.routing.rules), "rule"))
    counts.append(f"strategy {config.routing.strategy}")
    urls = ", ".join(f"http://{address}" for address in addresses)
    lines = [_fact("relay", urls, ", ".join(counts)), *page]
    if config_file is not None:
        watched = "watched" if config.server.watch else "not watched: SIGHUP reloads it"
        lines.append(_fact("config", _shown_path(config_file), watched))
    return "\n".join(lines)


def _page(config: Config, listen: str, code: str) -> list[str]:
    settings = config.management
    url = page_url(listen, is_tls=bool(settings.tls_cert), hosts=settings.allowed_hosts)
    status = _fact("status", "ccrelay status", f"gRPC and /metrics on {url}")
    if not code:
        return [_fact("page", url, "sign in: ccrelay open"), status]
    remark = _fact("", "opens signed in, once; later: ccrelay open", "").rstrip()
    return [_fact("page", f"{url}/#k={code}", "").rstrip(), remark, status]


def _fact(name: str, value: str, remark: str) -> str:
    return f"  {name:<7} {value:<{VALUE_COLUMNS}}  {remark}"


def _shown_path(path: Path) -> str:
    path = path.absolute()
    try:
        return f"~/{path.relative_to(Path.home())}"
    except (ValueError, RuntimeError):  # elsewhere, or there is no home
        return str(path)


def _enabled(provider: Provider) -> list[Key]:
    return [key for key in provider.keys if key.enabled]


def _providers(config: Config) -> str:
    enabled = [provider for provider in config.providers if provider.enabled]
    names = [_short(provider.name, PROVIDER_COLUMNS) for provider in enabled]
    width = max(map(len, names), default=0)
    letter = letters(provider.name for provider in config.providers)
    return "\n".join(
        _cut(f"  {letter[provider.name]} {name:<{width}}  ", _keys(provider))
        for name, provider in zip(names, enabled, strict=True)
    )


def _short(text: str, columns: int) -> str:
    return text if len(text) <= columns else text[: columns - 3] + "..."


def _keys(provider: Provider) -> list[str]:
    if passes_through(provider):
        return ["pass-through"]
    shown = []
    for key in _enabled(provider):
        print_ = fingerprint(key.key)
        name = _short(key.name or "", KEY_COLUMNS)
        shown.append(f"{name} {print_}" if name else print_)
    return shown or ["no key"]


def _cut(start: str, items: list[str]) -> str:
    """As many items as fit into a line, and how many more there are."""
    line = start
    for index, item in enumerate(items):
        left = len(items) - index
        end = "" if left == 1 else f"  and {left - 1} more"
        gap = "  " if index else ""
        if index and len(line) + len(gap) + len(item) + len(end) > COLUMNS:
            return f"{line}  and {left} more"
        line += gap + item
    return line


def passes_through(provider: Provider) -> bool:
    """Whether the client's own credential is passed through to the provider."""
    return provider.enabled and provider.type == "anthropic" and not provider.keys


def _demo(url: str) -> str:
    return (
        "  Demo mode: a mock provider in this process answers, without API key or network. Try:\n\n"
        f"    curl {url}/v1/messages -H 'x-api-key: anything' \\\n"
        "      -H 'content-type: application/json' \\\n"
        f'      -d \'{{"model":"{DEMO_MODEL}","max_tokens":64,'
        '"messages":[{"role":"user","content":"Hello"}]}\''
    )


def _client_setup(config: Config, addresses: list[str], *, is_found: bool) -> str:
    """Return the command; where it finds no relay, the variables that it would set.

    Commands find the relay of this machine by its management plane. One that listens for others,
    as in a container, has its clients elsewhere.
    """
    if is_found and any(is_loopback(split_listen(address)[0]) for address in addresses):
        return "  Start Claude Code through it:   ccrelay claude"
    url = local_url(addresses[0])
    lines = ["  Start Claude Code through it:", "", f"    export ANTHROPIC_BASE_URL={url}"]
    pass_through = [p.name for p in config.providers if passes_through(p)]
    if config.server.auth.tokens:
        lines.append("    export ANTHROPIC_AUTH_TOKEN='<your relay token>'")
    elif not pass_through:
        lines.append("    export ANTHROPIC_AUTH_TOKEN=anything")
    lines.append("    claude")
    if pass_through and not config.server.auth.tokens:
        lines += [
            "",
            f"  Claude Code's own credential is passed through to {' and '.join(pass_through)}.",
        ]
    return "\n".join(lines)
