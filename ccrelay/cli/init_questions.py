"""The questions of `ccrelay init`, each answered by an option or by a person."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import click
import msgspec

from ccrelay.cli.output import echo
from ccrelay.cli.prompts import ask_key, ask_line, read_key, say, waiting, wrapped
from ccrelay.first_run.check import Checked, check, is_billed, price_of_check, provider_of
from ccrelay.first_run.choice import (
    CLOUDS,
    OWN_NAMES,
    Choice,
    Found,
    KeyStore,
    SetupProblem,
    check_key,
    known_key,
    settled,
)
from ccrelay.first_run.detect import LOGIN, Detected
from ccrelay.first_run.write import keychain_problem

MODELS_SHOWN = 12
CHECK_MODEL = "claude-haiku-4-5"
OTHERS = (
    ("anthropic", "an API key of Anthropic"),
    ("zai", "a key of Z.AI"),
    ("openrouter", "a key of OpenRouter"),
    ("minimax", "a key of MiniMax"),
    ("kimi", "a key of Moonshot"),
    ("deepseek", "a key of DeepSeek"),
    ("compatible", "another service with Anthropic's API"),
    ("login", "Claude Code's own login passes through"),
)
# What a cloud has to be told.
_NEEDED = {
    "bedrock": ("region",),
    "claude-aws": ("region", "workspace"),
    "vertex": ("project",),
    "claude-google": ("project", "workspace"),
    "azure": ("resource",),
}


class Answers(NamedTuple):
    """What the options say; None, empty: nothing.

    Args:
        providers: types, presets, or names of what is found.
        variable: that holds the key.
        is_key_piped: the key is on standard input.
        is_login: the login of Claude Code passes through.
        base_url: of a provider elsewhere.
        settings: other members of the provider.
        model: for Claude's names, and for the check.
        check: whether to ask for one token; None: ask.
        store: where the key is kept.
        listen: HOST:PORT of the relay; empty: the default.
        is_asked: whether questions are asked.
    """

    providers: tuple[str, ...]
    variable: str
    is_key_piped: bool
    is_login: bool
    base_url: str
    settings: dict[str, str]
    model: str
    check: bool | None
    store: str | None
    listen: str
    is_asked: bool


class Questions:
    """Asks what the options leave open.

    Args:
        answers: what they say.
        detected: what this machine has.
        env: of this process.
    """

    def __init__(self, answers: Answers, detected: Detected, env: Mapping[str, str]) -> None:
        self._answers = answers
        self._detected = detected
        self._env = env

    def choices(self) -> list[Choice]:
        """The providers, with their keys, tried where that is wanted.

        Raises:
            SetupProblem: one cannot be used.
            click.UsageError: an option is missing that no question can replace.
        """
        if self._answers.providers:
            return [self._finished(self._named(name)) for name in self._answers.providers]
        chosen = [self._finished(self._pick("Which one answers Claude Code first?", default=1))]
        while self._has_more(chosen):
            question = "Another one, for when it cannot? (Enter: none)"
            picked = self._pick(question, default=0)
            if picked is None:
                break
            try:
                chosen.append(self._finished(picked))
            except SetupProblem as problem:
                say(str(problem))
        return chosen

    # ---- which one

    def _has_more(self, chosen: list[Choice]) -> bool:
        usable = [one for one in self._detected.found if one.usable]
        return len(chosen) < len(usable)

    def _pick(self, question: str, *, default: int) -> Choice | None:
        found = self._detected.found
        if default:
            self._show(found)
        number = click.prompt(
            question,
            value_proc=_Rows(
                [*(one.name for one in found), *(name for name, _ in OTHERS)], default
            ),
            default=default,
            show_default=bool(default),
        )
        if not number:
            return None
        if number > len(found):
            name = OTHERS[number - len(found) - 1][0]
            if name == "login":
                return Choice(type="anthropic", pass_through=True)
            return Choice(type=name)
        return self._of_found(found[number - 1])

    def _show(self, found: tuple[Found, ...]) -> None:
        echo("Found on this machine:" if found else "Nothing was found on this machine.")
        width = max([len(one.name) for one in found] + [len(name) for name, _ in OTHERS])
        for number, one in enumerate(found, 1):
            self._show_row(number, one.name, one.source, width)
            if not one.usable:
                self._show_row(None, "", one.note, width)
        echo("Or:")
        for number, (name, what) in enumerate(OTHERS, len(found) + 1):
            self._show_row(number, name, what, width)

    def _show_row(self, number: int | None, name: str, what: str, width: int) -> None:
        first = f"  {number or '':>2}  {name:<{width}}  "
        echo(wrapped(what, first, " " * len(first)))

    def _of_found(self, one: Found) -> Choice:
        is_login = one.source == LOGIN
        return Choice(
            type=one.type,
            name=one.name if one.type != one.name else "",
            base_url=one.base_url,
            variable=one.variable,
            pass_through=is_login,
        )

    def _named(self, name: str) -> Choice:
        """A provider by type, preset or found name, with what the options say of it."""
        answers = self._answers
        found = next((one for one in self._detected.found if self._is_named(one, name)), None)
        has_own = answers.is_login or answers.variable or answers.is_key_piped or answers.base_url
        choice = Choice(type=name)
        if found is not None and not has_own:
            choice = self._of_found(found)
        return msgspec.structs.replace(
            choice,
            base_url=answers.base_url or choice.base_url,
            variable=answers.variable or choice.variable,
            key=_piped_key() if answers.is_key_piped else "",
            pass_through=answers.is_login or choice.pass_through,
            settings=answers.settings,
            model=answers.model,
        )

    def _is_named(self, one: Found, name: str) -> bool:
        return (name in (one.name, one.type) and one.type != "compatible") or name == one.name

    # ---- its key, its model, whether it works

    def _finished(self, choice: Choice | None) -> Choice:
        assert choice is not None
        choice = self._with_settings(choice)
        [choice] = settled([choice])
        if self._needs_key(choice):
            choice, checked = self._with_key(choice)
        else:
            checked = self._checked_or_not(choice)
        choice = self._with_model(choice, checked)
        self._try(choice, checked)
        return self._with_store(choice)

    def _with_settings(self, choice: Choice) -> Choice:
        """Ask for the address of a service elsewhere, and for what a cloud has to be told."""
        is_found = any(one.type == choice.type and one.usable for one in self._detected.found)
        names: tuple[str, ...] = ()
        needs_url = False
        if choice.type == "compatible" and not choice.base_url and "preset" not in choice.settings:
            needs_url = choice.name not in {name for name, _ in OTHERS}
        elif choice.type in CLOUDS and not is_found and not choice.base_url:
            names = tuple(one for one in _NEEDED[choice.type] if not choice.settings.get(one))
        while needs_url or names:
            settings = dict(choice.settings)
            url = ""
            if needs_url:
                url = self._text("Its base URL, before /v1/messages", "--base-url URL")
            for name in names:
                settings[name] = self._text(f"Its {name}", f"--set {name}=VALUE")
            made = msgspec.structs.replace(choice, settings=settings, base_url=url)
            try:
                [one] = settled([made])
                provider_of(one, "", self._env)
            except SetupProblem as problem:
                say(str(problem))  # and ask again
            else:
                return made
        return choice

    def _text(self, question: str, option: str) -> str:
        if not self._answers.is_asked:
            raise click.UsageError(f"{option} is missing.")
        return ask_line(question)

    def _needs_key(self, choice: Choice) -> bool:
        if choice.key or choice.variable or choice.pass_through:
            return False
        if choice.type in CLOUDS or choice.type == "ollama":
            return False
        return choice.settings.get("auth") != "none"

    def _with_key(self, choice: Choice) -> tuple[Choice, Checked | None]:
        if not self._answers.is_asked:
            raise click.UsageError(
                f"The key of {choice.name} is missing: --key-from-env VAR or --key-stdin"
                f"{', or --login' if choice.type == 'anthropic' else ''}."
            )
        while True:
            one = msgspec.structs.replace(choice, key=ask_key(f"Key of {choice.name}"))
            try:
                check_key(one.key)
                return one, self._checked(one)
            except _CheckFailed as failed:
                say(str(failed))
                if not failed.checked.is_of_the_key:
                    self._confirm_all_the_same()
                    return one, None
                if not click.confirm("Try another key?", default=True):
                    raise
            except SetupProblem as problem:
                say(str(problem))
                if not click.confirm("Try another key?", default=True):
                    raise

    def _checked_or_not(self, choice: Choice) -> Checked | None:
        try:
            return self._checked(choice)
        except SetupProblem as problem:
            if not self._answers.is_asked:
                raise
            say(str(problem))
            self._confirm_all_the_same()
            return None

    def _confirm_all_the_same(self) -> None:
        """Raises SetupProblem: it is not wanted."""
        if not click.confirm("Use it all the same?", default=False):
            raise SetupProblem("It is left out.")

    def _checked(self, choice: Choice) -> Checked | None:
        """Ask what is free, and one token with --check.

        Raises SetupProblem: it is refused, or nothing answers.
        """
        if self._answers.check is False:
            return None
        # Where one token is wanted anyway, its answer counts: a list may be refused to a good key.
        model = self._check_model(choice, None) if self._answers.check else ""
        checked = _answered(choice, self._env, model)
        if self._answers.check and not model and not choice.pass_through:
            model = self._check_model(choice, checked)
            if not model:
                raise SetupProblem("--check needs a model of this service: name it with --model.")
            tried = _answered(choice, self._env, model)
            checked = msgspec.structs.replace(tried, models=checked.models)
        say(_told(checked, model))
        return checked

    def _with_model(self, choice: Choice, checked: Checked | None) -> Choice:
        """Which model stands for Claude's, where a service has others."""
        if choice.model or choice.type in OWN_NAMES or choice.pass_through:
            return choice
        known = known_key(choice)
        models = list(checked.models) if checked is not None else []
        if known is None and any(one.startswith("claude-") for one in models):
            return choice  # it has Claude's names
        default = known.large if known is not None else models[0] if models else ""
        if not self._answers.is_asked:
            return choice  # the defaults of the service
        if models:
            more = len(models) - MODELS_SHOWN
            shown = ", ".join(models[:MODELS_SHOWN]) + (f" and {more} more" if more > 0 else "")
            say(f"Models: {shown}")
        model = self._asked_model(checked, default)
        if known is not None and model == known.large:
            return choice  # with the small one beside it
        return msgspec.structs.replace(choice, model=model)

    def _asked_model(self, checked: Checked | None, default: str) -> str:
        while True:
            model = ask_line("Model for Claude's names", default)
            if checked is None or not checked.has_all_models:
                return model
            if model in (*checked.models, default):
                return model
            say(f"{model} is not among the models that it lists.")
            if click.confirm("Use it all the same?", default=False):
                return model

    def _try(self, choice: Choice, checked: Checked | None) -> None:
        """One token, where it is wanted. Raises SetupProblem: it failed."""
        answers = self._answers
        model = self._check_model(choice, checked)
        can_ask = bool(model) and not choice.pass_through
        if choice.type in CLOUDS and not (choice.key or choice.variable):
            can_ask = False  # the relay obtains its credential
        if answers.check is not None or not answers.is_asked or not can_ask:
            return  # done with --check, and not wanted with --no-check
        price = price_of_check(choice, model, self._env)
        if not click.confirm(f"Ask {model} for one token? {price}", default=not is_billed(choice)):
            return
        tried = _answered(choice, self._env, model)
        say(_told(tried, model))

    def _check_model(self, choice: Choice, checked: Checked | None) -> str:
        if self._answers.model or choice.model:
            return self._answers.model or choice.model
        known = known_key(choice)
        if known is not None and choice.type not in OWN_NAMES:
            return known.small
        models = checked.models if checked is not None else ()
        cheap = next((one for one in models if "haiku" in one), "")
        if choice.type in OWN_NAMES:
            return cheap or CHECK_MODEL
        return cheap or (models[0] if models else "")

    # ---- where the key is kept

    def _with_store(self, choice: Choice) -> Choice:
        if not choice.key:
            return choice
        store = self._answers.store
        if store is None and self._answers.is_asked:
            with waiting("Looking for a keychain ..."):
                problem = keychain_problem(self._env)
            if problem:
                say(f"The key goes to a file of mode 0600: {problem.partition(':')[0]}.")
                store = "file"
            else:
                store = click.prompt(
                    "Keep the key in the",
                    type=click.Choice(["keychain", "file"]),
                    default="keychain",
                )
        return msgspec.structs.replace(choice, store=KeyStore(store) if store else None)


