"""Providers: which keys can be used now, which cannot, until when? And the hand on them."""

import shlex
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ccrelay.cli import keys_view, words
from ccrelay.cli.cells import join
from ccrelay.cli.format_counts import count
from ccrelay.cli.format_money import cost_of_one
from ccrelay.cli.format_share import percent
from ccrelay.cli.format_time import countdown, latency, short
from ccrelay.cli.screen import Screen
from ccrelay.cli.table import Cell, Column, draw
from ccrelay.config.letters import letters as letters_of
from ccrelay.tui import windows_view
from ccrelay.tui.page import CHANGE_TIMEOUT_S, Cursor, Host, Page, View, listed, set_in
from ccrelay.tui.sheets import Choice, Field, Form, Line, Option, Text, question
from ccrelay.v1 import providers_pb2 as pb

PROBE_TIMEOUT_S = 60.0
WEIGHT_MAX = 1000
PROBES = (
    ("connect", "TCP and TLS only, no request"),
    ("count_tokens", "free, tells whether the key is accepted"),
    ("message", "one token, billed"),
)


class Subject(NamedTuple):
    """What a row is about: a provider, or one of its keys.

    Args:
        provider: the provider.
        key: the key; None: the row is about the provider.
    """

    provider: Any
    key: Any = None

    @property
    def name(self) -> str:
        """As commands take it: `anthropic`, `anthropic/team-a`."""
        name = str(self.provider.name)
        return name if self.key is None else f"{name}/{self.key.name}"


class ProvidersPage(Page):
    """Providers with their keys, and what can be done with the selected one."""

    title, letter = "Providers", "p"
    hints = "j k move  Enter change, probe  y copy command  ? keys  q quit"

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self.cursor = Cursor()
        self._subjects: list[Subject] = []

    # ---- words

    def sentence(self, view: View) -> str:
        """Return how many keys are in which state."""
        status = self.host.live.status
        if status is None:
            return ""
        text = keys_view.states_line(key for one in status.providers for key in one.keys)
        return view.screen.paint(f"{text}." if text else "", "bold")

    def aside(self, view: View) -> str:
        """Return how many overrides hold."""
        status = self.host.live.status
        if status is None:
            return ""
        found = {each.id for one in status.providers for each in one.overrides}
        found |= {each.id for one in status.providers for key in one.keys for each in key.overrides}
        return f"* {count(len(found), 'override')}: ccrelay overrides" if found else ""

    def command(self) -> str:
        """Return the command that shows the same."""
        return "ccrelay keys --watch"

    # ---- drawing

    def lines(self, view: View) -> list[str]:
        """Return the table, and below it what is known of the selected row."""
        status = self.host.live.status
        if status is None:
            return []
        self._subjects = [
            subject
            for one in status.providers
            for subject in (Subject(one), *(Subject(one, key) for key in one.keys))
        ]
        if not self._subjects:
            return set_in(view.inset.screen.wrap(keys_view.NOTHING))
        inner = view.within(view.width - 1)
        table = self._table(status, view.now_ms, inner)
        below = set_in(self._below(view.inset))
        height = max(view.height - 2 - len(below), 3)
        shown = listed(table[1:], self.cursor, height, view)
        return [f" {table[0]}", *shown, "", *below][: view.height]

    def _table(self, status: Any, now_ms: int, screen: Screen) -> list[str]:
        letters = letters_of(one.name for one in status.providers)
        columns = [
            Column(""),
            Column("PROVIDER, KEY", least=16, shrink_to=10, gap=1),
            Column("STATE", least=13),
            Column("OPEN", right=True),
            Column("ROOM", right=True, least=5),
            Column("WEIGHT", right=True),
            Column("FIRST", right=True, least=6),
            Column("TODAY", right=True, least=6),
            Column("PAID BY", extra=True),
            Column("FINGERPRINT", extra=True),
            Column("PRIO", right=True, extra=True),
        ]
        rows = [
            _provider_row(one, letters[one.provider.name], screen)
            if one.key is None
            else _key_row(one, now_ms, screen)
            for one in self._subjects
        ]
        return draw(columns, rows, screen)

    def _below(self, view: View) -> list[str]:
        """Return windows, cooldown and address of the selected row."""
        subject = self._picked()
        if subject is None:
            return []
        screen, provider = view.screen, subject.provider
        lines = [screen.paint(screen.text(subject.name), "bold")]
        if subject.key is None:
            facts = [
                provider.base_url,
                f"type {provider.type}",
                f"models {', '.join(provider.models)}" if provider.models else "",
            ]
            lines += screen.wrap(screen.text(join(facts)), 2)[:3]
            if provider.breaker.state in (pb.Breaker.STATE_OPEN, pb.Breaker.STATE_HALF_OPEN):
                note = words.breaker_note(provider.breaker, view.now_ms)
                lines += screen.wrap(
                    f"Breaker {words.breaker_state(provider.breaker).text}: {note}"
                )
        else:
            key = subject.key
            if key.cooldown_reason:
                lines += screen.wrap(f"Rests: {screen.text(key.cooldown_reason)}")[:2]
            for rest in key.group_cooldowns:
                left = countdown(max(rest.until_ms - view.now_ms, 0) / 1000)
                lines.append(f"{screen.text(rest.group)} models rest for another {left}")
            own = pb.Provider(name=provider.name, keys=[key])
            found = windows_view.windows_of([own])[:4]
            lines += windows_view.short_lines(found, view.now_ms, screen, view.glyphs)
            limits = [w for w in key.windows if 0 < w.length_s < windows_view.LENGTH_MIN_S]
            for each in limits[:3]:
                used = f"{each.used:,} of {each.limit:,}" if each.limit else ""
                name = screen.text(each.name.replace("_", " "))
                lines.append(f"{name} per minute  {percent(each.utilization)}  {used}")
        return [screen.cut(line) if "\x1b" not in line else line for line in lines]

    def _picked(self) -> Subject | None:
        return self._subjects[self.cursor.at] if self.cursor.at < len(self._subjects) else None

    # ---- keys

    def key(self, key: str, char: str | None) -> bool:
        """Move; open what can be done."""
        if self.cursor.move(key, len(self._subjects), 10):
            return True
        if key == "enter" and (subject := self._picked()) is not None:
            self.host.open(Choice(subject.name, Actions(self.host, subject).options()))
            return True
        return False


