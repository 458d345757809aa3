"""What needs a look, worst first, each with the command that mends it.

Pure: works on a status. Sentences name instants, not how long something lasts, so that they do not
change while nothing happens.
"""

import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence

from ccrelay.printable import printable
from ccrelay.v1 import providers_pb2, relay_pb2 as v1

Notice = v1.Notice
Provider = providers_pb2.Provider
Key = providers_pb2.Key
TimeOf = Callable[[int], str]
"""Shows an instant (milliseconds since 1970) in local time, to the second."""

SHOWN_MAX = 5  # names in one sentence
_LENGTHS = {"5h": "5-hour window", "7d": "7-day window"}


def notices(
    status: v1.Status,
    unanswered: Iterable[str],
    time_of: TimeOf,
    remarks: Sequence[str] = (),
) -> list[Notice]:
    """The notices of a status.

    Args:
        status: all but `notices` is set.
        unanswered: models for which no target can be used now.
        time_of: shows instants.
        remarks: on the configuration in force.
    """
    unanswered = list(unanswered)
    found = [
        *_of_relay(status, unanswered),
        *_of_ledger(status.management.ledger),
    ]
    for provider in status.providers:
        found += _of_breaker(provider, bool(unanswered), time_of)
        for key in provider.keys:
            found += _of_key(provider, key, time_of)
    found += _of_overrides(status)
    found += [_warning("config", _sentence(remark)) for remark in remarks[:SHOWN_MAX]]
    return sorted(found, key=lambda notice: -notice.severity)  # stable: the order above stays


def _error(subject: str, message: str, command: str = "") -> Notice:
    return Notice(severity=Notice.SEVERITY_ERROR, subject=subject, message=message, command=command)


def _warning(subject: str, message: str, command: str = "") -> Notice:
    return Notice(
        severity=Notice.SEVERITY_WARNING, subject=subject, message=message, command=command
    )


def _command(subject: str) -> str:
    """The command that ends a cooldown; names of keys are free text."""
    return f"ccrelay keys clear-cooldown {shlex.quote(printable(subject))}"


def _names(names: list[str]) -> str:
    more = len(names) - SHOWN_MAX
    return ", ".join(names[:SHOWN_MAX]) + (f" and {more} more" if more > 0 else "")


def _of_relay(status: v1.Status, unanswered: list[str]) -> Iterator[Notice]:
    if unanswered:
        # What is wrong first: lists are cut where there is little room.
        yield _error(
            "relay",
            f"No target can take a request now for {_names(unanswered)}.",
            "ccrelay doctor",
        )
    if status.reload_problem:
        number = (
            f"Number {status.revision} stays in force" if status.revision else "Nothing changed"
        )
        yield _error(
            "config",
            f"The last reload failed: {_sentence(status.reload_problem)} {number}.",
            "ccrelay config check",
        )
    if status.state == v1.Status.STATE_DRAINING:
        yield _warning("relay", "It ends when the running exchanges have; it takes no new ones.")
    restarts = status.management.restarts
    if restarts:
        times = "once" if restarts == 1 else f"{restarts} times"
        yield _warning("manager", f"The manager had to be restarted {times}; no request was hurt.")


def _of_ledger(ledger: v1.Ledger) -> Iterator[Notice]:
    if ledger.state == v1.Ledger.STATE_FAILING:
        yield _error(
            "ledger",
            _sentence(ledger.problem or "Exchanges cannot be written"),
            "ccrelay doctor",
        )
    if ledger.dropped:
        count = "1 exchange is" if ledger.dropped == 1 else f"{ledger.dropped} exchanges are"
        yield _warning("ledger", f"{count} missing in it, because its buffers were full.")


def _of_breaker(provider: Provider, is_error: bool, time_of: TimeOf) -> Iterator[Notice]:
    breaker = provider.breaker
    if not provider.enabled or breaker.state not in (
        providers_pb2.Breaker.STATE_OPEN,
        providers_pb2.Breaker.STATE_HALF_OPEN,
    ):
        return
    make = _error if is_error else _warning
    if breaker.state == providers_pb2.Breaker.STATE_OPEN:
        until = f" until {time_of(breaker.resumes_at_ms)}" if breaker.resumes_at_ms else ""
        message = f"Its endpoint fails, so no request goes there{until}."
    else:
        message = "Its endpoint has failed; one request at a time goes there, to see."
    yield make(provider.name, message, f"ccrelay providers probe {provider.name}")


def _of_key(provider: Provider, key: Key, time_of: TimeOf) -> Iterator[Notice]:
    subject = f"{provider.name}/{key.name}"
    if key.state == Key.STATE_REFUSED:
        again = f" It is tried again at {time_of(key.cooldown_until_ms)}."
        yield _error(
            subject,
            "The provider refuses this key (401 or 403): replace it."
            + (again if key.cooldown_until_ms else ""),
            _command(subject),
        )
    elif key.state == Key.STATE_COOLDOWN:
        yield _warning(
            subject,
            f"Cooldown until {time_of(key.cooldown_until_ms)}: {key.cooldown_reason}.",
            _command(subject),
        )
    if key.state == Key.STATE_DISABLED:
        return
    for rest in key.group_cooldowns:
        yield _warning(
            subject,
            f"Cooldown for {rest.group} until {time_of(rest.until_ms)}.",
            _command(subject),
        )
    for window in key.windows:
        yield from _of_window(subject, window, time_of)


def _of_window(subject: str, window: providers_pb2.Window, time_of: TimeOf) -> Iterator[Notice]:
    name = _LENGTHS.get(window.name, f"{window.name} window")
    is_early = window.full_at_ms and (
        not window.resets_at_ms or window.full_at_ms < window.resets_at_ms
    )
    if window.utilization >= 1 and window.resets_at_ms:
        yield _warning(subject, f"The {name} is used up until {time_of(window.resets_at_ms)}.")
    elif is_early and window.utilization < 1:
        early = ""
        if window.resets_at_ms:
            early = f", {_span(window.resets_at_ms - window.full_at_ms)} before its reset"
        yield _warning(
            subject,
            f"The {name} runs out {time_of(window.full_at_ms)} at this rate{early}.",
        )


def _of_overrides(status: v1.Status) -> Iterator[Notice]:
    ids = [one.id for provider in status.providers for one in provider.overrides]
    for provider in status.providers:
        ids += [one.id for key in provider.keys for one in key.overrides]
    if ids:
        was = "setting was" if len(ids) == 1 else "settings were"
        yield _warning(
            "overrides",
            f"{len(ids)} {was} changed at run time, and not in the file: {_names(ids)}.",
            "ccrelay overrides",
        )


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _span(ms: int) -> str:
    minutes = max(ms // 60_000, 1)
    if minutes < 120:
        return f"{minutes} min"
    hours = minutes // 60
    return f"{hours} h" if hours < 72 else f"{hours // 24} d"
