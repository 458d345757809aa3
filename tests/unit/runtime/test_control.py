import pytest
from hypothesis import given, strategies as st

from ccrelay.config.model import Config, Key, Provider
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
