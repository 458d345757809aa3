"""Odd requests, bridged to every cloud: the mock of the cloud accepts them, or the relay says why.

Cases are data (tests/corpus/clouds/mean/README.md). The mock shares no code with the bridge.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.providers.judge import DIALECTS, Verdict, judge, raw_at

CORPUS = Path(__file__).parents[2] / "corpus" / "clouds" / "mean"
CASES: dict[str, dict[str, Any]] = {
    f"{file.stem}-{case['name']}": case
    for file in sorted(CORPUS.glob("*.json"))
    for case in json.loads(file.read_text())
}
# Clouds that Anthropic operates: nothing is left out before it is refused.
ANTHROPICS = ("aws_platform", "google_cloud")
# Members that become header fields, and one that belongs to Anthropic's own host.
_MOVED = ("model", "anthropic_beta", "betas", "anthropic_version")


def of_case(text: str) -> Iterator[tuple[str, str]]:
    """Each cloud of a case, with what is expected there."""
    for expected, names in CASES[text]["expect"].items():
        for name in names:
            yield name, expected


ASKED = [(case, name, expected) for case in CASES for name, expected in of_case(case)]


def body_of(case: dict[str, Any]) -> bytes:
    return str(case["text"]).encode() if "text" in case else json.dumps(case["body"]).encode()


def words_of(value: Any) -> Iterator[str]:
    """The texts of messages: of blocks, of turns that are a text, of tool results."""
    if isinstance(value, list):
        for item in value:
            yield from words_of(item)
    elif isinstance(value, dict):
        for name in ("text", "content"):
            if isinstance(value.get(name), str):
                yield value[name]
            else:
                yield from words_of(value.get(name))


def assert_as(expected: str, verdict: Verdict) -> None:
    words = verdict.words
    if found := re.fullmatch(r"ok(?: after (\d))?", expected):
        assert words == "ok", words
        assert len(verdict.learned) <= int(found[1] or 0), verdict.learned
    elif expected.startswith("cannot: "):
        assert words.startswith("cannot: "), words
        assert expected.removeprefix("cannot: ") in words
    else:
        assert words == "ok" or words.startswith(expected), words


@pytest.mark.parametrize(
    ("case", "name", "expected"), ASKED, ids=[f"{case}-{name}" for case, name, _ in ASKED]
)
def test_a_cloud_accepts_what_the_bridge_makes(case: str, name: str, expected: str) -> None:
    given = CASES[case]
    verdict = judge(name, given)
    assert_as(expected, verdict)
    if verdict.bridged is None or given.get("kind") == "count":
        return
    before, after = body_of(given), verdict.bridged.body
    for pointer in given.get("keeps", ()):
        assert raw_at(after, pointer) == raw_at(before, pointer), pointer
    sent = "\n".join(words_of(json.loads(after)["messages"]))
    for words in words_of(json.loads(before)["messages"]):
        assert words in sent


@pytest.mark.parametrize("name", ANTHROPICS)
@pytest.mark.parametrize("case", CASES)
def test_what_anthropic_operates_gets_what_the_client_sent(case: str, name: str) -> None:
    given = CASES[case]
    verdict = judge(name, given)
    if verdict.bridged is None or verdict.learned or "system_turns" in verdict.bridged.left_out:
        return
    before, after = json.loads(body_of(given)), json.loads(verdict.bridged.body)
    for plain in (before, after):
        for member in _MOVED:
            plain.pop(member, None)
        if plain.get("thinking") == {"type": "disabled"}:
            del plain["thinking"]  # as the client itself does
    thinking = [part for part in ("empty_signature", "no_signature") if part in case]
    if not thinking and given.get("kind") != "count":
        assert after == before


def test_every_cloud_is_asked() -> None:
    assert {name for _, name, _ in ASKED} == set(DIALECTS)
    for case, given in CASES.items():
        left = set(DIALECTS) - {name for name, _ in of_case(case)}
        # Ids of version v1:0 are not served there.
        assert left <= {"bedrock_messages"}, case
        assert given["why"]
