"""The status of the relay: live state, what is answered, what needs a look."""

import time
from collections.abc import Iterable, Iterator

from ccrelay.config.model import Config, Rule
from ccrelay.manager.live import LiveProvider, LiveState
from ccrelay.manager.notices import TimeOf, notices
from ccrelay.manager.state import RelayState
from ccrelay.v1 import relay_pb2 as v1


def local_time(ms: int) -> str:
    """An instant in local time of the relay: `14:32:08`, on another day `Sat 08:00`."""
    then, now = time.localtime(ms / 1000), time.localtime()
    is_today = (then.tm_year, then.tm_yday) == (now.tm_year, now.tm_yday)
    return time.strftime("%H:%M:%S" if is_today else "%a %d %b %H:%M", then)


def status_of(state: RelayState, time_of: TimeOf = local_time) -> v1.Status:
    """The status as of now."""
    status = state.head()
    status.providers.extend(state.providers())
    missing = unanswered(state.live)
    status.answering = status.state != v1.Status.STATE_STARTING and not missing
    status.notices.extend(notices(status, missing, time_of, state.remarks()))
    return status


def unanswered(live: LiveState) -> list[str]:
    """Models, and rules, for which no target can be used now.

    A glob is asked for as if it were a name: who serves all of it serves that.
    """
    now = live.clock.now()
    enabled = [one for one in live.providers if one.config.enabled]
    served = list(dict.fromkeys(name for one in enabled for name in one.models()))
    found = [name for name in served if not _any_takes(enabled, name, now)]
    by_name = {one.name: one for one in enabled}
    for label, models, names in _ruled(live.config, served):
        own = [by_name[name] for name in names if name in by_name]
        offered = [model for model in models if any(_serves(one, model) for one in own)]
        bad = [model for model in offered if not _any_takes(own, model, now)]
        found += [f"{model} by {label}" for model in bad if model not in found]
    return found


def _ruled(config: Config, served: Iterable[str]) -> Iterator[tuple[str, list[str], list[str]]]:
    """The rules that bring routes of their own: name, models, providers."""
    everyone = [provider.name for provider in config.providers]
    for number, rule in enumerate(config.routing.rules):
        if rule.use.providers or rule.use.model:
            label = f"rule {rule.name or f'rules[{number}]'}"
            yield label, _models_of(rule, served), list(rule.use.providers) or everyone


def _models_of(rule: Rule, served: Iterable[str]) -> list[str]:
    if rule.use.model:
        return [rule.use.model]
    return list(rule.when.model) or list(served)


def _serves(provider: LiveProvider, model: str) -> bool:
    return provider.matcher.resolve(model) is not None


def _any_takes(providers: Iterable[LiveProvider], model: str, now: float) -> bool:
    return any(provider.can_take(model, now) for provider in providers)
