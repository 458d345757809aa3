import pytest

from ccrelay.config.findings import Findings

NOTHING: frozenset = frozenset()


def messages(findings: Findings) -> list[str]:
    return [problem.message for problem in findings.problems]


def test_findings_about_invalid_paths_are_dropped():
    findings = Findings(frozenset({("a", 0)}), NOTHING)
    findings.error(("a", 0), "same")
    findings.error(("a", 0, "b"), "below")
    findings.warning(("a", 0), "warning")
    findings.error(("a", 1), "beside")
    assert messages(findings) == ["beside"]


def test_a_missing_key_is_not_reported_next_to_its_misspelling():
    unknown = frozenset({("p", "kyes")})
    findings = Findings(unknown, unknown)
    findings.missing(("p", "x"), "no keys", needs=("keys",))
    findings.missing(("p", "x"), "no url", needs=("base_url",))
    assert messages(findings) == ["no url"]


def test_a_missing_key_is_not_reported_when_its_cause_is_invalid():
    findings = Findings(frozenset({("p", "auth", "tokens", 0)}), NOTHING)
    findings.missing(("p", "x"), "no tokens", needs=(), unless=(("p", "auth"),))
    findings.missing(("p", "x"), "no health", needs=(), unless=(("p", "health"),))
    assert messages(findings) == ["no health"]


def test_a_missing_key_can_be_a_warning():
    findings = Findings(NOTHING, NOTHING)
    findings.missing(("p", "x"), "no table", needs=("models",), severity="warning")
    assert [problem.severity for problem in findings.problems] == ["warning"]


def test_is_invalid_and_is_valid():
    findings = Findings(frozenset({("a", 0, "b")}), NOTHING)
    assert findings.is_invalid(("a", 0, "b", "c"))
    assert findings.is_invalid(("a", 0, "b"))
    assert not findings.is_invalid(("a", 0))
    assert not findings.is_valid(("a", 0))
    assert not findings.is_valid(("a", 0, "b", "c"))
    assert findings.is_valid(("a", 1))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("a b", "whitespace"),
        ("key\n", "line break"),
        ("key\x00", "invalid in a header"),
        ("k\u00e9y", "invalid in a header"),
        ("k\u200by", "invalid in a header"),
        ("tiny", "shorter than 8"),
    ],
)
def test_invalid_secrets_are_errors_without_their_value(text, words):
    findings = Findings(NOTHING, NOTHING)
    findings.secret(("k",), text, "the key", 8)
    (message,) = messages(findings)
    assert words in message
    assert not text or text not in message


def test_a_valid_secret_has_no_findings():
    findings = Findings(NOTHING, NOTHING)
    findings.secret(("k",), "!test-key-~1", "the key", 8)
    assert findings.problems == []
