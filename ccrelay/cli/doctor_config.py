"""Checks of `ccrelay doctor` that read the configuration: its file, port, providers, clocks."""

import asyncio
import errno
import shlex
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ccrelay.cli.doctor_relay import (
    MESSAGE_TIMEOUT_S,
    PROBE_TIMEOUT_S,
    duration,
    failure,
)
from ccrelay.cli.doctor_report import Finding

if TYPE_CHECKING:
    from ccrelay.config.model import Config

CLOCK_TIMEOUT_S = 6.0
SKEW_MAX_S = 30.0  # signatures and tokens of services are refused a few minutes off
VARIABLE = "environment variable "  # so the source of a problem begins
SHOWN_MAX = 3  # problems of the file that are shown


class ConfigFound(NamedTuple):
    """The configuration, as far as it can be loaded.

    Args:
        config: resolved; None: it has mistakes.
        missing: placeholders of secrets that are not known here, and why.
        findings: what there is to say of it.
    """

    config: "Config | None"
    missing: Mapping[str, str]
    findings: list[Finding]


def find_config(named: Path | None, status: Any | None) -> ConfigFound:
    """Load the configuration as `serve` does; commands in it are not run.

    Args:
        named: the file, by option; None: that of the running relay, else the first one found.
        status: of the running relay, whose variables this shell need not have; None: none runs.
    """
    from ccrelay.config.load import load
    from ccrelay.config.problems import ConfigError
    from ccrelay.runtime.source import Options, Source

    if named is None and status is not None:
        if not status.config_file:
            return ConfigFound(None, {}, [_without_file(status)])
        named = Path(status.config_file)
    try:
        if status is not None:
            loaded = load(named, require_secrets=False, run_commands=False)
        else:
            loaded = Source.find(Options(config=named)).load(run_commands=False)
    except ConfigError as error:
        return _without_secrets(named, _mistakes(error, status))
    missing = {name: p.message for name, p in loaded.missing_secrets.items()}
    enabled = sum(provider.enabled for provider in loaded.config.providers)
    providers = "1 provider" if enabled == 1 else f"{enabled} providers"
    where = f"{loaded.path}" if loaded.path else "no file, from the environment"
    number = f", number {status.revision} in force" if status and status.revision else ""
    findings = [Finding("ok", "config", f"{where}: no mistakes, {providers}{number}")]
    findings += [
        Finding("warn", "config", str(warning))
        for warning in loaded.warnings
        if "not run here" not in warning.message and "not asked here" not in warning.message
    ]
    return ConfigFound(loaded.config, missing, findings)


def _without_secrets(named: Path | None, mistakes: list[Finding]) -> ConfigFound:
    """What the other checks go on with: where secrets alone are missing, the rest is known."""
    from ccrelay.config.load import load
    from ccrelay.config.problems import ConfigError

    try:
        loaded = load(named, require_secrets=False, run_commands=False)
    except ConfigError:
        return ConfigFound(None, {}, mistakes)
    missing = {name: p.message for name, p in loaded.missing_secrets.items()}
    return ConfigFound(loaded.config, missing, mistakes)


def _without_file(status: Any) -> Finding:
    if [provider.name for provider in status.providers] == ["demo"]:
        return Finding("ok", "config", "demo: a built-in provider answers, there is no file")
    return Finding("ok", "config", "no file, from the environment of the relay")


def _mistakes(error: Any, status: Any | None) -> list[Finding]:
    problems = [problem for problem in error.problems if problem.severity == "error"]
    stays = f"Number {status.revision} stays in force." if status and status.revision else ""
    found = []
    for problem in problems[:SHOWN_MAX]:
        do = _mended_by(problem)
        found.append(Finding("FAIL", "config", str(problem).replace("\n", "; "), stays, do))
    more = len(problems) - SHOWN_MAX
    if more > 0:
        found.append(
            Finding("FAIL", "config", f"and {more} more mistakes", do="ccrelay config check")
        )
    return found


def _mended_by(problem: Any) -> str:
    source = problem.source or ""
    if problem.mark is not None and source:
        return f"$EDITOR +{problem.mark.line} {shlex.quote(source)}"
    if source.startswith(VARIABLE):
        return f"unset {source.removeprefix(VARIABLE)}        (or correct it)"
    return "ccrelay config path --all        (shows which files are looked for)"


