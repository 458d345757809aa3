"""Values that cannot be had here: placeholders for secrets, warnings for others."""

import msgspec

from ccrelay.config.expand import Expanded
from ccrelay.config.problems import Path, Problem


def with_placeholders(expanded: Expanded) -> tuple[Expanded, dict[str, Problem]]:
    """Replace unavailable secrets, and only these, by placeholders."""
    missing: dict[str, Problem] = {}
    left: list[Problem] = []
    for problem in expanded.problems:
        if problem.path not in expanded.unavailable or not is_secret(problem.path):
            left.append(problem)
            continue
        # Unique, because duplicate keys in a provider are errors.
        placeholder = f"missing-secret-{len(missing)}"
        missing[placeholder] = problem
        *way, last = problem.path
        place = expanded.data  # created by `expand`, so it may be changed
        for part in way:
            place = place[part]
        place[last] = placeholder
    return msgspec.structs.replace(expanded, problems=left), missing


def left_out(expanded: Expanded) -> dict[str, Problem]:
    """Return the values that stand for what commands and the keychain say, where they are
    secrets."""
    found = {}
    for path in filter(is_secret, expanded.from_commands | expanded.from_keychain):
        value = expanded.data
        for part in path:
            value = value[part]
        is_command = path in expanded.from_commands
        message = "the command is not run here" if is_command else "the keychain is not asked here"
        found[value] = Problem(message=message, path=path)
    return found


def elsewhere(expanded: Expanded) -> Expanded:
    """Take values that are missing here as those of commands: not known, and no error."""
    ours = [problem for problem in expanded.problems if problem.path in expanded.unavailable]
    told = [
        msgspec.structs.replace(problem, severity="warning") if problem in ours else problem
        for problem in expanded.problems
    ]
    return msgspec.structs.replace(
        expanded,
        problems=told,
        from_commands=expanded.from_commands | {problem.path for problem in ours},
    )


def is_secret(path: Path) -> bool:
    """Whether the value at a place is a key, a token or a header."""
    match path:
        case (
            ("server", "auth", "tokens", _)
            | ("providers", _, "keys", _, "key")
            | ("providers", _, "keys", _, "credential", "client_secret")
            | ("providers", _, "headers", _)
            | ("telemetry", "headers", _)
        ):
            return True
        case _:
            return False
