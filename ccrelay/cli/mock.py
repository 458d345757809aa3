"""`ccrelay mock`: the mock provider in the foreground, a test upstream with fault injection."""

import asyncio
import base64
import contextlib
import json
import os
import signal
import textwrap
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import IO, TypeVar

import click
import msgspec

from ccrelay.cli.output import echo
from ccrelay.config.address import join_address, listen_problem, split_listen
from ccrelay.demo.cloud import DIALECTS, Accepted, Cloud, DialectName
from ccrelay.demo.cloud_examples import cloud_examples
from ccrelay.demo.faults import FAULTS
from ccrelay.demo.limits import Quotas, fingerprint
from ccrelay.demo.rate_windows import WINDOWS, WindowKind
from ccrelay.demo.script import FaultCall, Script, parse_call, parse_calls
from ccrelay.demo.server import GAP_MS, Recorded, start_demo
from ccrelay.errors import BadRequest

T = TypeVar("T")
V = TypeVar("V")

CREDENTIALS = ("authorization", "x-api-key", "api-key", "cookie", "proxy-authorization")
EPILOG = """\b
Per request: the header `x-demo-fault: NAME[,option=value...]`,
or in the prompt `demo:fault=NAME`, `demo:deltas=N`, `demo:gap_ms=N`, `demo:text=...`.
While it runs: `GET /demo/limits`, `POST /demo/limits/reset`, `POST /demo/fault?name=NAME`."""


def _address(ctx: click.Context, param: click.Parameter, value: str) -> tuple[str, int]:
    try:
        return split_listen(f"127.0.0.1{value}" if value.startswith(":") else value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r}: {error}.") from None