def _told(checked: Checked, model: str) -> str:
    """What came, and how long it took where that was the answer of a model."""
    if not model or checked.status != 200:
        return checked.message
    return f"{checked.message.removesuffix('.')} in {checked.latency_ms / 1000:.1f} s."


def _answered(choice: Choice, env: Mapping[str, str], model: str) -> Checked:
    """Ask a provider. Raises _CheckFailed: it refuses, or nothing answers; SetupProblem."""
    with waiting(f"Asking {choice.name}, for a minute at most ..."):
        checked = asyncio.run(check(choice, env, model=model))
    if not checked.ok and (model or not checked.is_unproven):
        raise _CheckFailed(checked)
    return checked


class _CheckFailed(SetupProblem):
    """What came of a check, where that is bad."""

    def __init__(self, checked: Checked) -> None:
        super().__init__(checked.message)
        self.checked = checked


class _Rows:
    """Reads the number of a row, or its name.

    Args:
        names: of the rows, from 1.
        least: 1; 0: none may be chosen.
    """

    def __init__(self, names: Sequence[str], least: int) -> None:
        self._names = names
        self._least = min(least, 1)

    def __call__(self, text: str) -> int:
        """Raises UsageError: there is no such row."""
        answer = str(text).strip().lower()
        if answer in self._names:
            return self._names.index(answer) + 1
        if answer.isascii() and answer.isdecimal() and len(answer) < 4:
            number = int(answer)
            if self._least <= number <= len(self._names):
                return number
        raise click.UsageError(f"Answer with a number up to {len(self._names)}, or with a name.")


def _piped_key() -> str:
    """The key on standard input, one line. Raises click.UsageError."""
    key = read_key("Key")
    if not key:
        raise click.UsageError("--key-stdin: there is no key on standard input.")
    return key
