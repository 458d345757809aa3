import os
import socket
import tempfile

import pytest
from hypothesis import given, strategies as st

from ccrelay.config.model import Config, Key, Provider
from ccrelay.config.overrides import Override
from ccrelay.fleet.layout import Layout
from ccrelay.runtime import control
from ccrelay.runtime.control import (
    ControlError,
    Decoder,
    Drain,
    Drained,
    Draining,
    Failed,
    FromWorker,
    Ready,
    Reload,
    Reloaded,
    ReloadFailed,
    Start,
    Stats,
    StatsReply,
    Stop,
    ToWorker,
    encode,
)
from ccrelay.runtime.manager_link import (
    DrainCommand,
    FromManager,
    Heartbeat,
    LogLevelCommand,
    ManagerFailed,
    ManagerReady,
    OverridesCommand,
    ReloadCommand,
    ReloadProblem,
    StatsCommand,
    StopCommand,
    ToManager,
)

CONFIG = Config(providers=[Provider(name="zai", type="zai", keys=[Key(key="test-key-1")])])
LAYOUT = Layout.of(CONFIG)
TO_WORKER = [
    Start(CONFIG, 3, LAYOUT, 7),
    Reload(CONFIG, LAYOUT),
    Stats(),
    Drain(60.0),
    Drain(3600.0, gentle=True),
    Stop(),
]
FROM_WORKER = [
    Ready(),
    Failed("no", "why"),
    Reloaded(),
    ReloadFailed("no"),
    Draining(),
    Drained(2),
    StatsReply({"open": 1}),
]


def decode_all(decoder, pieces):
    messages = []
    for piece in pieces:
        decoder.receive(piece)
        while (message := decoder.next_message()) is not None:
            messages.append(message)
    return messages


@pytest.mark.parametrize(("kind", "messages"), [(ToWorker, TO_WORKER), (FromWorker, FROM_WORKER)])
@given(data=st.data())
def test_any_split_of_the_bytes_decodes_to_the_same_messages(kind, messages, data):
    stream = b"".join(map(encode, messages))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert decode_all(Decoder(kind), pieces) == messages


def test_oversized_messages_are_rejected_by_encode_and_decode(monkeypatch):
    frame = encode(Failed("x" * 100, ""))
    monkeypatch.setattr(control, "MESSAGE_BYTES_MAX", 64)
    with pytest.raises(ControlError, match="the limit is 64"):
        encode(Failed("x" * 100, ""))
    decoder = Decoder(FromWorker)
    decoder.receive(frame[:4])  # the length alone is enough: nothing is buffered
    with pytest.raises(ControlError, match="the limit is 64"):
        decoder.next_message()


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x80", encode(Stop())[4:]])
def test_invalid_messages_and_wrong_directions_are_errors(body):
    decoder = Decoder(FromWorker)
    decoder.receive(len(body).to_bytes(4, "big") + body)
    with pytest.raises(ControlError, match="unreadable message"):
        decoder.next_message()


def test_a_config_value_that_is_not_utf_8_is_an_error_without_the_value():
    config = Config(providers=[Provider(name="zai", keys=[Key(key="test-\udcff")])])
    with pytest.raises(ControlError) as caught:
        encode(Start(config, 0, Layout.of(config), 0))
    assert str(caught.value) == "a value of the configuration is not UTF-8"


def test_pending_bytes_can_be_passed_to_another_decoder():
    frame = encode(Drained(2))
    first, second = Decoder(FromWorker), Decoder(FromWorker)
    first.receive(encode(Ready()) + frame[:6])
    assert first.next_message() == Ready()
    assert first.next_message() is None
    second.receive(first.pending() + frame[6:])
    assert second.next_message() == Drained(2)


def test_the_first_message_brings_descriptors_and_later_ones_stay_in_the_decoder():
    ours, theirs = socket.socketpair()
    with ours, theirs, tempfile.TemporaryFile() as file:
        file.write(b"shared")
        file.flush()
        assert control.send_first(ours, ReloadProblem("first"), [file.fileno()]) == b""
        ours.sendall(encode(ReloadProblem("second")))
        decoder: Decoder = Decoder(ToManager)
        message, (fd,) = control.receive_first(theirs, decoder)
        try:
            assert message == ReloadProblem("first")
            assert os.pread(fd, 10, 0) == b"shared"
        finally:
            os.close(fd)
        if (later := decoder.next_message()) is None:
            decoder.receive(theirs.recv(100))
            later = decoder.next_message()
        assert later == ReloadProblem("second")


def test_a_channel_that_is_closed_before_the_first_message_brings_none():
    ours, theirs = socket.socketpair()
    with theirs:
        ours.close()
        assert control.receive_first(theirs, Decoder(ToManager)) is None


@pytest.mark.parametrize(
    "message",
    [
        ManagerReady(),
        ManagerFailed("why", "where"),
        Heartbeat(),
        ReloadCommand(1, "apply"),
        DrainCommand(2),
        StopCommand(3),
        LogLevelCommand(4, "debug"),
        OverridesCommand(5, [Override("zai", "", "enabled", 0, 1)]),
        StatsCommand(6),
    ],
)
def test_messages_of_the_manager_arrive_as_they_were(message):
    decoder = Decoder(FromManager)
    decoder.receive(encode(message))
    assert decoder.next_message() == message