def _accepted(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> Accepted | None:
    return _parsed(Accepted.parse, values) if values else None


def _one_call(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[FaultCall, ...] | None:
    return None if value is None else (_parsed(parse_call, value),)


def _calls(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[FaultCall, ...] | None:
    return None if value is None else _parsed(parse_calls, value)


def _key_faults(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> tuple[tuple[str, FaultCall], ...]:
    found = []
    for value in values:
        key, colon, fault = value.partition(":")
        if not (key and colon):
            raise click.BadParameter(f"{value!r} is not END_OF_KEY:FAULT.")
        found.append((key, _parsed(parse_call, fault)))
    return tuple(found)


def _parsed(parse: Callable[[V], T], value: V) -> T:
    try:
        return parse(value)
    except BadRequest as error:
        raise click.BadParameter(error.message) from error


@click.command(epilog=EPILOG)
@click.option(
    "--listen",
    metavar="HOST:PORT",
    callback=_address,
    default="127.0.0.1:8788",
    show_default=True,
    help="Listen address; port 0 binds a free port. Any credential is accepted.",
)
@click.option(
    "--fault",
    "faults",
    metavar="NAME[,k=v]",
    callback=_one_call,
    help="Fault for every POST /v1/messages.",
)
@click.option(
    "--script",
    "sequence",
    metavar="A,B,...",
    callback=_calls,
    help="Fault of each request in order, e.g. 529,529,ok; the last one repeats.",
)
@click.option(
    "--fault-rate",
    type=click.FloatRange(0, 1),
    default=1.0,
    show_default=True,
    help="Share of the requests that get the fault.",
)
@click.option("--seed", type=int, help="Random seed of --fault-rate.")
@click.option(
    "--times", type=click.IntRange(0), help="Maximum number of faults; later requests succeed."
)
@click.option(
    "--key-fault",
    "key_faults",
    metavar="END_OF_KEY:FAULT",
    multiple=True,
    callback=_key_faults,
    help="Fault for every request whose key has this suffix. May be repeated.",
)
@click.option(
    "--limits",
    metavar="rpm=N,tpm=N,...",
    default="",
    help="Rate limits of each key: rpm, tpm, itpm, otpm, concurrent.",
)
@click.option(
    "--limit-window",
    "window",
    type=click.Choice(list(WINDOWS)),
    default="sliding",
    show_default=True,
    help="Sliding 60 s, fixed clock minute, or token bucket.",
)
@click.option(
    "--limit-headers",
    type=click.Choice(["on", "off", "only"]),
    default="on",
    show_default=True,
    help="Whether to send rate limit headers, and retry-after with a 429; only: refuse nothing.",
)
@click.option(
    "--delay-ms",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Delay before every response.",
)
@click.option(
    "--gap-ms",
    type=click.FloatRange(0),
    default=GAP_MS,
    show_default=True,
    help="Delay before every delta of a stream.",
)
@click.option(
    "--record",
    type=click.Path(dir_okay=False, writable=True),
    help="Append each request to this file as a JSON line; credentials as fingerprints.",
)
@click.option(
    "--dialect",
    type=click.Choice(list(DIALECTS)),
    help="Play a cloud: its paths, credentials, refusals and errors.",
)
@click.option(
    "--accept",
    "accepted",
    metavar="KIND:CREDENTIAL",
    multiple=True,
    callback=_accepted,
    help="With --dialect: aws:ID:SECRET[:SESSION], token:TOKEN, key:KEY, or expired:ONE_OF_THEM. "
    "Default: AKIDEXAMPLE with test-secret-1, test-token-1, test-key-1. May be repeated.",
)
@click.option("--region", help="With --dialect: the AWS region; default: any.")
@click.option(
    "--clock-skew",
    type=float,
    default=0.0,
    help="With --dialect: seconds by which the cloud's clock is ahead.",
)
@click.option("--list-faults", is_flag=True, help="Print the table of faults and exit.")
def mock(
    listen: tuple[str, int],
    faults: tuple[FaultCall, ...] | None,
    sequence: tuple[FaultCall, ...] | None,
    fault_rate: float,
    seed: int | None,
    times: int | None,
    key_faults: tuple[tuple[str, FaultCall], ...],
    limits: str,
    window: WindowKind,
    limit_headers: str,
    delay_ms: int,
    gap_ms: float,
    record: str | None,
    dialect: DialectName | None,
    accepted: Accepted | None,
    region: str | None,
    clock_skew: float,
    list_faults: bool,
) -> None:
    """Run a mock of Anthropic's API or a cloud's, with faults."""
    if list_faults:
        echo(fault_table())
        return
    if faults and sequence:
        raise click.UsageError("--fault and --script are mutually exclusive.")
    script = Script(
        calls=faults or sequence or Script().calls,
        rate=fault_rate,
        seed=seed,
        times=times,
        delay_s=delay_ms / 1000,
        by_key=key_faults,
    )
    quotas = _quotas(limits, window, limit_headers)
    cloud = _cloud(dialect, accepted, region, clock_skew)
    try:
        with _open_record(record) as file:
            asyncio.run(_run(listen, script, quotas, gap_ms, file, cloud))
    except OSError as error:
        raise click.ClickException(str(error)) from error


def _quotas(limits: str, window: WindowKind, headers: str) -> Quotas:
    try:
        return Quotas.parse(
            limits, window=window, send_headers=headers != "off", enforced=headers != "only"
        )
    except BadRequest as error:
        raise click.BadParameter(error.message, param_hint="--limits") from error


def _cloud(
    dialect: DialectName | None, accepted: Accepted | None, region: str | None, clock_skew: float
) -> Cloud | None:
    if dialect is not None:
        return Cloud(
            dialect=dialect,
            accepted=accepted or Accepted(),
            region=region,
            clock_skew_s=clock_skew,
        )
    if accepted is not None or region is not None or clock_skew:
        raise click.UsageError("--accept, --region and --clock-skew need --dialect.")
    return None


def fault_table() -> str:
    """Return the output of `--list-faults`: name, description, options with defaults."""
    lines = []
    for fault in FAULTS.values():
        options = " ".join(
            f"{name}=" if default is None else f"{name}={_plain(default)}"
            for name, default in fault.defaults.items()
        )
        lines.append(f"{fault.name:<20}{fault.doc}")
        if options:
            lines.append(f"{'':<20}  {options}")
    return "\n".join(lines)


def record_line(recorded: Recorded) -> str:
    """Return a request as a line of JSON, credentials as fingerprints."""
    plain = msgspec.to_builtins(recorded, builtin_types=(bytes,))
    plain["headers"] = [
        [name, fingerprint(value) if name.lower() in CREDENTIALS else value]
        for name, value in recorded.headers
    ]
    try:
        plain["body"] = recorded.body.decode()
    except UnicodeDecodeError:
        plain["body"] = None
        plain["body_base64"] = base64.b64encode(recorded.body).decode()
    return json.dumps(plain, ensure_ascii=False)


async def _run(
    listen: tuple[str, int],
    script: Script,
    quotas: Quotas,
    gap_ms: float,
    file: IO[str] | None,
    cloud: Cloud | None,
) -> None:
    def on_finished(recorded: Recorded) -> None:
        target, what = recorded.target, f"{recorded.fault}, {recorded.outcome}"
        echo(f"{recorded.number:>5}  {recorded.method} {target}  {what}")
        if file is not None:
            file.write(record_line(recorded) + "\n")
            file.flush()

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        server = await start_demo(
            *listen,
            script=script,
            gap_ms=gap_ms,
            record=file is not None,
            on_finished=on_finished,
            quotas=quotas,
            cloud=cloud,
        )
    except OSError as error:
        problem = listen_problem(error, join_address(*listen), *listen, command="ccrelay mock")
        raise click.ClickException(problem) from error
    echo(_startup_text(server.url) if cloud is None else _cloud_text(cloud, server.url))
    try:
        await stop.wait()
    finally:
        await server.close()


def _startup_text(url: str) -> str:
    return f"""\
Mock provider listening on {url}

  as a provider in the configuration of ccrelay:
    providers:
      - name: mock
        type: anthropic
        base_url: {url}
        keys: [{{key: test-key-1}}]

  without ccrelay:
    ANTHROPIC_BASE_URL={url} ANTHROPIC_API_KEY=test-key-1 claude

Press Ctrl-C to stop.
"""


def _cloud_text(cloud: Cloud, url: str) -> str:
    shown = cloud_examples(cloud, url)
    start = f"{shown.environment} ccrelay serve".lstrip()
    return f"""\
Mock provider ({cloud.dialect}) listening on {url}

  as a provider in the configuration of ccrelay:
{textwrap.indent(shown.config, "    ")}
    {start}

  without ccrelay:
    {shown.client}

Press Ctrl-C to stop.
"""


def _open_record(path: str | None) -> AbstractContextManager[IO[str] | None]:
    if path is None:
        return contextlib.nullcontext()
    from ccrelay.config.files import open_log

    # Mode 0600: prompts are private.
    return open(open_log(path, os.environ), "w", encoding="utf-8")


def _plain(value: object) -> str:
    return (
        str(value).lower()
        if isinstance(value, bool)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )
