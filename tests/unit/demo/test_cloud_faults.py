import json

import pytest
from botocore.eventstream import ChecksumMismatch, EventStreamBuffer

from ccrelay.demo.faults import FAULTS
from ccrelay.demo.plan import Close
from ccrelay.errors import BadRequest
from tests.unit.demo.test_cloud_auth import TARGETS, body_for
from tests.unit.demo.test_cloud_context import STREAM, frames


@pytest.fixture
def fault(cloud_context, run):
    """Run a fault on a streamed request: fault(dialect, name, **options)."""

    def runs(dialect, which, **options):
        body = body_for(dialect) | ({} if dialect == "bedrock-invoke" else {"stream": True})
        target = STREAM if dialect == "bedrock-invoke" else TARGETS[dialect]
        target = target.replace(":rawPredict", ":streamRawPredict")
        context = cloud_context(dialect, body, target=target)
        row = FAULTS[which]
        return run(row.plan(context, row.convert(options), body_is_read=True))

    return runs


def chunks(body):
    """The chunks of a body that was cut before its end."""
    while body:
        size, _, rest = body.partition(b"\r\n")
        yield rest[: int(size, 16)]
        body = rest[int(size, 16) + 2 :]


@pytest.mark.parametrize(
    ("dialect", "name", "status"),
    [
        ("bedrock-invoke", "", 429),
        ("bedrock-invoke", "ExpiredTokenException", 403),
        ("bedrock-invoke", "ModelNotReadyException", 429),
        ("mantle", "InvalidSignatureException", 403),
        ("vertex", "", 429),
        ("vertex", "UNAVAILABLE", 503),
        ("vertex", "UNAUTHENTICATED", 401),
        ("azure", "", 429),
        ("azure", "DeploymentNotFound", 404),
    ],
)
def test_errors_by_name(fault, dialect, name, status):
    result = fault(dialect, "cloud_error", name=name)
    head, body = result.response()
    assert head.status_code == status
    plain = json.loads(body)
    assert isinstance(plain, list) == (dialect == "vertex")
    if dialect in ("bedrock-invoke", "mantle"):
        kind = dict(head.headers)[b"x-amzn-errortype"].decode()
        assert kind.startswith(name or "ThrottlingException")


def test_a_name_that_no_cloud_has_is_refused(fault):
    with pytest.raises(BadRequest):
        fault("vertex", "cloud_error", name="Nope")


def test_an_exception_comes_first_or_later(fault):
    first = frames(fault("bedrock-invoke", "exception").response()[1])
    assert [frame.headers[":message-type"] for frame in first] == ["exception"]
    assert first[0].headers[":exception-type"] == "throttlingException"
    result = fault(
        "bedrock-invoke",
        "exception",
        name="modelStreamErrorException",
        original_status="529",
        after="3",
    )
    *events, last = frames(result.response()[1])
    assert len(events) == 3
    assert json.loads(last.payload)["originalStatusCode"] == 529


def test_on_text_an_exception_is_an_error_event(fault):
    (event,) = fault("vertex", "exception").events()
    assert event["error"]["type"] == "rate_limit_error"
    (event,) = fault("azure", "error_frame").events()
    assert event["error"]["type"] == "api_error"


def test_an_error_frame(fault):
    (frame,) = frames(fault("bedrock-invoke", "error_frame", code="Oops").response()[1])
    assert frame.headers[":error-code"] == "Oops"


def test_a_wrong_checksum_is_the_last_thing_sent(fault):
    result = fault("bedrock-invoke", "bad_crc", after="2")
    assert result.close is Close.FIN
    buffer = EventStreamBuffer()
    buffer.add_data(b"".join(chunks(result.body_bytes)))
    assert [next(buffer).headers[":event-type"] for _ in range(2)] == ["chunk", "chunk"]
    with pytest.raises(ChecksumMismatch):
        next(buffer)
    assert fault("vertex", "bad_crc").close is Close.FIN


def test_unknown_frames_are_between_the_others(fault):
    found = frames(fault("bedrock-invoke", "unknown_frames").response()[1])
    kinds = [frame.headers[":event-type"] for frame in found]
    assert kinds[::2] == ["later"] * (len(kinds) // 2)
    assert set(kinds[1::2]) == {"chunk"}
    assert fault("vertex", "unknown_frames").events()[-1]["type"] == "message_stop"


@pytest.mark.parametrize("dialect", ["bedrock-invoke", "vertex"])
def test_silence_is_in_the_middle(fault, dialect):
    result = fault(dialect, "pause_mid_stream", seconds="7", after="2")
    assert result.waited_s == 7
    assert result.close is None
    result.response()


def test_a_skewed_clock_is_in_the_date(fault):
    head, _ = fault("vertex", "clock_skew", seconds="-3600").response()
    assert dict(head.headers)[b"date"] == b"Sun, 22 Nov 2026 11:00:00 GMT"


@pytest.mark.parametrize("name", list(FAULTS))
@pytest.mark.parametrize("dialect", TARGETS)
def test_every_fault_completes_on_every_cloud(fault, dialect, name):
    quick = {"seconds": "1"} if "seconds" in FAULTS[name].defaults else {}
    quick |= {"size": "1000"} if "size" in FAULTS[name].defaults else {}
    result = fault(dialect, name, **quick)
    assert result.sent or result.close


@pytest.mark.parametrize("name", ["crlf", "comments", "nameless", "cut_mid_event", "sized"])
def test_faults_of_text_leave_frames_whole(fault, name):
    body = fault("bedrock-invoke", name).body_bytes
    assert body.count(b":event-type") >= 1
