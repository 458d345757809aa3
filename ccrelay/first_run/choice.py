"""What is found, and what is chosen: the values that the steps of the first run exchange."""

import enum
import re
from collections.abc import Iterable, Mapping

import msgspec

from ccrelay.config.defaults import KNOWN_KEYS, KnownKey, ollama_url
from ccrelay.config.keychain import NAME
from ccrelay.config.presets import BY_TYPE, PRESETS

# What `settings` may have: members of a provider that are one text, the AWS profile, and the model
# that Claude's names are mapped to.
SETTINGS = frozenset(
    {
        *("preset", "region", "location", "project", "workspace", "resource"),
        *("api", "inference_profile", "auth", "billing", "count_tokens", "system_role"),
        *("profile", "model"),
    }
)
CLOUDS = frozenset({"bedrock", "claude-aws", "vertex", "claude-google", "azure"})
# Their models have Claude's names.
OWN_NAMES = CLOUDS | {"anthropic"}
COMMAND = "ccrelay claude"  # starts Claude Code through the relay
KEY_CHARACTERS_MAX = 16_384
_QUOTES = frozenset("\"'`")
# What stands in `${...}`: another text could name a file there, or a command.
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


class KeyStore(enum.Enum):
    """Where a key is kept."""

    KEYCHAIN = "keychain"
    FILE = "file"
    ENVIRONMENT = "env"


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A provider that could be used.

    Args:
        type: as in the configuration.
        name: suggested.
        source: where it was seen: a variable, `login of Claude Code`, a host.
        usable: whether it can be used as it is.
        note: one sentence: what it is, or what is missing.
        models: that it says to have, without being paid.
        base_url: empty: that of the type.
        variable: that holds its key; empty: none does.
    """

    type: str
    name: str
    source: str
    usable: bool
    note: str
    models: tuple[str, ...] = ()
    base_url: str = ""
    variable: str = ""


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """A provider to be set up.

    Args:
        type: as in the configuration, or the name of a preset.
        name: empty: its type.
        base_url: empty: that of the type.
        key: the key itself; empty: none is needed, or `variable`.
        variable: that holds the key instead.
        store: where the key is to be kept; None: in the keychain, else in a file.
        pass_through: the login of the client goes there, instead of a key.
        model: that Claude's names are mapped to; empty: as the provider's defaults have it.
        settings: other members of the provider, by their names (SETTINGS).
    """

    type: str
    name: str = ""
    base_url: str = ""
    key: str = ""
    variable: str = ""
    store: KeyStore | None = None
    pass_through: bool = False
    model: str = ""
    settings: Mapping[str, str] = {}

    def __repr__(self) -> str:
        return f"<Choice {self.name or self.type}>"  # without the key


class SetupProblem(Exception):
    """What was chosen cannot be set up; `str()` is one sentence, without secrets."""


def settled(choices: Iterable[Choice]) -> list[Choice]:
    """Give each a name of its own, and its preset.

    Raises:
        SetupProblem: a type or member that is none, or a key that cannot be one.
    """
    found: list[Choice] = []
    for choice in choices:
        one = _with_preset(choice)
        _check(one)
        names = {other.name for other in found}
        name, number = one.name, 2
        while name in names:
            name, number = f"{one.name}-{number}", number + 1
        found.append(msgspec.structs.replace(one, name=name))
    if not found:
        raise SetupProblem("No provider was chosen.")
    return found


def at_ollama(choice: Choice, env: Mapping[str, str]) -> Choice:
    """A choice with the address that OLLAMA_HOST names, where it is an Ollama without one."""
    if choice.type != "ollama" or choice.base_url or not env.get("OLLAMA_HOST"):
        return choice
    return msgspec.structs.replace(choice, base_url=ollama_url(env))


def known_key(choice: Choice) -> KnownKey | None:
    """What is known of a service that is settled; None: nothing is, or it is elsewhere."""
    preset = choice.settings.get("preset")
    for known in KNOWN_KEYS:
        if (known.type, known.preset) == (choice.type, preset):
            return known
    return None


def _with_preset(choice: Choice) -> Choice:
    settings = dict(choice.settings)
    model = settings.pop("model", "") or choice.model
    type_ = choice.type
    preset = type_ if type_ in PRESETS else settings.get("preset", "")
    if not preset and type_ == "compatible" and choice.name in PRESETS:
        own = PRESETS[choice.name].base_url
        preset = choice.name if choice.base_url in ("", own) else ""
    if preset:
        type_ = "compatible"
        settings["preset"] = preset
    base_url = choice.base_url
    if preset in PRESETS and base_url == PRESETS[preset].base_url:
        base_url = ""
    return msgspec.structs.replace(
        choice,
        type=type_,
        name=choice.name or preset or type_,
        base_url=base_url,
        model=model,
        settings=settings,
    )


def _check(choice: Choice) -> None:
    if choice.type not in BY_TYPE:
        types = ", ".join([*BY_TYPE, *PRESETS])
        raise SetupProblem(f"There is no such type of provider. There are: {types}.")
    if not NAME.match(choice.name):
        raise SetupProblem("A name has 1 to 64 letters, digits, '.', '_' or '-'.")
    if choice.variable and not _VARIABLE.match(choice.variable):  # not shown: it may be the key
        raise SetupProblem("A variable has letters, digits and '_': name it, and not its value.")
    if unknown := set(choice.settings) - SETTINGS:
        raise SetupProblem(f"{sorted(unknown)[0][:40]!r} is no setting of the first run.")
    if choice.pass_through and (choice.type != "anthropic" or choice.key or choice.variable):
        raise SetupProblem("Only a provider of type anthropic without a key passes a login on.")
    if choice.key:
        check_key(choice.key)
    if choice.key and choice.variable:
        raise SetupProblem(f"{choice.name} has a key and a variable: one of them is meant.")
    if choice.store is KeyStore.ENVIRONMENT and choice.key:
        raise SetupProblem(
            f"The key of {choice.name} cannot be kept in a variable by this: name the variable "
            "that holds it, or keep it in the keychain or in a file."
        )


def check_key(key: str) -> None:
    """Raises SetupProblem when a text cannot be a key. It is not shown."""
    if not key.isascii() or not key.isprintable() or " " in key or len(key) > KEY_CHARACTERS_MAX:
        raise SetupProblem(
            f"That is no key: it has blanks, characters that no header carries, or more than "
            f"{KEY_CHARACTERS_MAX} of them."
        )
    if key[:1] in _QUOTES or key[-1:] in _QUOTES:
        raise SetupProblem("That is no key: it has quotes around it.")
