"""The table of the ways the demo can misbehave.

A fault is a small function: it takes the scene and its own options (keyword arguments with
defaults) and gives the plan. Its docstring is its line in `ccrelay mock --list-faults`;
`docs/mock.md` lists every one. A refused connection is no fault of this table: do not listen.
"""

import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

import msgspec

from ccrelay.demo import breakages, oddities, refusals
from ccrelay.demo.plan import Plan, ReadBody, Scene, Stream, answer
from ccrelay.errors import BadRequest


class Fault(msgspec.Struct, frozen=True):
    """A row of the table."""

    name: str
    doc: str  # one line
    run: Callable[..., Plan]
    defaults: dict[str, Any]  # option -> default; the first option may be given as NAME=VALUE
    types: dict[str, Any]
    reads_body: bool  # False: the fault itself decides when the body is read, if ever
    streams_only: bool  # True: a request without `stream` is answered normally

    def convert(self, options: dict[str, str]) -> dict[str, Any]:
        """Return the options as the types the fault takes.

        Raises:
            BadRequest: an option that this fault does not have, or a value of the wrong type.
        """
        converted = {}
        for name, value in options.items():
            if name not in self.types:
                known = ", ".join(self.types) or "none"
                raise BadRequest(f"Fault {self.name} has no option {name!r}; it has: {known}.")
            try:
                converted[name] = msgspec.convert(value, self.types[name], strict=False)
            except msgspec.ValidationError as error:
                raise BadRequest(f"Option {name} of fault {self.name}: {error}.") from error
        return converted

    def plan(self, scene: Scene, options: dict[str, Any], *, body_is_read: bool) -> Plan:
        """Yield the steps of this fault; `options` as `convert` gives them."""
        if self.reads_body and not body_is_read:
            yield ReadBody()
        if self.streams_only and not isinstance(scene.reply(), Stream):
            yield from answer(scene)
        else:
            yield from self.run(scene, **options)


def _row(run: Callable[..., Plan], *, reads_body: bool = True, streams_only: bool = False) -> Fault:
    hints = get_type_hints(run, include_extras=True)
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(run).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    return Fault(
        name=run.__name__,
        doc=inspect.cleandoc(run.__doc__ or ""),
        run=run,
        defaults=defaults,
        types={name: hints[name] for name in defaults},
        reads_body=reads_body,
        streams_only=streams_only,
    )


_ROWS = (
    _row(oddities.ok),
    # no answer, or another one
    _row(refusals.reset_before_head),
    _row(refusals.close_before_head),
    _row(refusals.stall_head),
    _row(refusals.garbage),
    _row(refusals.early_response, reads_body=False),
    _row(refusals.status),
    _row(refusals.empty_200),
    _row(refusals.html_200),
    _row(refusals.json_200, streams_only=True),
    # broken off or spoilt
    _row(breakages.reset_mid_stream),
    _row(breakages.cut_mid_event),
    _row(breakages.stall_mid_stream),
    _row(breakages.bad_chunk),
    _row(breakages.short_body),
    _row(breakages.both_framings),
    _row(breakages.error_first, streams_only=True),
    _row(breakages.error_mid, streams_only=True),
    _row(breakages.no_message_stop, streams_only=True),
    _row(breakages.only_message_start, streams_only=True),
    # odd, but legal
    _row(oddities.slow_head),
    _row(oddities.slow_reader, reads_body=False),
    _row(oddities.informational),
    _row(oddities.big_head),
    _row(oddities.huge_event),
    _row(oddities.split),
    _row(oddities.crlf, streams_only=True),
    _row(oddities.comments, streams_only=True),
    _row(oddities.nameless, streams_only=True),
    _row(oddities.pings_only, streams_only=True),
    _row(oddities.gzip),
    _row(oddities.sized, streams_only=True),
    _row(oddities.close_delimited),
)

FAULTS: dict[str, Fault] = {row.name: row for row in _ROWS}
