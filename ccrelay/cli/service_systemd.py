"""The systemd user unit: its text, and what is asked of the user's service manager."""

import getpass
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ccrelay.cli.output import echo
from ccrelay.cli.service_plan import Plan, Refused, missing_variables, print_variables

UNIT = "ccrelay.service"
MARK = "# Written by `ccrelay service install`."
LIMIT_S = 30.0  # of one call; the start of the relay among them
VERIFY_LIMIT_S = 10.0
STOP_SLACK_S = 15.0

# What a user's service manager can do without privileges, and what no part of the relay needs.
# Sandboxes of the file system are left out: they need user namespaces, which many systems forbid.
_HARDENING = """\
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
UMask=0077"""


class Done(NamedTuple):
    """How a program ended; -1: it could not be run, or took too long."""

    code: int
    output: str


def run(*words: str, limit_s: float = LIMIT_S) -> Done:
    """Run a program without input."""
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=limit_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Done(-1, str(error))
    return Done(done.returncode, done.stdout.decode(errors="replace").strip())


def unit_path(env: Mapping[str, str]) -> Path:
    """Return where the unit is. Raises Refused without a home."""
    config, home = env.get("XDG_CONFIG_HOME", ""), env.get("HOME", "")
    if os.path.isabs(config):
        return Path(config, "systemd", "user", UNIT)
    if os.path.isabs(home):
        return Path(home, ".config", "systemd", "user", UNIT)
    raise Refused("neither HOME nor XDG_CONFIG_HOME is set: there is no user to install it for")


def unit_text(plan: Plan) -> str:
    """Return the unit."""
    folders = [f"Environment={quoted(f'{k}={v}')}" for k, v in plan.folders.items()]
    path = [f"Environment={quoted(f'PATH={plan.path}')}"] if plan.path else []
    command = " ".join(quoted(word, command=True) for word in plan.command())
    return "\n".join(
        [
            MARK,
            "# `ccrelay service install` writes it again; your own changes belong into",
            f"# `systemctl --user edit {UNIT}`.",
            "[Unit]",
            "Description=ccrelay, a relay between Claude Code and LLM providers",
            "Documentation=man:systemd.service(5)",
            "StartLimitIntervalSec=60",
            "StartLimitBurst=5",
            "",
            "[Service]",
            "Type=notify",
            "NotifyAccess=main",
            *folders,
            *path,
            f"EnvironmentFile=-{_whole(str(plan.environment_file))}",
            f"ExecStart={command}",
            "ExecReload=/bin/kill -HUP $MAINPID",
            "KillMode=mixed",
            f"TimeoutStopSec={plan.drain_s + STOP_SLACK_S:.0f}",
            "Restart=on-failure",
            "RestartSec=2",
            "# 2: the configuration is invalid, which a restart does not mend.",
            "RestartPreventExitStatus=2",
            "LimitNOFILE=65536",
            _HARDENING,
            "",
            "[Install]",
            "WantedBy=default.target",
            "",
        ]
    )


def quoted(word: str, *, command: bool = False) -> str:
    """Return one word of a unit's setting; in a command `$` is expanded, too. Raises Refused."""
    text = _whole(word).replace("\\", "\\\\")
    text = text.replace("$", "$$") if command else text
    is_plain = all(char.isalnum() or char in "/._-+:=,@%$" for char in text)
    return text if is_plain else '"' + text.replace('"', '\\"') + '"'


def _whole(text: str) -> str:
    """A value that is taken whole, but for specifiers."""
    if not text.isprintable():
        raise Refused(f"what has control characters cannot stand in a unit: {text!r}")
    return text.replace("%", "%%")


def verify(path: Path) -> str:
    """Return what systemd says against a unit file; empty: nothing, or it cannot be asked."""
    if shutil.which("systemd-analyze") is None:
        return ""
    done = run("systemd-analyze", "verify", "--user", str(path), limit_s=VERIFY_LIMIT_S)
    about = [line for line in done.output.splitlines() if path.name in line or str(path) in line]
    return "\n".join(about) if done.code > 0 else ""


