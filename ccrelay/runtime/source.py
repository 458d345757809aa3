"""Where the configuration comes from: options, file, environment; it can be loaded again.

Top-level imports are few, as in `ccrelay.runtime.launch`.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ccrelay.config.load import Loaded
    from ccrelay.config.model import Config
    from ccrelay.config.problems import Path as Place, Problem


NEW_LEDGER = (
    "ledger.path is new, and a change of a file found in the working directory brings no new "
    "path: send SIGHUP to apply it, or restart with --config"
)
NEW_HOST = (
    "is new, and a change of a file found in the working directory applies no new host: send "
    "SIGHUP to apply it, or restart with --config"
)


class Options(NamedTuple):
    """The options of `ccrelay serve`; None keeps the value of the configuration."""

    config: Path | None = None
    listen: str | None = None
    workers: int | None = None
    demo: bool = False
    log_format: str | None = None
    log_level: str | None = None


class Source:
    """A configuration file and the options that override it.

    A start, and a signal, apply whatever the file says. A change that was only seen in the file
    brings no new command; and where the file was not named, no new host, to which keys and
    prompts would go: it may have come with a checkout.

    Args:
        options: override values of the file.
        path: the file, which may be missing at the moment; None: environment variables only.
        last_digest: digest of the content that was loaded last; None when nothing was.
        is_unnamed: the file was found in the working directory.
        commands: those that a start or a signal has run last.
        config: the configuration in force; None before the first load.

    `variables`: the environment variables that the configuration which was loaded last refers to.
    """

    def __init__(
        self,
        options: Options,
        path: Path | None,
        last_digest: bytes | None = None,
        *,
        is_unnamed: bool = False,
        commands: Iterable[str] = (),
        config: "Config | None" = None,
    ) -> None:
        self.path = path
        self.last_digest = last_digest
        self.is_unnamed = is_unnamed
        self.commands = frozenset(commands)
        self.variables: frozenset[str] = frozenset()
        self._hosts: frozenset[str] = frozenset()
        self._ledger: str | None = None
        self._is_started = config is not None
        self._options = options
        if config is not None:
            self._accept(config)

    @classmethod
    def find(cls, options: Options) -> "Source":
        """Search for the file. Raises ConfigError when a file is named and does not exist."""
        from ccrelay.config.load import locate

        found = locate(options.config)
        if found is None:
            return cls(options, None)
        return cls(options, found.path, is_unnamed=found.is_unnamed)

    def load(self, *, run_commands: bool = True, is_signalled: bool = True) -> "Loaded":
        """Load and check it, with the options applied, and what it needs of this machine.

        Args:
            run_commands: False: leave `${cmd:...}` out.
            is_signalled: False: the change was only seen in the file.

        Raises ConfigError. May block.
        """
        from msgspec.structs import replace

        from ccrelay.config.load import Found, load_found
        from ccrelay.config.problems import ConfigError
        from ccrelay.runtime.management_files import management_file_problems
        from ccrelay.upstream.environment import environment_problems

        self.last_digest = self.digest()  # before loading: a change in between must not be missed
        loaded = load_found(
            # Confirmed for the start; for a reload the user of this process stands.
            None
            if self.path is None
            else Found(self.path, self.is_unnamed and not self._is_started),
            run_commands=run_commands,
            known_commands=None if is_signalled else self.commands,
        )
        self.variables = loaded.variables
        config = apply_options(loaded.config, self._options, unknown=loaded.not_run)
        found = [
            *log_file_problems(config, loaded.not_run),
            *management_file_problems(config, loaded.not_run),
            *environment_problems(config, os.environ),
        ]
        if any(problem.severity == "error" for problem in found):
            raise ConfigError([*loaded.warnings, *found])
        if is_signalled:
            self.commands = loaded.commands
            self._accept(config)
        elif self.is_unnamed:
            self._check_hosts(config)
        return replace(loaded, config=config, warnings=[*loaded.warnings, *found])

    def adopt(self) -> bool:
        """Use the file of the user's configuration folder where there was none at the start.

        One of the working directory is not looked for: it is not confirmed. False: there is no
        file, or one is in use.
        """
        found = self.appeared()
        if found is not None:
            self.path = found
        return found is not None

    def appeared(self) -> Path | None:
        """The file that `adopt` would use."""
        if self.path is not None:
            return None
        from ccrelay.config.load import NAMES, search_paths

        places = search_paths(os.environ)[len(NAMES) :]
        return next((place for place in places if os.path.exists(place)), None)

    def digest(self) -> bytes | None:
        """SHA-256 of the file's content; None when there is no file, or it cannot be read."""
        if self.path is None:
            return None
        import hashlib

        from ccrelay.config.load import FILE_BYTES_MAX

        try:
            if not self.path.is_file():  # reading a pipe would take what `load` is to read
                return None
            with self.path.open("rb") as file:
                return hashlib.sha256(file.read(FILE_BYTES_MAX + 1)).digest()
        except OSError:
            return None

    def _accept(self, config: "Config") -> None:
        from ccrelay.config.effects import origins

        self._hosts = origins(config)
        self._ledger = config.ledger.path
        self._is_started = True

    def _check_hosts(self, config: "Config") -> None:
        from ccrelay.config.effects import origins
        from ccrelay.config.problems import ConfigError, Problem, quoted

        if new := origins(config) - self._hosts:
            hosts = ", ".join(quoted(host) for host in sorted(new))
            raise ConfigError([Problem(message=f"{hosts} {NEW_HOST}", source=str(self.path))])
        if config.ledger.path != self._ledger:  # a file would be made there
            raise ConfigError([Problem(message=NEW_LEDGER, source=str(self.path))])


def apply_options(
    config: "Config", options: Options, *, unknown: "frozenset[Place]" = frozenset()
) -> "Config":
    """Return the configuration with the options applied and checked. Raises ConfigError.

    Values at the `unknown` places are not checked.
    """
    from msgspec.structs import replace

    from ccrelay.config.check import check
    from ccrelay.config.problems import ConfigError

    server = {"listen": options.listen, "workers": options.workers}
    logging = {"format": options.log_format, "level": options.log_level}
    changed = replace(
        config,
        server=replace(config.server, **_set_options(server)),
        logging=replace(config.logging, **_set_options(logging)),
    )
    # Only errors that options can cause, such as `--listen 0.0.0.0:8787` without relay tokens.
    found = check(changed, invalid=unknown)
    # The port of `--listen` may be that of management.listen.
    own = (("server",), ("management",))
    errors = [p for p in found if p.severity == "error" and p.path[:1] in own]
    if errors:
        raise ConfigError(errors)
    return changed


def log_file_problems(config: "Config", unknown: "frozenset[Place]") -> list["Problem"]:
    """Return why the log file cannot be opened for writing. Does not create it.

    Nothing is said of a file whose name is at an `unknown` place.
    """
    place = ("logging", "file")
    if config.logging.file is None or place in unknown:
        return []
    from ccrelay.config.problems import Problem, quoted_path

    path = os.path.abspath(os.path.expanduser(config.logging.file))
    folder = os.path.dirname(path)
    if os.path.isdir(path):
        reason = "it is a directory"
    elif not os.path.isdir(folder):
        reason = f"there is no directory {quoted_path(folder)}"
    elif not os.access(path if os.path.exists(path) else folder, os.W_OK):
        reason = "permission denied"
    else:
        return []
    message = f"cannot write to {quoted_path(path)}: {reason}"
    return [Problem(message=message, path=place)]


def _set_options(members: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in members.items() if value is not None}
