"""What was set at run time, over what the file says: overrides, and the level of the log.

The supervisor holds it; it outlives reloads, upgrades and every other process, but no restart.
"""

import msgspec

from ccrelay.config.check import check
from ccrelay.config.fingerprint import fingerprint
from ccrelay.config.model import Config, Key, Level, Provider
from ccrelay.config.overrides import Override, apply_overrides
from ccrelay.config.problems import Problem, path_text, quoted

WEIGHT_MAX = 1000  # as of `Key.weight`


class Adjustments(msgspec.Struct, frozen=True):
    """Overrides, oldest first; and a log level, "" where the file's is in force."""

    overrides: list[Override] = []
    log_level: str = ""

    def apply(self, config: Config) -> Config:
        """The configuration in force, from what the file says."""
        changed = apply_overrides(config, self.overrides)
        if self.log_level not in ("", config.logging.level):
            level: Level = msgspec.convert(self.log_level, Level)
            logging = msgspec.structs.replace(config.logging, level=level)
            changed = msgspec.structs.replace(changed, logging=logging)
        return changed


class Judgement(msgspec.Struct, frozen=True):
    """Whether overrides can be applied: why not, in one sentence or ""; and what to think of."""

    problem: str = ""
    warnings: list[str] = []


def judge(config: Config, wanted: list[Override], known: list[Override]) -> Judgement:
    """Check overrides against what the file says.

    Args:
        config: what the file says.
        wanted: all that are to be in force.
        known: those in force now: what they name may be gone from the file meanwhile.
    """
    for override in wanted:
        if override not in known and (problem := _target_problem(config, override)):
            return Judgement(problem)
    before = set(map(_text, check(config)))
    found = [p for p in check(apply_overrides(config, wanted)) if _text(p) not in before]
    errors = [_text(problem) for problem in found if problem.severity == "error"]
    if errors:
        return Judgement(errors[0])
    return Judgement(warnings=[_text(problem) for problem in found])


def _text(problem: Problem) -> str:
    return f"{path_text(problem.path)}: {problem.message}"


def _target_problem(config: Config, override: Override) -> str:
    provider = next((one for one in config.providers if one.name == override.provider), None)
    if provider is None:
        names = ", ".join(quoted(one.name) for one in config.providers)
        return f"there is no provider {quoted(override.provider)}; there are {names}"
    if override.key and _key(provider, override.key) is None:
        shown = ", ".join(map(_shown, provider.keys)) or "none"
        return (
            f"provider {quoted(provider.name)} has no key {quoted(override.key)}; its keys: {shown}"
        )
    if override.setting == "enabled":
        return "" if override.value in (0, 1) else "enabled is 0 or 1"
    if not override.key:
        return "only the weight of a key can be set at run time"
    return "" if 0 <= override.value <= WEIGHT_MAX else f"a weight is 0 to {WEIGHT_MAX}"


def _key(provider: Provider, shown: str) -> Key | None:
    return next((key for key in provider.keys if fingerprint(key.key) == shown), None)


def _shown(key: Key) -> str:
    return f"{key.name} {fingerprint(key.key)}" if key.name else fingerprint(key.key)


def describe(config: Config, before: list[Override], after: list[Override]) -> list[str]:
    """What a change of the overrides does, in words: `zai disabled`, `zai/team weight 3`."""
    old, new = _by_setting(before), _by_setting(after)
    words = [
        f"{_target(config, *place)} {_value(place[2], value)}"
        for place, value in new.items()
        if old.get(place) != value
    ]
    return words + [
        f"{_target(config, *place)} {place[2]} as in the file" for place in old if place not in new
    ]


def _by_setting(overrides: list[Override]) -> dict[tuple[str, str, str], int]:
    return {(one.provider, one.key, one.setting): one.value for one in overrides}


def _target(config: Config, name: str, shown: str, setting: str) -> str:
    if not shown:
        return name
    provider = next((one for one in config.providers if one.name == name), None)
    key = provider and _key(provider, shown)
    return f"{name}/{key.name if key and key.name else shown}"


def _value(setting: str, value: int) -> str:
    if setting == "enabled":
        return "enabled" if value else "disabled"
    return f"{setting} {value}"
