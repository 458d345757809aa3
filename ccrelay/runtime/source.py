"""Where the configuration came from, so that it can be read again: flags, file, environment.

Imports little at the top, as `ccrelay.runtime.launch` does.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ccrelay.config.load import Loaded
    from ccrelay.config.model import Config


class Options(NamedTuple):
    """The flags of `ccrelay serve`; None means: as the configuration says."""

    config: Path | None = None
    listen: str | None = None
    workers: int | None = None
    demo: bool = False
    log_format: str | None = None
    log_level: str | None = None


class Source:
    """A file under the flags; `path` is None when there is no file, only the environment.

    `seen` is the digest of the content that was looked at last. Nothing is read here: the file need
    not be there.
    """

    def __init__(self, options: Options, path: Path | None, seen: bytes | None = None) -> None:
        self.path = path
        self.seen = seen
        self._options = options

    @classmethod
    def find(cls, options: Options) -> "Source":
        """Look for the file. Raises ConfigError when the one that is named does not exist."""
        from ccrelay.config.load import find

        return cls(options, find(options.config))

    def load(self) -> "Loaded":
        """Read and check it now, with the flags in place. Raises ConfigError. May block."""
        from msgspec.structs import replace

        from ccrelay.config.load import load

        self.seen = self.digest()  # before: a change in between is a change to come
        loaded = load(self.path)
        return replace(loaded, config=overridden(loaded.config, self._options))

    def digest(self) -> bytes | None:
        """What tells one content of the file from another; None while it cannot be read."""
        if self.path is None:
            return None
        import hashlib

        try:
            return hashlib.sha256(self.path.read_bytes()).digest()
        except OSError:
            return None


def overridden(config: "Config", options: Options) -> "Config":
    """Return the configuration with the flags in place, checked again. Raises ConfigError."""
    from msgspec.structs import replace

    from ccrelay.config.check import check
    from ccrelay.config.problems import ConfigError

    server = {"listen": options.listen, "workers": options.workers}
    logging = {"format": options.log_format, "level": options.log_level}
    changed = replace(
        config,
        server=replace(config.server, **_given(server)),
        logging=replace(config.logging, **_given(logging)),
    )
    # Only what flags can change: `--listen 0.0.0.0:8787` without relay tokens is refused here.
    wrong = [p for p in check(changed) if p.severity == "error" and p.path[:1] == ("server",)]
    if wrong:
        raise ConfigError(wrong)
    return changed


def _given(members: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in members.items() if value is not None}
