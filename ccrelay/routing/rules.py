"""Compiled `routing.rules`: exceptions from the strategy; the first matching rule applies.

All conditions of a rule must match. A condition on the body does not match while the body is
unknown. A rule without conditions matches every request. Names and globs are those of
`model_mapping` (`ccrelay.wire.matching`): case-sensitive; a name with `[1m]` matches requests with
`[1m]` only, one without matches both.
"""

import fnmatch
import re
import sys
from collections.abc import Callable, Iterable, Sequence

from ccrelay.config.model import RequestKind, Routing, Rule, StrategyName, When
from ccrelay.routing.features import Features
from ccrelay.types import TrafficClass
from ccrelay.wire.matching import strip_window

Header = Callable[[bytes], bytes | None]

CLASSES: dict[RequestKind, TrafficClass] = {
    "main": TrafficClass.MAIN,
    "subagent": TrafficClass.SUBAGENT,
    "background": TrafficClass.BACKGROUND,
    "compaction": TrafficClass.COMPACTION,
    "count_tokens": TrafficClass.COUNT_TOKENS,
    "web-search": TrafficClass.WEB_SEARCH,
}

# Classes that the head always determines. All others need the body.
_TOLD_BY_HEAD = frozenset({TrafficClass.SUBAGENT, TrafficClass.COUNT_TOKENS})


class CompiledRule:
    """One compiled rule. Keys omitted from `use` are empty or None."""

    __slots__ = (
        "_classes",
        "_flags",
        "_headers",
        "_models",
        "_over",
        "_under",
        "model",
        "name",
        "needs_body",
        "needs_tokens",
        "number",
        "providers",
        "strategy",
    )

    def __init__(self, number: int, rule: Rule) -> None:
        """Compile `rule`, the one at index `number`."""
        when, use = rule.when, rule.use
        self.number = number
        self.name: str = rule.name or f"rules[{number}]"
        self.providers: tuple[str, ...] = tuple(use.providers)
        self.strategy: StrategyName | None = use.strategy
        self.model: str | None = use.model
        self._classes = frozenset(CLASSES[kind] for kind in when.request_class)
        self._over = -1 if when.tokens_over is None else when.tokens_over
        self._under = sys.maxsize if when.tokens_under is None else when.tokens_under
        self._flags = _Flags(when)
        self._models = _Names(when.model) if when.model else None
        self._headers = tuple(
            (name.lower().encode(), _globs([pattern])) for name, pattern in when.headers.items()
        )
        self.needs_tokens = when.tokens_over is not None or when.tokens_under is not None
        self.needs_body = self._flags.given or not self._classes <= _TOLD_BY_HEAD

    def applies(
        self,
        model: str,
        traffic: TrafficClass,
        tokens: int,
        features: Features | None,
        header: Header,
    ) -> bool:
        """Whether all conditions match; the arguments are those of `Rules.match`."""
        if self._classes and traffic not in self._classes:
            return False
        if not self._over < tokens < self._under:
            return False
        if self._flags.given and (features is None or not self._flags.agree(features)):
            return False
        if self._models is not None and not self._models.match(model):
            return False
        for name, pattern in self._headers:
            value = header(name)
            if value is None or not pattern.match(value.decode("utf-8", "replace")):
                return False
        return True

    def __repr__(self) -> str:
        return f"<CompiledRule {self.number} {self.name}>"


class Rules:
    """All rules of a configuration."""

    __slots__ = ("empty", "needs_body", "needs_tokens", "rules")

    def __init__(self, rules: Sequence[CompiledRule]) -> None:
        self.rules = tuple(rules)
        self.empty = not rules
        # True: matching needs the features of the body.
        self.needs_body = any(rule.needs_body for rule in rules)
        self.needs_tokens = any(rule.needs_tokens for rule in rules)

    def match(
        self,
        model: str,
        traffic: TrafficClass,
        tokens: int,
        features: Features | None,
        header: Header,
    ) -> CompiledRule | None:
        """The first matching rule, or None.

        Args:
            model: as requested by the client.
            traffic: class of the request (`features.traffic_of`).
            tokens: estimated input tokens.
            features: of the body; None: unknown.
            header: returns the value of a request header by its lower-case name, or None.
        """
        for rule in self.rules:
            if rule.applies(model, traffic, tokens, features, header):
                return rule
        return None

    def __repr__(self) -> str:
        return f"<Rules {len(self.rules)} needs_body={self.needs_body}>"


def compile_rules(routing: Routing) -> Rules:
    """The rules of a checked configuration."""
    return Rules([CompiledRule(number, rule) for number, rule in enumerate(routing.rules)])


class _Flags:
    # Conditions on the body; None: any.

    __slots__ = ("given", "images", "thinking", "tools")

    def __init__(self, when: When) -> None:
        self.images = when.images
        self.thinking = when.thinking
        self.tools = when.tools
        self.given = any(flag is not None for flag in (when.images, when.thinking, when.tools))

    def agree(self, features: Features) -> bool:
        return (
            self.images in (None, features.images)
            and self.thinking in (None, features.thinking)
            and self.tools in (None, features.tools)
        )


class _Names:
    # Requested models: names and globs, each with or without `[1m]`.

    __slots__ = ("_any", "_windowed")

    def __init__(self, names: Iterable[str]) -> None:
        stripped = {name: strip_window(name) for name in names}
        self._any = _globs(plain for name, plain in stripped.items() if plain == name)
        self._windowed = _globs(plain for name, plain in stripped.items() if plain != name)

    def match(self, model: str) -> bool:
        name = strip_window(model)
        if self._any.match(name):
            return True
        return name != model and self._windowed.match(name) is not None


def _globs(patterns: Iterable[str]) -> re.Pattern[str]:
    # Brackets are literal; fnmatch's atomic groups prevent backtracking. No patterns: no match.
    translated = [fnmatch.translate(pattern.replace("[", "[[]")) for pattern in patterns]
    return re.compile("|".join(translated) or "(?!)")
