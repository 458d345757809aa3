"""Semantic checks of `routing`: model table, rules, queue, retries."""

import operator
import re
from collections.abc import Callable, Mapping, Sequence

from ccrelay.config.check_names import (
    TOKEN,
    ProviderNames,
    check_label,
    check_model,
    check_pattern,
    covers,
    covers_model,
)
from ccrelay.config.findings import Findings
from ccrelay.config.model import Affinity, Config, Routing, Rule, Use, When
from ccrelay.config.problems import Path

# Headers that a rule must not match: the file would contain the credential.
_CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key"})
_VALUE = re.compile(r"[\x20-\x7e]+\Z")
_STRATEGIES: tuple[Path, ...] = (("routing", "strategy"), ("routing", "rules"))
_TABLES: tuple[Path, ...] = (("routing", "models"), ("routing", "models_default"))


def check_routing(config: Config, findings: Findings) -> None:
    """Check the routing section."""
    routing = config.routing
    names = ProviderNames(config, findings)
    _check_table(routing, names, findings)
    _check_use_of_table(routing, findings)
    for index, rule in enumerate(routing.rules):
        _check_rule(rule, ("routing", "rules", index), names, findings)
    _check_order(routing.rules, findings)
    _check_retries(routing, findings)
    # Not for the default of wait_s: a lower queue_timeout_s alone is no mistake.
    wait_s = routing.affinity.wait_s
    if routing.affinity.enabled and routing.queue_timeout_s < wait_s != Affinity().wait_s:
        limit = f"routing.queue_timeout_s ({routing.queue_timeout_s:g})"
        message = f"no effect above {limit}, which ends every wait"
        findings.warning(("routing", "affinity", "wait_s"), message)


def _check_table(routing: Routing, names: ProviderNames, findings: Findings) -> None:
    for pattern, providers in routing.models.items():
        place: Path = ("routing", "models", pattern)
        check_pattern(place, pattern, findings)
        if not providers:
            findings.error(place, "empty provider list: add a provider, or remove the model")
        names.check(place, providers)
    names.check(("routing", "models_default"), routing.models_default)


def _check_use_of_table(routing: Routing, findings: Findings) -> None:
    users: list[Path] = [
        ("routing", "rules", index, "use", "strategy")
        for index, rule in enumerate(routing.rules)
        if rule.use.strategy == "model-based"
    ]
    if routing.strategy == "model-based":
        users.insert(0, ("routing", "strategy"))
    if not routing.models and not routing.models_default:
        message = "no routing.models: providers are used in configured order"
        for path in users:
            findings.missing(path, message, needs=("models",), unless=_TABLES, severity="warning")
    elif not users:
        path = ("routing", "models" if routing.models else "models_default")
        message = "never used: no routing.strategy or rule is model-based"
        findings.missing(path, message, needs=(), unless=_STRATEGIES, severity="warning")


def _check_rule(rule: Rule, path: Path, names: ProviderNames, findings: Findings) -> None:
    if rule.name is not None and not (rule.name.strip() and rule.name.isprintable()):
        findings.error((*path, "name"), "must not be empty or contain control characters")
    check_label((*path, "name"), rule.name or "", findings)
    _check_when(rule.when, (*path, "when"), findings)
    names.check((*path, "use", "providers"), rule.use.providers)
    if rule.use.model is not None:
        check_model((*path, "use", "model"), rule.use.model, "the model", findings)
    if rule.use == Use():
        findings.missing(
            (*path, "use"),
            "no effect: set providers, strategy or model (to exempt requests from later rules, set "
            "the strategy that they have without it)",
            needs=("use",),
            unless=((*path, "use"),),
        )


def _check_when(when: When, path: Path, findings: Findings) -> None:
    for index, pattern in enumerate(when.model):
        check_pattern((*path, "model", index), pattern, findings)
    over, under = when.tokens_over, when.tokens_under
    if over is not None and under is not None and under <= over + 1:
        message = f"never matches together with tokens_over {over:,}"
        findings.error((*path, "tokens_under"), message)
    seen: set[str] = set()
    for name, value in when.headers.items():
        place = (*path, "headers", name)
        lower = name.lower()
        if not TOKEN.match(name):
            findings.error(place, "invalid header name")
        elif lower in _CREDENTIALS:
            findings.error(place, "rules must not match credentials: use another header")
        elif lower in seen:
            findings.error(place, "duplicate header (names are case-insensitive)")
        elif not _VALUE.match(value):
            message = (
                "must not be empty or contain control or non-ASCII characters ('*': any value)"
            )
            findings.error(place, message)
        seen.add(lower)


def _check_order(rules: list[Rule], findings: Findings) -> None:
    """Find rules that are shadowed by an earlier one."""
    earlier: list[tuple[int, When]] = []
    for index, rule in enumerate(rules):
        path: Path = ("routing", "rules", index)
        if not findings.is_valid(path):
            continue  # without its invalid conditions a rule seems to match more
        for number, when in earlier:
            if _holds_wherever(when, rule.when):
                what = "matches all of its requests"
                if when in (When(), rule.when):
                    what = "has no conditions" if when == When() else "has the same conditions"
                findings.warning(path, f"never used: routing.rules[{number}] {what}")
                break
        earlier.append((index, rule.when))


def _holds_wherever(earlier: When, later: When) -> bool:
    """Whether the conditions of `later` imply those of `earlier`; may return False negatives.

    Checked condition by condition; one that is not set is implied.
    """
    over, under = earlier.tokens_over, earlier.tokens_under
    return (
        (over is None or (later.tokens_over is not None and later.tokens_over >= over))
        and (under is None or (later.tokens_under is not None and later.tokens_under <= under))
        and all(
            getattr(earlier, flag) in (None, getattr(later, flag))
            for flag in ("images", "thinking", "tools")
        )
        and _allows_all(earlier.request_class, later.request_class, operator.eq)
        and _allows_all(earlier.model, later.model, covers_model)
        and _has_headers(earlier.headers, later.headers)
    )


def _allows_all(
    earlier: Sequence[str], later: Sequence[str], is_wider: Callable[[str, str], bool]
) -> bool:
    # A list matches when one of its entries does; an empty one always does.
    if not earlier or not later:
        return not earlier
    return all(any(is_wider(wide, narrow) for wide in earlier) for narrow in later)


def _has_headers(earlier: Mapping[str, str], later: Mapping[str, str]) -> bool:
    wanted = {name.lower(): glob for name, glob in later.items()}
    return all(
        name.lower() in wanted and covers(glob, wanted[name.lower()])
        for name, glob in earlier.items()
    )


def _check_retries(routing: Routing, findings: Findings) -> None:
    budget = routing.retry_budget
    if routing.attempts_max > 1 and budget.ratio == 0 and budget.minimum == 0:
        message = "ratio 0 and minimum 0 disable all retries"
        findings.warning(("routing", "retry_budget"), message)
