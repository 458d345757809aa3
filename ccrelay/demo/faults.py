"""The table of faults that the mock provider can inject.

A fault is a function of the request context and its own options (keyword arguments with defaults)
that yields a plan. Its docstring is its line in `ccrelay mock --list-faults`; `docs/mock.md` lists
all of them. For a refused connection, do not start the mock.
"""

import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

import msgspec

from ccrelay.demo import cloud_faults, error_responses, stream_faults, unusual_responses
from ccrelay.demo.plan import Plan, ReadBody, RequestContext, Stream, respond
from ccrelay.errors import BadRequest


class Fault(msgspec.Struct, frozen=True):
    """A row of the table."""

    name: str
    doc: str  # one line
    run: Callable[..., Plan]
    defaults: dict[str, Any]  # option -> default; the first option may be given as NAME=VALUE
    types: dict[str, Any]
    reads_body: bool  # False: the fault decides whether and when the body is read
    streams_only: bool  # True: no fault for a request without `stream`
    only_text: bool = False  # True: no fault for a stream of binary messages

    def convert(self, options: dict[str, str]) -> dict[str, Any]:
        """Convert the options to the types of the fault.

        Raises:
            BadRequest: an unknown option, or a value of the wrong type.
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

    def plan(self, context: RequestContext, options: dict[str, Any], *, body_is_read: bool) -> Plan:
        """Yield the steps of this fault; `options` as returned by `convert`."""
        if self.reads_body and not body_is_read:
            yield ReadBody()
        is_other = self.streams_only and not isinstance(context.reply(), Stream)
        if is_other or (self.only_text and context.is_framed):
            yield from respond(context)
        else:
            yield from self.run(context, **options)


def _row(
    run: Callable[..., Plan],
    *,
    reads_body: bool = True,
    streams_only: bool = False,
    only_text: bool = False,
) -> Fault:
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
        only_text=only_text,
    )


_ROWS = (
    _row(unusual_responses.ok),
    # no response, an error, or a wrong body
    _row(error_responses.reset_before_head),
    _row(error_responses.close_before_head),
    _row(error_responses.stall_head),
    _row(error_responses.garbage),
    _row(error_responses.early_response, reads_body=False),
    _row(error_responses.status),
    _row(error_responses.empty_200),
    _row(error_responses.html_200),
    _row(error_responses.json_200, streams_only=True),
    # aborted or corrupted
    _row(stream_faults.reset_mid_stream),
    _row(stream_faults.cut_mid_event),
    _row(stream_faults.stall_mid_stream),
    _row(stream_faults.bad_chunk),
    _row(stream_faults.short_body),
    _row(stream_faults.both_framings),
    _row(stream_faults.error_first, streams_only=True),
    _row(stream_faults.error_mid, streams_only=True),
    _row(stream_faults.no_message_stop, streams_only=True),
    _row(stream_faults.only_message_start, streams_only=True),
    # unusual, but valid
    _row(unusual_responses.slow_head),
    _row(unusual_responses.slow_reader, reads_body=False),
    _row(unusual_responses.informational),
    _row(unusual_responses.big_head),
    _row(unusual_responses.huge_event),
    _row(unusual_responses.split),
    _row(unusual_responses.crlf, streams_only=True, only_text=True),
    _row(unusual_responses.comments, streams_only=True, only_text=True),
    _row(unusual_responses.nameless, streams_only=True, only_text=True),
    _row(unusual_responses.pings_only, streams_only=True),
    _row(unusual_responses.gzip),
    _row(unusual_responses.sized, streams_only=True),
    _row(unusual_responses.close_delimited),
    # of clouds
    _row(cloud_faults.cloud_error),
    _row(cloud_faults.clock_skew),
    _row(cloud_faults.exception, streams_only=True),
    _row(cloud_faults.error_frame, streams_only=True),
    _row(cloud_faults.bad_crc, streams_only=True),
    _row(cloud_faults.unknown_frames, streams_only=True),
    _row(cloud_faults.pause_mid_stream, streams_only=True),
)

FAULTS: dict[str, Fault] = {row.name: row for row in _ROWS}
