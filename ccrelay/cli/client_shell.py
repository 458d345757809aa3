"""Variables as commands of a shell, quoted so that it runs nothing that is in them."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

SHELLS = ("sh", "fish", "powershell", "json")
_SHELLS = {
    **dict.fromkeys(("sh", "ash", "bash", "dash", "ksh", "mksh", "zsh"), "sh"),
    "fish": "fish",
    "pwsh": "powershell",
}
_UNSET = {"sh": "unset {}", "fish": "set -e {};", "powershell": "Remove-Item Env:{}"}
# PowerShell takes all of these for an end of a quoted text; doubled, they stand for themselves.
_POWERSHELL_QUOTES = "'\u2018\u2019\u201a\u201b"


def render(variables: Mapping[str, str | None], shell: str) -> str:
    """Return the commands that set variables, one per line; of `json` an object.

    Args:
        variables: names, which must be those of variables, and values without NUL; None: to unset.
        shell: one of SHELLS.
    """
    if shell == "json":
        return json.dumps(dict(variables), indent=2) + "\n"
    line = {"sh": _sh, "fish": _fish, "powershell": _powershell}[shell]
    lines = [
        _UNSET[shell].format(name) if value is None else line(name, value)
        for name, value in variables.items()
    ]
    return "".join(f"{line}\n" for line in lines)


def guess_shell(env: Mapping[str, str], parent: str = "") -> str:
    """Return the shell that reads what is printed.

    Args:
        env: `SHELL` names that of the user's logins, who may have started another one in it.
        parent: name of the process that started this one; empty: it is not known.
    """
    name = parent if parent in _SHELLS else os.path.basename(env.get("SHELL", ""))
    return _SHELLS.get(name, "sh")


def parent_name() -> str:
    """Return the name of the process that started this one; empty: the system does not tell."""
    try:
        return Path(f"/proc/{os.getppid()}/comm").read_text().strip()
    except (OSError, ValueError):
        return ""


def _sh(name: str, value: str) -> str:
    import shlex

    return f"export {name}={shlex.quote(value)}"


def _fish(name: str, value: str) -> str:
    quoted = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"set -gx {name} '{quoted}';"  # `eval (ccrelay env)` joins the lines


def _powershell(name: str, value: str) -> str:
    quoted = "".join(one * 2 if one in _POWERSHELL_QUOTES else one for one in value)
    return f"$Env:{name} = '{quoted}'"
