import pytest

from ccrelay.config.findings import Findings

NOTHING: frozenset = frozenset()


def messages(findings: Findings) -> list[str]:
    return [problem.message for problem in findings.problems]


def test_findings_about_a_spoilt_place_are_dropped():
    findings = Findings(frozenset({("a", 0)}), NOTHING)
    findings.error(("a", 0), "same")
    findings.error(("a", 0, "b"), "below")
    findings.warning(("a", 0), "warning")
    findings.error(("a", 1), "beside")
    assert messages(findings) == ["beside"]


def test_a_missing_thing_is_not_reported_beside_its_misspelling():
    unknown = frozenset({("p", "kyes")})
    findings = Findings(unknown, unknown)
    findings.missing(("p", "x"), "no keys", needs=("keys",))
    findings.missing(("p", "x"), "no url", needs=("base_url",))
    assert messages(findings) == ["no url"]


def test_a_missing_thing_is_not_reported_when_the_reason_for_it_is_wrong():
    findings = Findings(frozenset({("p", "auth", "tokens", 0)}), NOTHING)
    findings.missing(("p", "x"), "no tokens", needs=(), unless=(("p", "auth"),))
    findings.missing(("p", "x"), "no health", needs=(), unless=(("p", "health"),))
    assert messages(findings) == ["no health"]


def test_what_is_missing_may_be_a_warning():
    findings = Findings(NOTHING, NOTHING)
    findings.missing(("p", "x"), "no table", needs=("models",), severity="warning")
    assert [problem.severity for problem in findings.problems] == ["warning"]


def test_a_place_is_spoilt_from_above_and_sound_only_without_faults_below():
    findings = Findings(frozenset({("a", 0, "b")}), NOTHING)
    assert findings.is_spoilt(("a", 0, "b", "c"))
    assert findings.is_spoilt(("a", 0, "b"))
    assert not findings.is_spoilt(("a", 0))
    assert not findings.is_sound(("a", 0))
    assert not findings.is_sound(("a", 0, "b", "c"))
    assert findings.is_sound(("a", 1))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("a b", "white space"),
        ("key\n", "line break"),
        ("key\x00", "cannot stand in a header"),
        ("k\u00e9y", "cannot stand in a header"),
        ("k\u200by", "cannot stand in a header"),
        ("tiny", "shorter than 8"),
    ],
)
def test_secrets_that_cannot_be_sent_are_refused_without_being_shown(text, words):
    findings = Findings(NOTHING, NOTHING)
    findings.secret(("k",), text, "the key", 8)
    (message,) = messages(findings)
    assert words in message
    assert not text or text not in message


def test_a_usable_secret_is_no_finding():
    findings = Findings(NOTHING, NOTHING)
    findings.secret(("k",), "!test-key-~1", "the key", 8)
    assert findings.problems == []
