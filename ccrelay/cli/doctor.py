"""`ccrelay doctor`: checks what stands between Claude Code and an answer; changes nothing.

Imports are inside the command: `--help` must not import the configuration.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ccrelay.cli.doctor_config import ConfigFound
    from ccrelay.cli.doctor_relay import RelayFound
    from ccrelay.cli.doctor_report import Check, Finding, Progress

LIMIT_S = 15.0
DEMO_MODEL = "claude-sonnet-4-6"


@click.command()
@click.option(
    "--config",
    "-c",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Configuration file. Default: that of the running relay, else as for serve.",
)
@click.option("--paid", is_flag=True, help="Also send test messages, which are billed.")
@click.option("--socket", metavar="PATH", help="Socket of the relay. Default: the one that runs.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(file: Path | None, paid: bool, socket: str | None, as_json: bool) -> None:
    """Check configuration, providers, keys and Claude Code's settings; say what to do.

    Works with and without a running relay. Nothing is changed, and nothing costs money without
    --paid. Exit codes: 0 no failure (warnings do not count), 1 a failure.
    """
    from ccrelay.cli import doctor_report as report

    env = {**os.environ, "CCRELAY_SOCKET": socket} if socket else dict(os.environ)
    progress = report.Progress(is_wanted=not as_json)
    progress.tell(0, 1)
    try:
        findings = examine(env, Path.cwd(), file, is_paid=paid, progress=progress)
    finally:
        progress.clear()
    if as_json:
        import json

        from ccrelay.cli.output import echo

        echo(json.dumps(report.as_json(findings), indent=2))
    else:
        report.print_text(findings)
    sys.exit(1 if report.counts(findings)[0] else 0)


def examine(
    env: Mapping[str, str],
    cwd: Path,
    file: Path | None,
    *,
    is_paid: bool,
    progress: "Progress | None" = None,
) -> "list[Finding]":
    """Return all findings: those of the relay and the configuration first.

    Args:
        env: environment variables.
        cwd: the folder in which Claude Code would be started.
        file: configuration file; None: that of the relay, else the first one found.
        is_paid: whether requests that are billed may be sent.
        progress: is told how far the checks are.
    """
    from ccrelay.cli.doctor_config import find_config
    from ccrelay.cli.doctor_relay import find_relay
    from ccrelay.cli.doctor_report import run_checks
    from ccrelay.config.fingerprint import set_key
    from ccrelay.config.fingerprint_key import load_key

    set_key(load_key(env).key)  # fingerprints are those that other commands show
    relay = find_relay(env)
    config = find_config(file, relay.status)
    checks = [
        *_configuration_checks(relay, config, env),
        *_provider_checks(relay, config, env, is_paid=is_paid),
        *_client_checks(relay, config, env, cwd, is_paid=is_paid),
        *_ledger_checks(relay, config, env),
    ]
    found = run_checks(checks, LIMIT_S, progress.tell if progress else lambda done, of: None)
    return _with_notices(relay, [*relay.findings, *config.findings, *found])


def _with_notices(relay: "RelayFound", found: "list[Finding]") -> "list[Finding]":
    """Add what the relay itself says needs a look, unless a check has told it."""
    from ccrelay.cli.doctor_relay import check_notices

    if relay.status is None:
        return found
    told = [finding.subject for finding in found if finding.verdict != "ok"]
    return [*found, *check_notices(relay.status, told)]


def _configuration_checks(
    relay: "RelayFound", config: "ConfigFound", env: Mapping[str, str]
) -> "list[Check]":
    from ccrelay.cli import doctor_config, doctor_relay
    from ccrelay.cli.doctor_local import check_versions
    from ccrelay.cli.doctor_report import Check

    checks = [Check("versions", check_versions)]
    status, loaded = relay.status, config.config
    if status is not None:
        checks.append(Check("reload", lambda: doctor_relay.check_revision(status)))
    if loaded is not None:
        checks.append(Check("port", lambda: doctor_config.check_port(loaded, status)))
        checks.append(Check("certificates", lambda: doctor_config.check_environment(loaded, env)))
    return checks


def _provider_checks(
    relay: "RelayFound", config: "ConfigFound", env: Mapping[str, str], *, is_paid: bool
) -> "list[Check]":
    from ccrelay.cli import doctor_config, doctor_relay
    from ccrelay.cli.doctor_report import Check

    checks: list[Check] = []
    loaded, missing = config.config, config.missing
    if relay.status is not None:
        checks.append(
            Check("providers", lambda: doctor_relay.check_providers(relay, is_paid=is_paid))
        )
    elif loaded is not None:
        checks.append(
            Check(
                "providers",
                lambda: doctor_config.check_providers(loaded, env, missing, is_paid=is_paid),
            )
        )
    if loaded is not None:
        checks.append(Check("clock", lambda: doctor_config.check_clock(loaded, env)))
    return checks


def _client_checks(
    relay: "RelayFound",
    config: "ConfigFound",
    env: Mapping[str, str],
    cwd: Path,
    *,
    is_paid: bool,
) -> "list[Check]":
    from ccrelay.cli import doctor_client
    from ccrelay.cli.doctor_report import Check
    from ccrelay.cli.doctor_streaming import check_streaming

    listen = _listen(relay, config)
    client = doctor_client.read_client(env, cwd, doctor_client.system_folder())
    tokens = _tokens(config)
    without = _without_tool_search(config)
    checks = [
        Check("claude", lambda: doctor_client.check_program(env)),
        Check("client", lambda: doctor_client.check_client(client, env, listen, tokens)),
        Check("tool search", lambda: doctor_client.check_tool_search(client, without)),
    ]
    if config.config is not None:
        from ccrelay.cli.client_facts import facts_of, local_url
        from ccrelay.cli.doctor_connect import check_connected
        from ccrelay.config.show import redacted

        facts = facts_of(redacted(config.config), local_url(listen))
        checks.append(Check("settings", lambda: check_connected(facts, env)))
    model = _streaming_model(relay, is_paid=is_paid)
    if model and listen:
        given = client.settings.get(doctor_client.AUTH_TOKEN)
        credential = tokens[0] if tokens else given.value if given else "doctor"
        checks.append(Check("streaming", lambda: check_streaming(listen[0], model, credential)))
    return checks


def _without_tool_search(config: "ConfigFound") -> Sequence[str]:
    """Names of the providers that the beta of tool search is not sent to."""
    from ccrelay.cli.doctor_client import SEARCH_BETA

    providers = [] if config.config is None else config.config.providers
    return [
        one.name
        for one in providers
        if one.enabled and any(beta in ("*", SEARCH_BETA) for beta in one.drop_betas or ())
    ]


def _ledger_checks(
    relay: "RelayFound", config: "ConfigFound", env: Mapping[str, str]
) -> "list[Check]":
    from ccrelay.cli.doctor_local import check_ledger_file
    from ccrelay.cli.doctor_relay import check_ledger
    from ccrelay.cli.doctor_report import Check

    status, loaded = relay.status, config.config
    if status is not None:
        return [Check("ledger", lambda: check_ledger(status))]
    if loaded is not None:
        return [Check("ledger", lambda: check_ledger_file(loaded, env))]
    return []


def _listen(relay: "RelayFound", config: "ConfigFound") -> Sequence[str]:
    """Addresses of the relay; empty: not known, as the file has mistakes and none runs."""
    if relay.status is not None and relay.status.listen:
        return list(relay.status.listen)
    return [config.config.server.listen] if config.config is not None else []


def _tokens(config: "ConfigFound") -> Sequence[str] | None:
    """The relay tokens; None: they are not known here, so that nothing is said about them."""
    if config.config is None:
        return None
    tokens = config.config.server.auth.tokens
    return None if any(token in config.missing for token in tokens) else tokens


def _streaming_model(relay: "RelayFound", *, is_paid: bool) -> str:
    """The model to stream with; empty: not now. The demo costs nothing."""
    if relay.status is None:
        return ""
    providers = relay.status.providers
    if [provider.name for provider in providers] == ["demo"]:
        return DEMO_MODEL
    if not is_paid:
        return ""
    names = [model for provider in providers if provider.enabled for model in provider.models]
    return next((name for name in names if "*" not in name and "?" not in name), DEMO_MODEL)
