"""The grammar of filters, and what its words mean for a record."""

import pytest
from hypothesis import given, strategies as st

from ccrelay.store.filters import FIELDS, FilterError, parse
from tests.unit.store.making import record


@pytest.mark.parametrize(
    ("text", "members", "expected"),
    [
        ("", {}, True),
        ("   ", {}, True),
        ("provider:anth", {}, True),
        ("provider:ANTH", {}, True),
        ("provider=anth", {}, False),
        ("provider=Anthropic", {}, True),
        ("provider:zai,anthropic", {}, True),
        ("-provider:zai", {}, True),
        ("provider:anthropic -model:opus", {}, False),
        ("model:glm", {"sent": "glm-5.3"}, True),
        ("model:opus", {"sent": "glm-5.3"}, True),
        ("key:team-a", {}, True),
        ("key:anthropic", {}, False),
        ("key:anthropic/team-a", {}, True),
        ("key:zai/team-a", {}, False),
        ("key:hmac", {}, True),
        ('key:"hmac:04"', {}, True),
        ("class:main", {}, True),
        ("class:count-tokens", {"traffic": 5}, True),
        ("class:count_tokens", {"traffic": 5}, True),
        ("class:unknown", {"traffic": -1}, True),
        ("outcome:failover", {"result": 2}, True),
        ("outcome:client-left", {"result": 3}, True),
        ("outcome:ok,lost", {"result": 6}, True),
        ("outcome:waited", {"queued_us": 5}, True),
        ("outcome:waited", {}, False),
        ("session:3f8c", {}, True),
        ('project=""', {"project": ""}, True),
        ('project=""', {}, False),
        ("status:529", {"status": 529}, True),
        ("status:5xx", {"status": 529}, True),
        ("status:5xx", {"status": 499}, False),
        ("status>=400", {"status": 400}, True),
        ("cost>0.10", {"cost_micros": 100_000}, False),
        ("cost>0.10", {"cost_micros": 100_001}, True),
        ("cost>=$0.1", {"cost_micros": 100_000}, True),
        ("cost<1", {"cost_micros": -1}, False),  # not known is not little
        ("-cost<1", {"cost_micros": -1}, True),
        ("cost:.5", {"cost_micros": 500_000}, True),
        ("first>2s", {"first_event_us": 2_000_001}, True),
        ("first>2", {"first_event_us": 2_000_000}, False),
        ("first<1s", {"first_event_us": 0}, False),  # there was none
        ("first>=350ms", {"first_event_us": 350_000}, True),
        ("duration<=2.5s", {}, True),
        ("own>300us", {}, True),
        ("tokens>374", {}, True),
        ("tokens>375", {}, False),
        ("input>1k", {"input": 1001}, True),
        ("cache_write:45", {}, True),
        ("stream:yes", {}, True),
        ("moved:no", {}, True),
        ("attempts>1", {"attempts": 2}, True),
        ("reason:affinity", {}, True),
        ("kind:messages", {}, True),
        ("opus", {}, True),
        ("API", {}, True),
        ("-opus", {}, False),
        ('"x y"', {"rule": "an x y rule"}, True),
        ('error:"is busy"', {"error": "it is busy"}, True),
        ('rule="say \\"no\\""', {"rule": 'Say "no"'}, True),
        ("Provider:zai", {"provider": "zai"}, True),
    ],
)
def test_a_word_finds_what_it_says(text: str, members: dict[str, object], expected: bool) -> None:
    assert parse(text).matches(record(**members)) is expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("provder:zai", "did you mean 'provider'"),
        ("nothing:zai", "known: provider, model"),
        ("class:subagnet", "known: unknown, main"),
        ("outcome:bad", "waited"),
        ("cost>much", "0.10"),
        ("cost>1s", "0.10"),
        ("first>2x", "2s or 350ms"),
        ("status:ok", "5xx"),
        ("cost>", "missing"),
        ("cost>1,2", "one value"),
        ("provider:", 'provider=""'),
        ("provider>zai", "no order"),
        ("stream:maybe", "'yes' or 'no'"),
        ('"open', "not closed"),
        ("-", "missing"),
        ('""', "empty"),
        ("x " * 33, "more than 32"),
        ("x" * 2001, "longer"),
        ("cost>1e9", "0.10"),
        ("cost>-1", "0.10"),
        ("status:٥٢٩", "5xx"),
    ],
)
def test_a_mistake_is_told_with_what_is_known(text: str, told: str) -> None:
    with pytest.raises(FilterError, match=told.replace("(", r"\(")):
        parse(text)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        chosen = parse(text)
    except FilterError:
        return
    assert chosen.matches(record()) in (True, False)


def test_every_field_is_told() -> None:
    with pytest.raises(FilterError) as caught:
        parse("nothing:1")
    assert all(field in str(caught.value) for field in FIELDS)
