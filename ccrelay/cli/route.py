"""`ccrelay route explain`: hands over to `ccrelay.routing.explain` and lays out what it says.

Imports stay inside the command: `--help` must not pay for the configuration.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ccrelay.config.model import RequestKind
    from ccrelay.routing.explain import Asked, Explanation, Inside, KeyNote

CLASSES = ("main", "subagent", "background", "compaction", "count_tokens", "web-search")
NOBODY = 1  # exit code: no provider would get the request
UNUSABLE = 2
NOTE = "The configuration only: use of limits, rests, breakers and warm caches are not looked at."


@click.group()
def route() -> None:
    """Show how requests are routed."""


@route.command()
@click.option("--model", required=True, help="The model asked for.")
@click.option("--class", "kind", type=click.Choice(CLASSES), help="What the request is for.")
@click.option("--tokens", type=click.IntRange(0), help="Estimated input tokens. Default: 20000.")
@click.option("--images/--no-images", default=False, help="Whether it has images. Default: no.")
@click.option(
    "--thinking/--no-thinking", default=None, help="Whether it thinks. Default: as its class does."
)
@click.option(
    "--tools/--no-tools", default=None, help="Whether it has tools. Default: as its class does."
)
@click.option(
    "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="May be repeated."
)
@click.option(
    "--config",
    "-c",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Configuration file. Default: $CCRELAY_CONFIG, else the first that is found.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def explain(
    model: str,
    kind: "RequestKind | None",
    tokens: int | None,
    images: bool,
    thinking: bool | None,
    tools: bool | None,
    headers: tuple[str, ...],
    file: Path | None,
    as_json: bool,
) -> None:
    """Print which rule applies to a request and which providers could get it, and why.

    Exit codes: 0 somebody could get it, 1 nobody could, 2 the configuration is wrong.
    """
    from ccrelay.config.load import ConfigError, load
    from ccrelay.config.problems import path_text
    from ccrelay.routing.explain import TOKENS, Question, explain as answer

    question = Question(
        model=model,
        kind=kind,
        tokens=TOKENS if tokens is None else tokens,
        images=images,
        thinking=thinking,
        tools=tools,
        headers=dict(_header(text) for text in headers),
    )
    try:
        loaded = load(file, secrets_needed=False)
    except ConfigError as error:
        click.echo(str(error), err=True)
        sys.exit(UNUSABLE)
    explanation = answer(loaded.config, question, not_had=loaded.not_had)
    missing = [f"{path_text(one.path)} ({one.message})" for one in loaded.not_had.values()]
    if as_json:
        import json

        import msgspec

        told = msgspec.to_builtins(explanation) | {"missing_secrets": missing}
        click.echo(json.dumps(told, indent=2))
    else:
        click.echo("\n".join(laid_out(explanation, missing)))
    if not explanation.inside:
        sys.exit(NOBODY)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise click.BadParameter(
            f"{text!r} is not of the form 'name: value'", param_hint="--header"
        )
    return name.strip(), value.strip()


def laid_out(explanation: "Explanation", missing: Sequence[str] = ()) -> list[str]:
    """Return the lines of the text form; `missing`: secrets that could not be had, and why."""
    lines = [f"asked     {explanation.asked.model}: {_shape(explanation.asked)}"]
    has_rules = explanation.rule is not None or bool(explanation.passed_over)
    if explanation.seen_as != explanation.asked.kind and has_rules:
        lines.append(f"class     taken for {explanation.seen_as}: {_why_seen(explanation)}")
    for passed in explanation.passed_over:
        lines.append(f"rule      {passed.rule} does not apply ({'; '.join(passed.unmet)})")
    lines.append(f"rule      {explanation.rule} applies" if explanation.rule else "rule      none")
    if explanation.model != explanation.asked.model:
        lines.append(f"model     {explanation.model} instead")
    lines.append(f"strategy  {explanation.strategy}: {explanation.how}")
    lines += ["", "in", *_inside(explanation.inside)]
    if explanation.outside:
        rows = [[one.provider, "; ".join(one.reasons)] for one in explanation.outside]
        lines += ["", "out", *(f"  {line}" for line in _columns(rows))]
    lines.append("")
    if missing:
        lines.append(f"Secrets that are missing here, and not needed: {'; '.join(missing)}")
    return [*lines, NOTE]


def _why_seen(explanation: "Explanation") -> str:
    if explanation.reads_body:
        return "its headers say so"
    return "no rule asks for more than its head tells"


def _shape(asked: "Asked") -> str:
    parts = [asked.kind, f"{asked.tokens} tokens"]
    for name in ("images", "thinking", "tools"):
        parts.append(name if getattr(asked, name) else f"no {name}")
    return ", ".join(parts)


def _inside(inside: Sequence["Inside"]) -> list[str]:
    if not inside:
        return ["  nobody"]
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
        return "price not known"
    return f"a turn ${one.new_micros / 1e6:.4f}, cached ${one.cached_micros / 1e6:.4f}"


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