def check_environment(config: "Config", env: Mapping[str, str]) -> list[Finding]:
    """Check certificates and proxies that the variables name."""
    from ccrelay.runtime.provider_check import environment_problems

    problems = environment_problems(config, env)
    found = [
        Finding(
            "FAIL" if problem.severity == "error" else "warn",
            "certificates" if "SSL_CERT" in (problem.source or "") else "proxy",
            f"{problem.source}: {problem.message}",
        )
        for problem in problems
    ]
    if found:
        return found
    names = [n for n in ("SSL_CERT_FILE", "SSL_CERT_DIR") if n in env]
    names += [n for n in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy") if env.get(n)]
    text = f"{', '.join(names)} can be used" if names else "those of the system, no proxy"
    return [Finding("ok", "certificates", text)]


def check_port(config: "Config", status: Any | None) -> list[Finding]:
    """Check that the address can be listened on, unless the relay does already."""
    listen = config.server.listen
    if status is not None:
        return _check_other_listen(listen, list(status.listen))
    problem = bind_problem(listen)
    if problem is None:
        return [Finding("ok", "port", f"{listen} is free")]
    if problem.errno != errno.EADDRINUSE:
        text = f"{listen} cannot be listened on: {problem.strerror or problem}"
        return [Finding("FAIL", "port", text, do="correct server.listen")]
    port = listen.rpartition(":")[2]
    return [
        Finding(
            "FAIL",
            "port",
            f"{listen} is taken by another program, or by a relay without management",
            "`ccrelay serve` would not start.",
            f"ss -ltnp 'sport = :{port}'        (shows which; or set server.listen)",
        )
    ]


def _check_other_listen(listen: str, actual: Sequence[str]) -> list[Finding]:
    if listen in actual or listen.rpartition(":")[2] == "0":
        return [Finding("ok", "port", f"{', '.join(actual)} is the relay's")]
    text = f"the file says {listen}, the relay listens on {', '.join(actual)}"
    return [Finding("warn", "port", text, "server.listen applies after a restart.")]


def bind_problem(listen: str) -> OSError | None:
    """Return why an address cannot be listened on; None: it can."""
    from ccrelay.config.address import split_listen

    host, port = split_listen(listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, port))
            sock.listen(1)
    except OSError as error:
        return error
    return None


def check_providers(
    config: "Config", env: Mapping[str, str], missing: Mapping[str, str], *, is_paid: bool
) -> list[Finding]:
    """Ask the providers from this process: no relay runs."""
    from ccrelay.runtime.provider_check import ask_providers

    limit_s = MESSAGE_TIMEOUT_S if is_paid else PROBE_TIMEOUT_S
    answers = asyncio.run(ask_providers(config, env, limit_s, is_paid=is_paid, missing=missing))
    urls = {provider.name: provider.base_url or "" for provider in config.providers}
    return [_answer(answer, urls.get(answer.provider, ""), missing) for answer in answers]


def _answer(answer: Any, base_url: str, missing: Mapping[str, str]) -> Finding:
    from ccrelay.config.show import shown_url

    subject = f"{answer.provider}/{answer.key}"
    took = duration(answer.latency_ms)
    if answer.status == 429:
        return failure(subject, 429, answer.problem, base_url)
    if answer.kind == "credential":
        return _credential(answer, subject, took)
    if answer.ok and answer.kind == "connect":
        if answer.key == "client":
            return Finding("ok", subject, f"reached in {took}; passes the client's login through")
        rest = "" if answer.key == "none" else "; whether the key is accepted was not asked"
        return Finding("ok", subject, f"reached in {took}{rest}")
    if answer.ok:
        accepted = "" if answer.key == "none" else "accepted, "
        billed = ", one token billed" if answer.kind == "message" else ""
        text = f"{accepted}answered in {took} for {answer.model}{billed}"
        return Finding("ok", subject, f"{text} ({answer.problem})" if answer.problem else text)
    if not answer.status and "not run here" in answer.problem:
        text = "its key comes from a command, which is not run here"
        return Finding("warn", subject, text, do="ccrelay serve, then ccrelay doctor again")
    if not answer.status and "not asked here" in answer.problem:
        text = "its key is in the keychain, which is not asked here"
        return Finding("warn", subject, text, do="ccrelay serve, then ccrelay doctor again")
    if not answer.status and answer.problem in missing.values():
        return Finding("FAIL", subject, answer.problem, "So its key was not tried.")
    return failure(subject, answer.status, answer.problem, shown_url(base_url))


def _credential(answer: Any, subject: str, took: str) -> Finding:
    if answer.ok:
        text = f"reached in {took}; its credential was obtained ({answer.method})"
        return Finding("ok", subject, f"{text}; whether it is accepted was not asked")
    text = f"no credential: {answer.problem}"
    meaning = "The cloud can be reached; what it would be asked with is missing."
    return Finding("FAIL", subject, text, meaning, answer.hint)


def check_clock(config: "Config", env: Mapping[str, str]) -> list[Finding]:
    """Compare this machine's clock with those of the providers."""
    from ccrelay.runtime.provider_check import ask_clocks

    clocks = asyncio.run(ask_clocks(config, env, CLOCK_TIMEOUT_S))
    if not clocks:
        return [Finding("warn", "clock", "no provider told the time: it was not compared")]
    # One wrong server must not accuse this machine: the middle one decides.
    middle = sorted(clocks, key=lambda clock: clock.ahead_s)[len(clocks) // 2]
    off = round(middle.ahead_s)
    if abs(middle.ahead_s) <= SKEW_MAX_S:
        text = "right to the second" if abs(off) <= 2 else f"{abs(off)} s off, which does no harm"
        return [Finding("ok", "clock", f"{text}, by {middle.host}")]
    which = "behind" if off > 0 else "ahead"
    return [
        Finding(
            "warn",
            "clock",
            f"{_off(abs(off))} {which}, by {middle.host}",
            "Resets of limits are shown wrongly, and services with signed requests refuse them.",
            "timedatectl set-ntp true",
        )
    ]


def _off(seconds: int) -> str:
    from ccrelay.cli.format_time import span

    return f"{seconds} s" if seconds < 120 else span(seconds)
