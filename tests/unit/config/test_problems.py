from ccrelay.config.problems import ConfigError, Mark, Marks, Problem, path_text, quoted


def test_path_text():
    assert path_text(("providers", 1, "keys", 0, "rpm_limit")) == "providers[1].keys[0].rpm_limit"
    assert path_text(("model_mapping", "claude-*")) == 'model_mapping["claude-*"]'
    assert path_text(()) == ""


def test_problem_format():
    problem = Problem(message="is odd", path=("a", 0), source="f.yaml", mark=Mark(3, 7))
    assert str(problem) == "f.yaml:3:7: a[0]: is odd"


def test_warning_format():
    problem = Problem(message="m", path=("a",), severity="warning", source="f")
    assert str(problem) == "f: warning: a: m"


def test_a_report_is_sorted_by_position():
    late, early = (Problem(message=str(n), source="f", mark=Mark(n, 1)) for n in (9, 2))
    assert str(ConfigError([late, early])) == "f:2:1: 2\nf:9:1: 9"


def test_a_path_without_a_mark_uses_that_of_the_nearest_parent():
    marks = Marks()
    marks.values[()] = Mark(1, 1)
    marks.values[("a",)] = Mark(2, 3)
    assert marks.at(("a", "b", "c")) == Mark(2, 3)
    assert marks.at(("z",)) == Mark(1, 1)


def test_a_key_problem_has_the_position_of_the_key():
    marks = Marks()
    marks.keys[("a",)] = Mark(1, 1)
    marks.values[("a",)] = Mark(1, 4)
    assert Problem(message="", path=("a",), on_key=True).located("f", marks).mark == Mark(1, 1)
    assert Problem(message="", path=("a",)).located("f", marks).mark == Mark(1, 4)


def test_quoted_truncates_and_replaces_control_characters():
    assert quoted("glm air " * 10) == '"glm air glm ..."'
    assert quoted("a\x1b[31m") == '"a?[31m"'
    assert "y" * 60 not in path_text(("providers", "y" * 60))
