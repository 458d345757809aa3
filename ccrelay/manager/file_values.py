"""What the text of the configuration file says of the settings that can be overridden."""

from typing import Any

from ccrelay.config.overrides import Setting
from ccrelay.config.problems import Document

_DEFAULTS: dict[Setting, int] = {"enabled": 1, "weight": 1}


def parse(text: str, *, is_toml: bool) -> Document:
    """Parse a text as the file would be; never raises."""
    if is_toml:
        from ccrelay.config.toml_marks import parse_toml

        return parse_toml(text)
    from ccrelay.config.yaml_marks import parse_yaml

    return parse_yaml(text)


class FileTextValues:
    """`enabled` and `weight` as they stand in a text, before `${...}` are filled in.

    Args:
        text: of the file in force; empty: there is none, and the defaults hold.
        is_toml: else YAML.
    """

    def __init__(self, text: str, *, is_toml: bool) -> None:
        data = parse(text, is_toml=is_toml).data
        self._providers: list[Any] = []
        if isinstance(data, dict) and isinstance(data.get("providers"), list):
            self._providers = data["providers"]

    def index(self, provider: str) -> int | None:
        """Place of a provider in the file; None: it is not there under that name."""
        for index, one in enumerate(self._providers):
            if isinstance(one, dict) and one.get("name") == provider:
                return index
        return None

    def value(self, provider: str, key: int | None, setting: Setting) -> int | str | None:
        """The file's value; text where it is an expression, None: not known."""
        index = self.index(provider)
        section: Any = {}
        if index is not None:
            section = self._providers[index]
        elif self._providers:
            return None
        if key is not None and section:
            keys = section.get("keys")
            if not isinstance(keys, list) or key >= len(keys) or not isinstance(keys[key], dict):
                return None
            section = keys[key]
        value = section.get(setting, _DEFAULTS[setting])
        return int(value) if isinstance(value, int) else str(value)
