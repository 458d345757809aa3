import pytest

from ccrelay.config.check_names import (
    ProviderNames,
    check_model,
    check_pattern,
    check_patterns,
    is_glob,
)
from ccrelay.config.findings import Findings
from ccrelay.config.model import Config, Provider
from ccrelay.config.problems import path_text

NOTHING: frozenset = frozenset()
CONFIG = Config(
    providers=[
        Provider(name="zai", type="ollama"),
        Provider(name="house", type="ollama"),
        Provider(name="off", type="ollama", enabled=False),
    ]
)


def reported(findings: Findings) -> list[str]:
    return [
        f"{'warning: ' * (p.severity == 'warning')}{path_text(p.path)}: {p.message}"
        for p in findings.problems
    ]


def named(*names: str, invalid: frozenset = NOTHING) -> list[str]:
    findings = Findings(invalid, NOTHING)
    ProviderNames(CONFIG, findings).check(("use",), names)
    return reported(findings)


def test_names_of_enabled_providers_have_no_findings():
    assert named() == []
    assert named("house", "zai") == []


def test_an_unknown_provider_is_an_error_with_a_suggestion():
    assert named("zai", "hose") == [
        'use[1]: unknown provider "hose" (did you mean "house"?)',
    ]


def test_an_unknown_name_that_looks_like_a_secret_is_not_shown():
    assert named("canary-secret") == ["use[0]: unknown provider"]


@pytest.mark.parametrize("invalid", [("providers",), ("providers", 1), ("providers", 1, "name")])
def test_names_are_not_unknown_when_a_provider_name_is_invalid(invalid):
    assert named("hose", invalid=frozenset({invalid})) == []


def test_other_invalid_values_do_not_hide_an_unknown_name():
    assert len(named("hose", invalid=frozenset({("providers", 1, "keys")}))) == 1


def test_a_duplicate_provider_reference_is_a_warning():
    assert named("zai", "zai") == ["warning: use[1]: duplicate entry"]


def test_a_disabled_provider_reference_is_a_warning():
    assert named("zai", "off") == [
        "warning: use[1]: this provider is disabled and skipped",
    ]
    assert named("off") == ["warning: use: all providers listed here are disabled"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "error: empty model name"),
        ("a b", "error: model name contains whitespace"),
        ("a\n", "error: model name contains whitespace or control"),
        ("a[12]", "warning: only * and ? are wildcards"),
    ],
)
def test_invalid_patterns_are_reported(name, words):
    findings = Findings(NOTHING, NOTHING)
    check_pattern(("m",), name, findings)
    (problem,) = findings.problems
    assert f"{problem.severity}: {problem.message}".startswith(words)


@pytest.mark.parametrize("name", ["m", "claude-*", "a?", "claude-opus-5[1m]", "x[1M]"])
def test_names_and_globs_are_valid_patterns(name):
    findings = Findings(NOTHING, NOTHING)
    check_pattern(("m",), name, findings)
    assert findings.problems == []


@pytest.mark.parametrize(
    ("name", "words"),
    [("", "it is empty"), (" m", "it is empty, or has"), ("m-*", "it must not contain")],
)
def test_check_model_rejects_globs_and_whitespace(name, words):
    findings = Findings(NOTHING, NOTHING)
    check_model(("m",), name, "it", findings)
    (problem,) = findings.problems
    assert problem.message.startswith(words)


def test_is_glob():
    assert [name for name in ("m", "m-*", "m?", "m[1m]") if is_glob(name)] == ["m-*", "m?"]


@pytest.mark.parametrize(
    ("patterns", "hidden"),
    [
        (["claude-*", "claude-opus-*"], ["claude-opus-*"]),
        (["a?", "ab?", "a*", "ac*"], ["ac*"]),
        (["*", "a?", "b"], ["a?"]),
        (["a?", "a*"], []),
        (["claude-opus-*", "claude-*"], []),
        (["a.*", "ab*"], []),
        (["claude-*", "claude-opus-5"], []),  # an exact name wins, wherever it stands
    ],
)
def test_a_shadowed_glob_is_a_warning(patterns, hidden):
    findings = Findings(NOTHING, NOTHING)
    check_patterns(("m",), patterns, findings)
    assert [problem.path[1] for problem in findings.problems] == hidden
    assert all(problem.severity == "warning" for problem in findings.problems)
