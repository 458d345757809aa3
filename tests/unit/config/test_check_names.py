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


def told(findings: Findings) -> list[str]:
    return [
        f"{'warning: ' * (p.severity == 'warning')}{path_text(p.path)}: {p.message}"
        for p in findings.problems
    ]


def named(*names: str, bad: frozenset = NOTHING) -> list[str]:
    findings = Findings(bad, NOTHING)
    ProviderNames(CONFIG, findings).check(("use",), names)
    return told(findings)


def test_names_of_enabled_providers_are_no_finding():
    assert named() == []
    assert named("house", "zai") == []


def test_an_unknown_provider_is_refused_with_the_one_that_may_be_meant():
    assert named("zai", "hose") == [
        'use[1]: no provider has this name (did you mean "house"?)',
    ]


def test_the_wrong_name_itself_is_not_shown():
    assert named("canary-secret") == ["use[0]: no provider has this name"]


@pytest.mark.parametrize("bad", [("providers",), ("providers", 1), ("providers", 1, "name")])
def test_no_name_is_unknown_while_a_providers_name_could_not_be_read(bad):
    assert named("hose", bad=frozenset({bad})) == []


def test_other_faults_of_a_provider_do_not_hide_an_unknown_name():
    assert len(named("hose", bad=frozenset({("providers", 1, "keys")}))) == 1


def test_a_provider_named_twice_is_warned_about():
    assert named("zai", "zai") == ["warning: use[1]: this provider is named already"]


def test_a_disabled_provider_is_warned_about():
    assert named("zai", "off") == [
        "warning: use[1]: this provider is disabled, and passed over",
    ]
    assert named("off") == [
        "warning: use: every provider named here is disabled: enable one, or name another"
    ]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "error: the model name is empty"),
        ("a b", "error: a model name has no white space"),
        ("a\n", "error: a model name has no white space or control"),
        ("a[12]", "warning: only * and ? are special"),
    ],
)
def test_a_pattern_that_cannot_match_is_found(name, words):
    findings = Findings(NOTHING, NOTHING)
    check_pattern(("m",), name, findings)
    (problem,) = findings.problems
    assert f"{problem.severity}: {problem.message}".startswith(words)


@pytest.mark.parametrize("name", ["m", "claude-*", "a?", "claude-opus-5[1m]", "x[1M]"])
def test_names_and_globs_are_patterns(name):
    findings = Findings(NOTHING, NOTHING)
    check_pattern(("m",), name, findings)
    assert findings.problems == []


@pytest.mark.parametrize(
    ("name", "words"),
    [("", "it is empty"), (" m", "it is empty, or has"), ("m-*", "it must be one name")],
)
def test_a_model_to_be_named_is_one_name(name, words):
    findings = Findings(NOTHING, NOTHING)
    check_model(("m",), name, "it", findings)
    (problem,) = findings.problems
    assert problem.message.startswith(words)


def test_globs_are_told_from_names():
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
def test_a_glob_behind_one_that_matches_as_much_is_warned_about(patterns, hidden):
    findings = Findings(NOTHING, NOTHING)
    check_patterns(("m",), patterns, findings)
    assert [problem.path[1] for problem in findings.problems] == hidden
    assert all(problem.severity == "warning" for problem in findings.problems)
