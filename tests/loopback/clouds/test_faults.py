"""Every row of the page's table of clouds' errors, end to end: what is said there is what comes."""

import asyncio
import json
import re

import pytest

from ccrelay.config.model import Health, Provider
from tests.faults.clouds import AWS, AZURE, FAULTS, VERTEX, Fault, page_table
from tests.loopback.clouds.clouds import STREAM as ASKS, asked, cloud, issue
from tests.loopback.clouds.frames import HEAD, exception
from tests.loopback.relay.harness import Lab, eventually, provider, routing
from tests.loopback.relay.scripts import STREAM, Turns
from tests.loopback.relay.wires import EVENTS, Answer, chunks, events_in, response

_KINDS = {AWS: "bedrock", VERTEX: "vertex", AZURE: "azure"}
# Rows of the page by cloud and error: what the client gets, whether others are tried.
_ROWS = {
    (cells[0], cells[1]): cells
    for cells in (
        [cell.strip() for cell in line.strip("| \n").split(" | ")]
        for line in page_table().splitlines()[2:]
    )
}


def row(fault: Fault) -> list[str]:
    names = {AWS: "AWS", VERTEX: "Google", AZURE: "Azure"}
    return _ROWS[names[fault.cloud], fault.text]


def wire(fault: Fault) -> bytes:
    """The error as bytes of HTTP."""
    body, name = fault.sent
    if "frame" in fault.text:
        told = json.loads(body)["error"]
        return HEAD + chunks(exception(told["details"]["error_code"], told["message"]))
    head = [(b"content-type", b"application/json")]
    if name:
        head.append((b"x-amzn-errortype", name))
    return response(fault.status, body, head)


def failing(lab: Lab, fault: Fault) -> Provider:
    made: Provider = cloud(_KINDS[fault.cloud], lab.upstream(Turns(wire(fault))), "first")
    return made


def issue_anew(lab: Lab) -> None:
    """Each credential that is refused is replaced at once."""
    loop = asyncio.get_running_loop()

    def refresh(name: str, _key: str, serial: int) -> None:
        loop.call_soon(issue, lab, name, None, serial + 1)

    lab.relay.credentials.refresh = refresh
    issue(lab, "first")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.cloud} {fault.text}")
async def test_alone_the_client_gets_what_the_page_says(lab: Lab, fault: Fault) -> None:
    lab.start(failing(lab, fault), routing=routing(queue_timeout_s=0), health=Health(probe="off"))
    issue_anew(lab)
    answer = await lab.ask(asked(ASKS))
    told = row(fault)[5]
    status, kind = seen(answer)
    if told == "502, the relay's own":
        assert status == 502
        return
    expected = re.match(r"(\d+) `(\w+)`", told)
    assert expected is not None
    assert (status, kind) == (int(expected[1]), expected[2])


def seen(answer: Answer) -> tuple[int, str]:
    """Status and type of an error; of one inside a stream the status is 200."""
    if answer.status == 200:
        (name, data), *_ = events_in(answer.body)
        assert name == "error"
        return 200, json.loads(data)["error"]["type"]
    return answer.status, answer.json()["error"]["type"]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.cloud} {fault.text}")
async def test_before_another_provider_it_is_hidden_where_the_page_says(
    lab: Lab, fault: Fault
) -> None:
    second = Turns(STREAM)
    lab.start(
        failing(lab, fault),
        provider(lab.upstream(second), "second"),
        routing=routing(strategy="failover", queue_timeout_s=0),
        health=Health(probe="off"),
    )
    issue_anew(lab)
    answer = await lab.ask(asked(ASKS))
    _, _, verdict, key, elsewhere, _ = row(fault)
    if elsewhere == "no":
        assert second.got == []
        return
    assert (answer.status, answer.body) == (200, EVENTS)
    assert len(second.got) == 1
    await eventually(lambda: len(lab.sink.records) == 1)
    disabled = lab.sink.named("key_disabled")
    assert bool(disabled) == ("disabled" in key), (verdict, disabled)
