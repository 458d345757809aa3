"""The credentials process: one loop that runs the `Issuer`, and the link to the supervisor.

Started by exec with its end of the control channel only, and with the environment of the relay. It
exits on CredentialsStop, and when its supervisor is gone. It opens no file of its own and logs over
the link. Libraries are imported in the threads that need them.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
import traceback
import warnings
from collections.abc import MutableMapping
from pathlib import Path
from typing import Final

from ccrelay.credentials.calls import Calls
from ccrelay.credentials.issuer import Issuer
from ccrelay.credentials.renewal import Now
from ccrelay.runtime.channel import Channel
from ccrelay.runtime.control import ControlError, Decoder, encode, receive_first
from ccrelay.runtime.credentials_link import (
    CredentialsBeat,
    CredentialsFailed,
    CredentialsReady,
    CredentialsStart,
    CredentialsStop,
    EntriesChanged,
    Issued,
    RefreshCredential,
    ToCredentials,
    Told,
)
from ccrelay.runtime.hardening import harden_process
from ccrelay.runtime.processes import BLOCKED_UNTIL_HANDLED, CONTROL_FD

BEAT_S: Final = 1.0
FILES_EVERY: Final = 2  # beats
OOM_SCORE_ADJUSTMENT: Final = 500  # of 1000: the kernel takes this process before a worker
# What requests (google-auth, azure-identity) and botocore read in place of SSL_CERT_FILE.
CERTIFICATE_VARIABLES: Final = ("REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE")


def main() -> None:
    """Run the process whose control channel is CONTROL_FD; exits with 0 or 1."""
    # Before the process is hardened: afterwards the file belongs to root.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE_ADJUSTMENT))
    harden_process()
    for number in BLOCKED_UNTIL_HANDLED:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, BLOCKED_UNTIL_HANDLED)
    prepare(os.environ)
    control = socket.socket(fileno=CONTROL_FD)
    control.set_inheritable(False)
    decoder: Decoder[ToCredentials] = Decoder(ToCredentials)
    try:
        received = receive_first(control, decoder)
        if received is None:
            return  # the supervisor is gone
        start, _ = received
        if not isinstance(start, CredentialsStart):
            raise ControlError(f"expected CredentialsStart, got {type(start).__name__}")
        is_ok = asyncio.run(_serve(control, decoder, start))
    except Exception as error:  # outermost shell: the supervisor reports it
        with contextlib.suppress(OSError):
            control.sendall(encode(_failed(error)))
        is_ok = False
    # Not sys.exit: a thread that never comes back would be waited for.
    os._exit(0 if is_ok else 1)


def prepare(environ: MutableMapping[str, str]) -> None:
    """Keep libraries from asking people and from writing to the terminal of the relay."""
    with contextlib.suppress(OSError):  # it leads a session already
        os.setsid()  # no terminal: a prompt for an MFA code fails at once
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    logging.getLogger().addHandler(logging.NullHandler())
    logging.raiseExceptions = False
    warnings.simplefilter("ignore")
    if file := environ.get("SSL_CERT_FILE"):
        for name in CERTIFICATE_VARIABLES:
            environ.setdefault(name, file)


async def _serve(
    control: socket.socket, decoder: Decoder[ToCredentials], start: CredentialsStart
) -> bool:
    channel: Channel[ToCredentials] = Channel(control, decoder)
    issuer = Issuer(
        start.issued,
        lambda issued: channel.send(Issued(issued)),
        lambda level, event, **fields: channel.send(Told(level, event, fields)),
        lambda: Now(time.time(), time.monotonic()),
        Calls(),
    )
    channel.send(CredentialsReady())
    issuer.set_entries(start.entries)
    async with asyncio.TaskGroup() as tasks:
        beating = tasks.create_task(_beat(channel, issuer))
        listening = tasks.create_task(_listen(channel, issuer))
        await asyncio.wait({beating, listening}, return_when=asyncio.FIRST_COMPLETED)
        beating.cancel()
        listening.cancel()
    await issuer.close()
    if issuer.failure is not None:
        channel.send(CredentialsFailed(str(issuer.failure)))
    await channel.close()
    return issuer.failure is None


async def _beat(channel: Channel[ToCredentials], issuer: Issuer) -> None:
    beats = 0
    while issuer.failure is None:
        await asyncio.sleep(BEAT_S)
        channel.send(CredentialsBeat())
        beats += 1
        if beats % FILES_EVERY == 0:
            issuer.look_at_files()
        else:
            issuer.tick()


async def _listen(channel: Channel[ToCredentials], issuer: Issuer) -> None:
    while True:
        match await channel.receive():
            case EntriesChanged(entries):
                issuer.set_entries(entries)
            case RefreshCredential(provider, key, serial):
                issuer.refused(provider, key, serial)
            case CredentialsStop() | None:
                return
            case CredentialsStart():
                raise ControlError("a second CredentialsStart")


def _failed(error: Exception) -> CredentialsFailed:
    detail = "".join(traceback.format_exception(error))
    return CredentialsFailed(f"{type(error).__name__}: {error}", detail)


if __name__ == "__main__":
    sys.exit("this process is started by ccrelay serve")
