from ccrelay.config.problems import ConfigError, Mark, Marks, Problem, path_text, quoted


def test_paths_read_as_people_write_them():
    assert path_text(("providers", 1, "keys", 0, "rpm_limit")) == "providers[1].keys[0].rpm_limit"
    assert path_text(("model_mapping", "claude-*")) == 'model_mapping["claude-*"]'
    assert path_text(()) == ""


def test_a_problem_is_one_line_with_file_line_column_path_and_message():
    problem = Problem(message="is odd", path=("a", 0), source="f.yaml", mark=Mark(3, 7))
    assert str(problem) == "f.yaml:3:7: a[0]: is odd"


def test_a_warning_says_so():
    problem = Problem(message="m", path=("a",), severity="warning", source="f")
    assert str(problem) == "f: warning: a: m"


def test_a_report_is_in_the_order_of_the_file():
    late, early = (Problem(message=str(n), source="f", mark=Mark(n, 1)) for n in (9, 2))
    assert str(ConfigError([late, early])) == "f:2:1: 2\nf:9:1: 9"


def test_a_place_without_a_mark_takes_that_of_the_nearest_around_it():
    marks = Marks()
    marks.values[()] = Mark(1, 1)
    marks.values[("a",)] = Mark(2, 3)
    assert marks.at(("a", "b", "c")) == Mark(2, 3)
    assert marks.at(("z",)) == Mark(1, 1)


def test_a_wrong_key_is_pointed_at_itself_and_a_wrong_value_too():
    marks = Marks()
    marks.keys[("a",)] = Mark(1, 1)
    marks.values[("a",)] = Mark(1, 4)
    assert Problem(message="", path=("a",), on_key=True).located("f", marks).mark == Mark(1, 1)
    assert Problem(message="", path=("a",)).located("f", marks).mark == Mark(1, 4)


def test_long_names_are_cut_and_control_characters_replaced():
    assert quoted("x" * 100) == '"' + "x" * 12 + '..."'
    assert quoted("a\x1b[31m") == '"a?[31m"'
    assert "y" * 60 not in path_text(("providers", "y" * 60))
