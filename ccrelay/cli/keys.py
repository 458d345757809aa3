"""`ccrelay keys`: the keys of all providers, and the hand on them."""

import click

from ccrelay.cli.connection import Relay
from ccrelay.cli.groups import SuggestingGroup, json_option, socket_option, watch_options
from ccrelay.cli.key_store import forget_key, set_key
from ccrelay.cli.targets import Target, TargetParam, complete_providers

CHANGE_TIMEOUT_S = 30.0
WEIGHT_MAX = 1000

_target = click.argument("target", type=TargetParam())


@click.group(cls=SuggestingGroup, invoke_without_command=True)
@json_option
@watch_options(1.0)
@socket_option
@click.pass_context
def keys(
    ctx: click.Context, as_json: bool, watch: bool, interval: float, socket: str | None
) -> None:
    """Show keys; keep, enable, disable, weigh one.

    Without a command: a table, with windows of plans and limits. Keys are shown as fingerprints.
    """
    if ctx.invoked_subcommand is None:
        from ccrelay.cli.keys_view import keys_lines
        from ccrelay.cli.providers import show_providers

        show_providers(keys_lines, as_json, watch, interval, Relay(socket))


for command in (set_key, forget_key):
    keys.add_command(command)


def _set_enabled(target: Target, enabled: bool, as_json: bool, socket: str | None) -> None:
    from ccrelay.cli.changes import report
    from ccrelay.v1.providers_pb2 import SetKeyEnabledRequest, SetKeyEnabledResponse

    answer = Relay(socket).call(
        "Providers/SetKeyEnabled",
        SetKeyEnabledRequest(provider=target.provider, key=target.key, enabled=enabled),
        SetKeyEnabledResponse,
        CHANGE_TIMEOUT_S,
    )
    word = "enabled" if enabled else "disabled"
    report(answer, f"{target.provider}/{target.key} is {word}.", as_json)


@keys.command()
@_target
@json_option
@socket_option
def enable(target: Target, as_json: bool, socket: str | None) -> None:
    """Use a key again.

    An override of `enabled`.
    """
    _set_enabled(target, True, as_json, socket)


@keys.command()
@_target
@json_option
@socket_option
def disable(target: Target, as_json: bool, socket: str | None) -> None:
    """Use a key no more.

    An override of `enabled`; what runs goes on.
    """
    _set_enabled(target, False, as_json, socket)


@keys.command()
@_target
@click.argument("number", type=click.IntRange(0, WEIGHT_MAX), metavar="WEIGHT")
@json_option
@socket_option
def weight(target: Target, number: int, as_json: bool, socket: str | None) -> None:
    """Change the weight of a key.

    That is its share among the keys of its provider: an override of `weight`.
    """
    from ccrelay.cli.changes import report
    from ccrelay.v1.providers_pb2 import SetWeightRequest, SetWeightResponse

    answer = Relay(socket).call(
        "Providers/SetWeight",
        SetWeightRequest(provider=target.provider, key=target.key, weight=number),
        SetWeightResponse,
        CHANGE_TIMEOUT_S,
    )
    report(answer, f"{target.provider}/{target.key} has weight {number}.", as_json)


@keys.command("clear-cooldown")
@click.argument("target", metavar="PROVIDER[/KEY]", shell_complete=complete_providers)
@json_option
@socket_option
def clear_cooldown(target: str, as_json: bool, socket: str | None) -> None:
    """End the cooldown of a key.

    Of all keys, with the name of a provider alone; also one after a refusal.
    """
    from ccrelay.cli.changes import report
    from ccrelay.cli.format_counts import count
    from ccrelay.v1.providers_pb2 import ClearCooldownRequest, ClearCooldownResponse

    provider, _, key = target.partition("/")
    answer = Relay(socket).call(
        "Providers/ClearCooldown",
        ClearCooldownRequest(provider=provider, key=key),
        ClearCooldownResponse,
    )
    ended = f"{count(answer.cleared, 'cooldown')} ended" if answer.cleared else "no cooldown to end"
    report(answer, f"{target}: {ended}.", as_json, hint="")
