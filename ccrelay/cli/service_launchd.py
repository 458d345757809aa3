"""The launchd agent of macOS: its property list, and what is asked of launchctl."""

import os
import plistlib
import shlex
from collections.abc import Mapping
from pathlib import Path

from ccrelay.cli.output import echo
from ccrelay.cli.service_plan import Plan, Refused, missing_variables, print_variables
from ccrelay.cli.service_systemd import run, write

LABEL = "ccrelay"
MARK = "ccrelay service install"
STOP_SLACK_S = 15


def plist_path(env: Mapping[str, str]) -> Path:
    """Return where the agent is. Raises Refused without a home."""
    home = env.get("HOME", "")
    if not os.path.isabs(home):
        raise Refused("HOME is not set: there is no user to install it for")
    return Path(home, "Library", "LaunchAgents", f"{LABEL}.plist")


def plist_text(plan: Plan, env: Mapping[str, str]) -> str:
    """Return the property list."""
    log = str(Path(env.get("HOME", "/"), "Library", "Logs", "ccrelay.log"))
    environment = dict(plan.folders)
    if plan.path:
        environment["PATH"] = plan.path
    content: dict[str, object] = {
        "Label": LABEL,
        "ProgramArguments": _arguments(plan),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": 5,
        "ExitTimeOut": int(plan.drain_s) + STOP_SLACK_S,
        "ProcessType": "Interactive",  # background agents are slowed down
        "SoftResourceLimits": {"NumberOfFiles": 65_536},
        "Umask": 0o077,
        "StandardOutPath": log,
        "StandardErrorPath": log,
        "Comment": f"Written by `{MARK}`, which writes it again.",
    }
    if environment:
        content["EnvironmentVariables"] = environment
    return plistlib.dumps(content, sort_keys=False).decode()


def _arguments(plan: Plan) -> list[str]:
    """launchd reads no file with variables: a shell does, and becomes the relay."""
    if not (plan.variables or plan.useful or plan.environment_file.exists()):
        return plan.command()
    file = shlex.quote(str(plan.environment_file))
    script = f"set -a; [ -r {file} ] && . {file}; set +a; exec {shlex.join(plan.command())}"
    return ["/bin/sh", "-c", script]


def install(plan: Plan, env: Mapping[str, str], *, start: bool, force: bool) -> int:
    """Write the agent and load it; return the exit code. Raises Refused."""
    path = plist_path(env)
    write(path, plist_text(plan, env), MARK, force=force)
    echo(f"wrote {path}")
    print_variables(plan)
    if not start or missing_variables(plan):
        echo(f"\nIt starts with your next login, or now: launchctl bootstrap {_domain()} {path}")
        return 0
    run("launchctl", "bootout", f"{_domain()}/{LABEL}")  # an earlier one, if there is any
    done = run("launchctl", "bootstrap", _domain(), str(path))
    if done.code:
        echo(f"\n{done.output}", err=True)
        return 1
    echo("\nIt runs, and starts with your next login. Its log: ~/Library/Logs/ccrelay.log")
    return 0


def uninstall(env: Mapping[str, str], *, force: bool) -> int:
    """Stop and remove the agent; return the exit code. Raises Refused."""
    path = plist_path(env)
    if not path.exists():
        echo(f"it is not installed: there is no {path}")
        return 0
    if MARK not in path.read_text(errors="replace") and not force:
        raise Refused(f"{path} was not written by `{MARK}`; --force removes it")
    run("launchctl", "bootout", f"{_domain()}/{LABEL}")
    path.unlink()
    echo(f"removed {path}; configuration, environment file and ledger stay")
    return 0


def state(env: Mapping[str, str]) -> dict[str, object]:
    """Return what is known of the service."""
    path = plist_path(env)
    done = run("launchctl", "print", f"{_domain()}/{LABEL}")
    shown = dict(line.strip().split(" = ", 1) for line in done.output.splitlines() if " = " in line)
    pid = shown.get("pid", "")
    is_loaded = done.code == 0
    return {
        "kind": "launchd",
        "file": str(path),
        "installed": path.exists(),
        "enabled": is_loaded,
        "running": is_loaded and shown.get("state") == "running",
        "state": shown.get("state", "not loaded"),
        "pid": int(pid) if pid.isdigit() else None,
        "linger": None,
    }


def _domain() -> str:
    return f"gui/{os.getuid()}"
