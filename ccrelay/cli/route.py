"""`ccrelay route explain`: asks the running relay, else explains by the configuration alone.

`ccrelay.cli.route_live` has the first, this file the second, by `ccrelay.routing.explain`.

Imports are inside the command: `--help` must not import the configuration.
"""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ccrelay.cli import exit_codes
from ccrelay.cli.connection import Failed, Relay
from ccrelay.cli.format_money import cost_of_one
from ccrelay.cli.groups import SuggestingGroup, json_option, socket_option
from ccrelay.cli.output import echo
from ccrelay.cli.route_rules import rules

if TYPE_CHECKING:
    from ccrelay.config.model import RequestKind
    from ccrelay.routing.explain import Asked, Explanation, Inside, KeyNote, Question

CLASSES = ("main", "subagent", "background", "compaction", "count_tokens", "web-search")
NO_PROVIDER = exit_codes.FAILED  # no provider is eligible, or no target can be used now
INVALID_CONFIG = exit_codes.USAGE
OFFLINE = "{}. So this is by the configuration."
NOTE = "Configuration only: current rate limits, cooldowns, breakers and caches are not considered."


@click.group(cls=SuggestingGroup)
def route() -> None:
    """Explain how requests are routed."""


route.add_command(rules)


@route.command()
@click.option("--model", required=True, help="The requested model.")
@click.option("--class", "kind", type=click.Choice(CLASSES), help="Request class.")
@click.option("--tokens", type=click.IntRange(0), help="Estimated input tokens. Default: 20000.")
@click.option(
    "--images/--no-images", default=False, help="Whether the request has images. Default: no."
)
@click.option(
    "--thinking/--no-thinking",
    default=None,
    help="Whether thinking is on. Default: as usual for the class.",
)
@click.option(
    "--tools/--no-tools",
    default=None,
    help="Whether the request has tools. Default: as usual for the class.",
)
@click.option(
    "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="May be repeated."
)
@click.option(
    "--config",
    "-c",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Configuration file, explained alone. Default: what runs; else $CCRELAY_CONFIG, else the "
    "first file found.",
)
@click.option("--session", default="", metavar="ID", help="Session, for its prompt cache.")
@click.option("--offline", is_flag=True, help="By the configuration alone, although a relay runs.")
@json_option
@socket_option
def explain(
    model: str,
    kind: "RequestKind | None",
    tokens: int | None,
    images: bool,
    thinking: bool | None,
    tools: bool | None,
    headers: tuple[str, ...],
    file: Path | None,
    session: str,
    offline: bool,
    as_json: bool,
    socket: str | None,
) -> None:
    """Print where a request would go, and why; nothing is sent.

    The running relay is asked: limits, cooldowns, breakers and caches as they are now. Without one,
    with --config or with --offline: the rule that matches and the eligible providers.
    Exit codes: 0 there is a target, 1 there is none, 2 invalid configuration.
    """
    asked = dict(_header(text) for text in headers)
    if not offline and file is None:
        from ccrelay.cli.route_live import explain_live

        try:
            answer = explain_live(
                Relay(socket),
                model=model,
                kind=kind,
                tokens=tokens,
                images=images,
                thinking=thinking,
                tools=tools,
                headers=asked,
                session=session,
            )
        except Failed as error:
            if error.exit_code != exit_codes.NO_RELAY or socket:
                raise
            echo(OFFLINE.format(error.message.removesuffix(".")), err=True)
        else:
            _print_live(answer, model, as_json)
            return
    from ccrelay.routing.explain import TOKENS, Question

    question = Question(
        model=model,
        kind=kind,
        tokens=TOKENS if tokens is None else tokens,
        images=images,
        thinking=thinking,
        tools=tools,
        headers=asked,
    )
    _explain_offline(question, file, as_json)


def _print_live(answer: Any, model: str, as_json: bool) -> None:
    if as_json:
        from ccrelay.cli.json_output import as_dict, print_json

        print_json({"live": True, **as_dict(answer)})
    else:
        from ccrelay.cli.route_live import live_lines
        from ccrelay.cli.screen import find_screen, write_lines

        write_lines(live_lines(answer, model, int(time.time() * 1000), find_screen()))
    if not answer.target:
        sys.exit(NO_PROVIDER)