def has_manager() -> bool:
    """Whether a service manager of this user can be asked."""
    if shutil.which("systemctl") is None:
        return False
    return run("systemctl", "--user", "is-system-running").output not in ("", "offline") and (
        run("systemctl", "--user", "show", "--property=Version").code == 0
    )


def install(plan: Plan, env: Mapping[str, str], *, start: bool, force: bool) -> int:
    """Write the unit, enable it, and start it; return the exit code. Raises Refused."""
    path = unit_path(env)
    write(path, unit_text(plan), MARK, force=force)
    echo(f"wrote {path}")
    if problem := verify(path):
        echo(f"systemd says of it:\n{problem}", err=True)
    print_variables(plan)
    if not has_manager():
        echo(
            "\nNo service manager of this user can be asked from here. In a login session:\n"
            f"  systemctl --user daemon-reload && systemctl --user enable --now {UNIT}"
        )
        return 0
    if start and missing_variables(plan):
        start = False  # it would only fail
        echo(f"\nIt is not started yet. Then: systemctl --user start {UNIT}")
    reloaded = run("systemctl", "--user", "daemon-reload")
    words = ["enable", "--now"] if start else ["enable"]
    done = run("systemctl", "--user", *words, UNIT) if reloaded.code == 0 else reloaded
    if done.code:
        echo(f"\n{done.output}", err=True)
        echo(f"Look why: journalctl --user -u {UNIT} -n 20", err=True)
        return 1
    echo(f"\nIt {'runs, and ' if start else ''}starts with your next login. Its log:")
    echo(f"  journalctl --user -u {UNIT} -f")
    if not has_linger():
        echo("Without a login it does not run. To start it with the machine:")
        echo("  loginctl enable-linger")
    return 0


def write(path: Path, text: str, mark: str, *, force: bool) -> None:
    """Write a file of ours atomically. Raises Refused for one that another program wrote."""
    try:
        before = path.read_text(errors="replace")
    except FileNotFoundError:
        before = None
    except OSError as error:
        raise Refused(f"{path}: {error.strerror or error}") from None
    if before is not None and mark not in before and not force:
        raise Refused(f"{path} is there and was not written by this command; --force replaces it")
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(text)
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise Refused(f"cannot write {path}: {error.strerror or error}") from None


def uninstall(env: Mapping[str, str], *, force: bool) -> int:
    """Stop, disable and remove the unit; return the exit code. Raises Refused."""
    path = unit_path(env)
    if not path.exists():
        echo(f"it is not installed: there is no {path}")
        return 0
    if MARK not in path.read_text(errors="replace") and not force:
        raise Refused(f"{path} was not written by `ccrelay service install`; --force removes it")
    manager = has_manager()
    if manager:
        done = run("systemctl", "--user", "disable", "--now", UNIT)
        if done.code:
            echo(done.output, err=True)
    path.unlink()
    if manager:
        run("systemctl", "--user", "daemon-reload")
    echo(f"removed {path}; configuration, environment file and ledger stay")
    return 0


def state(env: Mapping[str, str]) -> dict[str, object]:
    """Return what is known of the service."""
    path = unit_path(env)
    found: dict[str, object] = {
        "kind": "systemd",
        "file": str(path),
        "installed": path.exists(),
        "enabled": None,
        "running": None,
        "pid": None,
        "linger": None,
    }
    if not has_manager():
        return found
    shown = _properties(run("systemctl", "--user", "show", UNIT).output.splitlines())
    pid = shown.get("MainPID", "0")
    return found | {
        "enabled": shown.get("UnitFileState") == "enabled",
        "running": shown.get("ActiveState") in ("active", "reloading"),
        "state": f"{shown.get('ActiveState', '?')} ({shown.get('SubState', '?')})",
        "pid": int(pid) if pid.isdigit() and pid != "0" else None,
        "linger": has_linger(),
    }


def _properties(lines: Sequence[str]) -> dict[str, str]:
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def has_linger() -> bool | None:
    """Whether the user's services run without a login; None: not known."""
    if shutil.which("loginctl") is None:
        return None
    done = run("loginctl", "show-user", getpass.getuser(), "--property=Linger")
    return done.output == "Linger=yes" if done.code == 0 else None