class Actions:
    """What can be done with a provider or a key. All that changes something asks before.

    Args:
        host: the dashboard.
        subject: what it is done with.
    """

    def __init__(self, host: Host, subject: Subject) -> None:
        self._host, self._subject = host, subject

    def options(self) -> list[Option]:
        """Return what can be chosen."""
        provider, key = self._subject
        is_on = provider.enabled if key is None else key.enabled
        found = [Option(f"Probe: {kind}", self._probe(kind), note) for kind, note in PROBES]
        found.append(Option("Disable" if is_on else "Enable", self._switch(not is_on)))
        if key is None or key.cooldown_until_ms or key.state == pb.Key.STATE_REFUSED:
            found.append(Option("Clear cooldown" if key is not None else "Clear all cooldowns",
                                self._clear))  # fmt: skip
        if key is not None:
            found.append(Option("Weight", self._weigh, f"{key.weight} now"))
        return found

    def _ask(self, text: str, command: str, yes: str, act: Callable[[], None]) -> None:
        self._host.open(question(self._subject.name, f"{text}\nThe same: {command}", yes, act))

    def _switch(self, on: bool) -> Callable[[], None]:
        provider, key = self._subject
        word = "enable" if on else "disable"
        kind = "providers" if key is None else "keys"

        def act() -> None:
            if key is None:
                request = pb.SetEnabledRequest(provider=provider.name, enabled=on)
                self._change("Providers/SetEnabled", request, pb.SetEnabledResponse, f"{word}d")
                return
            named = pb.SetKeyEnabledRequest(provider=provider.name, key=key.name, enabled=on)
            self._change("Providers/SetKeyEnabled", named, pb.SetKeyEnabledResponse, f"{word}d")

        text = (
            f"Send requests to {self._subject.name} again?"
            if on
            else f"Send no more requests to {self._subject.name}? What runs goes on."
        )
        command = f"ccrelay {kind} {word} {shlex.quote(self._subject.name)}"
        return lambda: self._ask(text, command, word.capitalize(), act)

    def _clear(self) -> None:
        provider, key = self._subject

        def act() -> None:
            request = pb.ClearCooldownRequest(
                provider=provider.name, key="" if key is None else key.name
            )
            self._change(
                "Providers/ClearCooldown", request, pb.ClearCooldownResponse, "free to be used"
            )

        text = f"End the cooldown of {self._subject.name} at once?"
        command = f"ccrelay keys clear-cooldown {shlex.quote(self._subject.name)}"
        self._ask(text, command, "Clear cooldown", act)

    def _weigh(self) -> None:
        line = Line(str(self._subject.key.weight))
        self._host.open(
            Form(
                f"Weight of {self._subject.name}",
                [Field("weight", "weight", line)],
                self._weight_given,
                f"Its relative share among the keys, 0 to {WEIGHT_MAX}.",
            )
        )

    def _weight_given(self, values: dict[str, str]) -> str:
        text = values["weight"]
        if not (text.isdecimal() and text.isascii() and int(text[:6]) <= WEIGHT_MAX):
            return f"A whole number from 0 to {WEIGHT_MAX} is needed."
        provider, key = self._subject
        weight = int(text)

        def act() -> None:
            request = pb.SetWeightRequest(provider=provider.name, key=key.name, weight=weight)
            self._change("Providers/SetWeight", request, pb.SetWeightResponse, f"weighs {weight}")

        command = f"ccrelay keys weight {shlex.quote(self._subject.name)} {weight}"
        self._ask(f"Set the weight of {self._subject.name} to {weight}?", command, "Set it", act)
        return ""

    def _change(self, method: str, request: Any, response_type: Any, word: str) -> None:
        name = self._subject.name
        verb = "" if word.startswith("weighs") else "is "

        def done(answer: Any) -> None:
            self._host.say(f"{name} {verb}{word}.")

        self._host.say(f"Asking the relay: {name} ...")

        def failed(message: str, code: str) -> None:
            self._host.say("")
            self._host.open(Text(f"{name}: not done", message))

        self._host.call(method, request, response_type, done, failed, CHANGE_TIMEOUT_S)

    def _probe(self, kind: str) -> Callable[[], None]:
        provider, key = self._subject
        name = self._subject.name

        def act() -> None:
            request = pb.ProbeRequest(
                provider=provider.name,
                key="" if key is None else key.name,
                kind=pb.ProbeKind.Value(f"PROBE_KIND_{kind.upper()}"),
            )

            def done(answer: Any) -> None:
                self._host.open(Text(f"Probe of {name}", probe_text(kind, answer)))

            self._host.say(f"Probing {name} ...")
            self._host.call(
                "Providers/Probe", request, pb.ProbeResponse, done, timeout_s=PROBE_TIMEOUT_S
            )

        note = dict(PROBES)[kind]
        option = f" --key {shlex.quote(key.name)}" if key is not None else ""
        command = f"ccrelay providers probe {shlex.quote(provider.name)} --kind {kind}{option}"
        return lambda: self._ask(f"Probe {name} by {kind}: {note}.", command, "Probe", act)


