import json
from typing import Any

import pytest

from ccrelay.control.client import CallFailed
from ccrelay.v1 import exchanges_pb2 as ex
from tests.unit.cli import examples
from tests.unit.cli.running import run
from tests.unit.cli.served import FakeRelay, relay, zone
from tests.unit.cli.test_exchange_view import AT_80

__all__ = ["relay", "zone"]


@pytest.fixture(autouse=True)
def one(relay: FakeRelay) -> None:
    relay.answers["Exchanges/Get"] = examples.detail()


@pytest.mark.parametrize("wanted", ["07f3a1c", "req_ccrelay_07f3a1c"])
def test_an_exchange_is_found_by_its_id_with_or_without_what_all_begin_with(
    relay: FakeRelay, wanted: str
) -> None:
    ended = run("exchange", wanted)
    assert ended.exit_code == 0
    assert ended.stdout == AT_80
    assert [request.id for request in relay.of("Exchanges/Get")] == ["req_ccrelay_07f3a1c"]


def test_ids_of_another_form_are_tried_as_they_are(relay: FakeRelay) -> None:
    def get(request: Any) -> Any:
        return examples.detail() if request.id == "7f3" else CallFailed("NOT_FOUND", "No such.")

    relay.answers["Exchanges/Get"] = get
    assert run("exchange", "7f3").exit_code == 0
    ended = run("exchange", "8")
    assert (ended.exit_code, ended.stderr) == (1, "No such.\n")


def test_several_that_begin_so_are_no_reason_to_guess(relay: FakeRelay) -> None:
    relay.answers["Exchanges/Get"] = CallFailed("INVALID_ARGUMENT", "3 exchanges begin so.")
    assert run("exchange", "0").stderr == "3 exchanges begin so.\n"
    assert len(relay.asked) == 1


def test_the_newest_one(relay: FakeRelay) -> None:
    relay.answers["Exchanges/List"] = ex.ExchangesListResponse(exchanges=examples.exchanges()[:1])
    assert run("exchange", "last").exit_code == 0
    [request] = relay.of("Exchanges/Get")
    assert request.id == "req_ccrelay_023"
    relay.answers["Exchanges/List"] = ex.ExchangesListResponse()
    ended = run("exchange", "last")
    assert ended.exit_code == 1
    assert "No exchange yet." in ended.stderr


def test_json(relay: FakeRelay) -> None:
    shown = json.loads(run("exchange", "07f3a1c", "--json").stdout)
    assert list(shown) == ["exchange", "attempts", "choice", "bill"]
    assert shown["attempts"][0]["verdict"] == "overloaded"