def _explain_offline(question: "Question", file: Path | None, as_json: bool) -> None:
    from ccrelay.config.fingerprint import set_key
    from ccrelay.config.fingerprint_key import load_key
    from ccrelay.config.load import ConfigError, load
    from ccrelay.config.problems import path_text
    from ccrelay.routing.explain import explain as explain_route

    try:
        loaded = load(file, require_secrets=False, run_commands=False)
    except ConfigError as error:
        echo(str(error), err=True)
        sys.exit(INVALID_CONFIG)
    set_key(load_key(os.environ).key)
    explanation = explain_route(loaded.config, question, not_had=loaded.missing_secrets)
    missing = [f"{path_text(one.path)} ({one.message})" for one in loaded.missing_secrets.values()]
    if as_json:
        import json

        import msgspec

        output = {"live": False} | msgspec.to_builtins(explanation) | {"missing_secrets": missing}
        echo(json.dumps(output, indent=2))
    else:
        echo("\n".join(format_text(explanation, missing)))
    if not explanation.inside:
        sys.exit(NO_PROVIDER)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise click.BadParameter(f"{text!r} is not 'name: value'", param_hint="--header")
    return name.strip(), value.strip()


def format_text(explanation: "Explanation", missing: Sequence[str] = ()) -> list[str]:
    """Return the lines of the text output; `missing`: unavailable secrets, with reasons."""
    lines = [f"request   {explanation.asked.model}: {_shape(explanation.asked)}"]
    has_rules = explanation.rule is not None or bool(explanation.passed_over)
    if explanation.seen_as != explanation.asked.kind and has_rules:
        lines.append(f"class     treated as {explanation.seen_as}: {_why_seen(explanation)}")
    for passed in explanation.passed_over:
        lines.append(f"rule      {passed.rule} does not match ({'; '.join(passed.unmet)})")
    lines.append(f"rule      {explanation.rule} matches" if explanation.rule else "rule      none")
    if explanation.model != explanation.asked.model:
        lines.append(f"model     {explanation.model} (from the rule)")
    lines.append(f"strategy  {explanation.strategy}: {explanation.how}")
    lines += ["", "eligible", *_inside(explanation.inside)]
    if explanation.outside:
        rows = [[one.provider, "; ".join(one.reasons)] for one in explanation.outside]
        lines += ["", "not eligible", *(f"  {line}" for line in _columns(rows))]
    lines.append("")
    if missing:
        lines.append(f"Missing secrets (not needed here): {'; '.join(missing)}")
    return [*lines, NOTE]


def _why_seen(explanation: "Explanation") -> str:
    if explanation.reads_body:
        return "from its headers"
    return "no rule needs the body, so the class is from the headers"


def _shape(asked: "Asked") -> str:
    parts = [asked.kind, f"{asked.tokens} tokens"]
    for name in ("images", "thinking", "tools"):
        parts.append(name if getattr(asked, name) else f"no {name}")
    return ", ".join(parts)


def _inside(inside: Sequence["Inside"]) -> list[str]:
    if not inside:
        return ["  none"]
    rows = [
        [
            str(number),
            one.provider,
            one.sent,
            f"by {one.why}",
            f"weight {one.weight}",
            f"priority {one.priority}",
            f"share {one.share:.0%}" if one.share is not None else "",
            _price(one),
        ]
        for number, one in enumerate(inside, 1)
    ]
    lines = []
    for line, one in zip(_columns(rows), inside, strict=True):
        lines.append(f"  {line}")
        lines += [f"     {_key(key)}" for key in one.keys]
    return lines


def _price(one: "Inside") -> str:
    if one.new_micros is None or one.cached_micros is None:
        return "price unknown"
    new, cached = (cost_of_one(round(micros)) for micros in (one.new_micros, one.cached_micros))
    return f"per turn {new}, cached {cached}"


def _key(key: "KeyNote") -> str:
    named = f" {key.name}" if key.name else ""
    if not key.enabled:
        return f"key {key.fingerprint}{named}: disabled"
    parts = [f"weight {key.weight}", f"priority {key.priority}"]
    parts += [f"{name} {value}" for name, value in key.limits.items()] or ["no limits"]
    return f"key {key.fingerprint}{named}: {', '.join(parts)}"


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) for cell, width in zip(row, widths, strict=True) if width
        ).rstrip()
        for row in rows
    ]