def probe_text(kind: str, answer: Any) -> str:
    """Return what a probe found."""
    facts = [
        kind.replace("_", " "),
        f"HTTP {answer.status}" if answer.status else "",
        answer.model,
        f"in {short(answer.latency_ms)}",
        f"cost {cost_of_one(answer.cost_micros)}" if answer.cost_micros else "",
    ]
    verdict = "It works" if answer.ok else "It failed"
    return f"{verdict}: {join(facts)}.\n\n{answer.message}"


def _provider_row(subject: Subject, letter: str, screen: Screen) -> Sequence[Cell]:
    one = subject.provider
    breaker = words.breaker_state(one.breaker)
    if one.breaker.state == pb.Breaker.STATE_CLOSED:
        breaker = breaker._replace(style="dim")
    state = Cell("disabled", style="dim") if not one.enabled else breaker
    if one.enabled and breaker.text not in ("-", ""):
        state = Cell(f"breaker {breaker.text}", style=breaker.style, shorter=(breaker.text,))
    return [
        Cell(letter),
        Cell(screen.text(one.name) + ("*" if one.overrides else ""), style="bold"),
        state,
        Cell(count(sum(key.in_flight for key in one.keys))),
        Cell(""),
        Cell(count(one.weight)),
        Cell(latency(one.first_event_ms)),
        Cell(""),
        Cell(words.BILLING_WORDS.get(one.billing, "?")),
        Cell(screen.text(words.address(one.base_url))),
        Cell(count(one.priority)),
    ]


def _key_row(subject: Subject, now_ms: int, screen: Screen) -> Sequence[Cell]:
    one, key = subject.provider, subject.key
    return [
        Cell(""),
        Cell(f"  {screen.text(key.name)}{'*' if key.overrides else ''}"),
        words.key_state(key, now_ms),
        Cell(count(key.in_flight)),
        Cell(percent(key.room) if key.HasField("room") else "-"),
        Cell(count(key.weight)),
        Cell(latency(key.first_event_ms)),
        words.money_today(key.today, one.billing),
        Cell(""),
        Cell(screen.text(key.fingerprint), style="dim"),
        Cell(count(key.priority)),
    ]
