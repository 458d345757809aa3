"""The semantic checks of `routing`: the model table, rules, waiting, retries."""

import operator
import re
from collections.abc import Callable, Mapping, Sequence

from ccrelay.config.check_names import (
    TOKEN,
    ProviderNames,
    check_model,
    check_pattern,
    covers,
    covers_model,
)
from ccrelay.config.findings import Findings
from ccrelay.config.model import Affinity, Config, Routing, Rule, Use, When
from ccrelay.config.problems import Path

# What a rule must not look at: the file would have to hold the credential.
_CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key"})
_VALUE = re.compile(r"[\x20-\x7e]+\Z")
_STRATEGIES: tuple[Path, ...] = (("routing", "strategy"), ("routing", "rules"))
_TABLES: tuple[Path, ...] = (("routing", "models"), ("routing", "models_default"))


def check_routing(config: Config, findings: Findings) -> None:
    """Note everything that is wrong with how providers are chosen."""
    routing = config.routing
    names = ProviderNames(config, findings)
    _check_table(routing, names, findings)
    _check_use_of_table(routing, findings)
    for index, rule in enumerate(routing.rules):
        _check_rule(rule, ("routing", "rules", index), names, findings)
    _check_order(routing.rules, findings)
    _check_retries(routing, findings)
    # The default is left alone: who shortens queue_timeout_s has not asked for the longer wait.
    wait_s = routing.affinity.wait_s
    if routing.affinity.enabled and routing.queue_timeout_s < wait_s != Affinity().wait_s:
        message = (
            f"never so long: routing.queue_timeout_s, {routing.queue_timeout_s:g}, ends every wait"
        )
        findings.warning(("routing", "affinity", "wait_s"), message)


def _check_table(routing: Routing, names: ProviderNames, findings: Findings) -> None:
    for pattern, providers in routing.models.items():
        place: Path = ("routing", "models", pattern)
        check_pattern(place, pattern, findings)
        if not providers:
            findings.error(place, "no providers: name at least one, or leave the model out")
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
        message = "without routing.models providers come in configured order: name them there"
        for path in users:
            findings.missing(path, message, needs=("models",), unless=_TABLES, severity="warning")
    elif not users:
        path = ("routing", "models" if routing.models else "models_default")
        message = "never used: neither routing.strategy nor a rule says model-based"
        findings.missing(path, message, needs=(), unless=_STRATEGIES, severity="warning")


def _check_rule(rule: Rule, path: Path, names: ProviderNames, findings: Findings) -> None:
    if rule.name is not None and not (rule.name.strip() and rule.name.isprintable()):
        findings.error((*path, "name"), "empty, or with control characters")
    _check_when(rule.when, (*path, "when"), findings)
    names.check((*path, "use", "providers"), rule.use.providers)
    if rule.use.model is not None:
        check_model((*path, "use", "model"), rule.use.model, "the model", findings)
    if rule.use == Use():
        findings.missing(
            (*path, "use"),
            "changes nothing: give providers, strategy or model (to keep requests from the rules "
            "below, name the strategy they have anyway)",
            needs=("use",),
            unless=((*path, "use"),),
        )


def _check_when(when: When, path: Path, findings: Findings) -> None:
    for index, pattern in enumerate(when.model):
        check_pattern((*path, "model", index), pattern, findings)
    over, under = when.tokens_over, when.tokens_under
    if over is not None and under is not None and under <= over + 1:
        message = f"no number of tokens is both: tokens_over is {over:,}"
        findings.error((*path, "tokens_under"), message)
    seen: set[str] = set()
    for name, value in when.headers.items():
        place = (*path, "headers", name)
        lower = name.lower()
        if not TOKEN.match(name):
            findings.error(place, "not a header name")
        elif lower in _CREDENTIALS:
            findings.error(place, "rules do not look at credentials: let clients send a header")
        elif lower in seen:
            findings.error(place, "this header is given twice, in different case")
        elif not _VALUE.match(value):
            message = "empty, or with control or non-ASCII characters ('*': any value)"
            findings.error(place, message)
        seen.add(lower)


def _check_order(rules: list[Rule], findings: Findings) -> None:
    """Find rules that an earlier one leaves nothing to."""
    earlier: list[tuple[int, When]] = []
    for index, rule in enumerate(rules):
        path: Path = ("routing", "rules", index)
        if not findings.is_sound(path):
            continue  # conditions that could not be read are not there: it only seems to be wider
        for number, when in earlier:
            if _holds_wherever(when, rule.when):
                what = "holds wherever this one does"
                if when in (When(), rule.when):
                    what = "has no conditions" if when == When() else "has the same conditions"
                findings.warning(path, f"never used: routing.rules[{number}] {what}")
                break
        earlier.append((index, rule.when))


def _holds_wherever(earlier: When, later: When) -> bool:
    """Tell whether conditions of a rule follow from those of a later one (never wrong, may miss).

    They do one by one. A condition that is not given follows from anything.
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
    # A list holds when one of its entries does, and an empty one always.
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
        message = "with ratio 0 and minimum 0 no request is ever tried again"
        findings.warning(("routing", "retry_budget"), message)
