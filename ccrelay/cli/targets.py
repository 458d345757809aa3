"""`PROVIDER/KEY` on the command line, and its completion from the running relay."""

import os
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from ccrelay.cli.connection import Relay

COMPLETION_TIMEOUT_S = 0.5


class Target(NamedTuple):
    """A key of a provider, by its name or fingerprint."""

    provider: str
    key: str


if TYPE_CHECKING:
    _ParamType = click.ParamType[Target]
else:
    _ParamType = click.ParamType  # not generic before click 8.4


class TargetParam(_ParamType):
    """`PROVIDER/KEY`."""

    name = "PROVIDER/KEY"

    def convert(self, value: Any, param: Any, ctx: Any) -> Target:
        """Split at the first slash; names of providers have none."""
        if isinstance(value, Target):
            return value
        provider, slash, key = value.partition("/")
        if not (slash and provider and key):
            self.fail(f"{value!r} is not PROVIDER/KEY; the keys are listed by: ccrelay keys")
        return Target(provider, key)

    def shell_complete(self, ctx: click.Context, param: Any, incomplete: str) -> list[Any]:
        """Return the keys of the running relay; nothing when there is none."""
        return complete_keys(ctx, param, incomplete)


def _providers(ctx: click.Context) -> list[Any]:
    from ccrelay.v1.providers_pb2 import ProvidersListRequest, ProvidersListResponse

    try:
        relay = Relay(ctx.params.get("socket"), os.environ)
        answer = relay.call(
            "Providers/List", ProvidersListRequest(), ProvidersListResponse, COMPLETION_TIMEOUT_S
        )
        return list(answer.providers)
    except Exception:  # outermost shell: nothing disturbs the line that is typed
        return []


def _named(name: str) -> Any:
    # A name that a shell or a terminal would take for something else is not offered.
    from click.shell_completion import CompletionItem

    return CompletionItem(name) if name.isprintable() and " " not in name else None


def _items(names: list[str], incomplete: str) -> list[Any]:
    return [item for name in names if name.startswith(incomplete) if (item := _named(name))]


def complete_providers(ctx: click.Context, param: Any, incomplete: str) -> list[Any]:
    """Return the providers of the running relay; nothing when there is none."""
    return _items([one.name for one in _providers(ctx)], incomplete)


def complete_keys(ctx: click.Context, param: Any, incomplete: str) -> list[Any]:
    """Return `provider/key` of the running relay; nothing when there is none."""
    names = [f"{one.name}/{key.name}" for one in _providers(ctx) for key in one.keys]
    return _items(names, incomplete)


def complete_overrides(ctx: click.Context, param: Any, incomplete: str) -> list[Any]:
    """Return the ids of the overrides in force; nothing when there is no relay."""
    changed = [
        override.id
        for one in _providers(ctx)
        for override in [*one.overrides, *(o for key in one.keys for o in key.overrides)]
    ]
    return _items(changed, incomplete)
