import pytest

from ccrelay.config.expand import Expanded, SecretError, Sources, expand, variables

ENV = {"KEY": "test-key-1", "EMPTY": "", "NESTED": "${KEY}"}


class Machine:
    """Sources that remember what was asked of them."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def read_file(self, path: str) -> str:
        self.asked.append(path)
        if path == "/missing":
            raise SecretError("cannot read the secret file")
        return f"file {path}"

    def run_command(self, command: str) -> str:
        self.asked.append(command)
        return f"output of {command}"

    def read_keychain(self, name: str) -> str:
        self.asked.append(name)
        return f"entry {name}"


def run(data: object) -> Expanded:
    machine = Machine()
    return expand(data, Sources(ENV, machine.read_file, machine.run_command, machine.read_keychain))


def message(text: str) -> str:
    (problem,) = run({"a": text}).problems
    assert problem.path == ("a",)
    return problem.message


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${KEY}", "test-key-1"),
        ("a-${KEY}-${KEY}-b", "a-test-key-1-test-key-1-b"),
        ("${EMPTY}", ""),
        ("${UNSET:-other}", "other"),
        ("${EMPTY:-other}", "other"),
        ("${KEY:-other}", "test-key-1"),
        ("${UNSET:-}", ""),
        ("${UNSET:-${KEY}}", "test-key-1"),
        ("${NESTED}", "${KEY}"),
        ("$${KEY}", "${KEY}"),
        ("$$${KEY}", "$${KEY}"),
        ("$${${KEY}", "${test-key-1"),
        ("$Key $ $$ {KEY} $OTHER", "$Key $ $$ {KEY} $OTHER"),
        ("${file:/run/key}", "file /run/key"),
        ("${keyring:zai}", "entry zai"),
        ("${cmd:awk '{print $1}' f}", "output of awk '{print $1}' f"),
    ],
)
def test_strings_are_expanded(text, value):
    expanded = run({"a": [text]})
    assert expanded.data == {"a": [value]}
    assert expanded.problems == []


def test_only_string_values_are_expanded_not_keys():
    data = {"${KEY}": 1, "b": True, "c": None, "d": 1.5}
    assert run(data).data == data


def test_paths_of_expanded_values_exclude_escapes():
    expanded = run({"a": "${KEY}", "b": ["x", "${UNSET:-y}"], "c": "$${KEY}"})
    assert expanded.paths == {("a",), ("b", 1)}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("$KEY", "KEY"),
        ("$UNSET_KEY_2", "UNSET_KEY_2"),
        ("$X", "X"),
        ("$(KEY)", "KEY"),
        ("%KEY%", "KEY"),
        ("{KEY}", "KEY"),
        ("{{KEY}}", "KEY"),
        ("{{ env.KEY }}", "KEY"),
        ("env:KEY", "KEY"),
        ("$env:KEY", "KEY"),
        ("os.environ/KEY", "KEY"),
        ("process.env.KEY", "KEY"),
    ],
)
def test_a_reference_in_another_form_is_an_error_that_names_the_right_one(text, name):
    assert message(text) == f'"{text}" is not expanded; probably meant: ${{{name}}}'
    assert run({"a": text}).problems[0].severity == "error"


@pytest.mark.parametrize("text", ["Bearer $KEY", "https://$KEY/x", "$KEY-1"])
def test_a_set_variable_inside_a_text_is_a_warning(text):
    expanded = run({"a": text})
    assert expanded.data == {"a": text}
    (problem,) = expanded.problems
    assert problem.severity == "warning"
    assert problem.message == '"$KEY" is not expanded; probably meant: ${KEY}'


def test_a_lower_case_variable_is_one_when_it_is_set():
    data = {"a": "$key", "b": "$other"}
    expanded = expand(data, Sources({"key": "x"}, str, str))
    assert [(problem.severity, problem.message) for problem in expanded.problems] == [
        ("error", '"$key" is not expanded; probably meant: ${key}'),
        ("warning", "begins with $ and is taken as it is; a variable is written ${NAME}"),
    ]
    assert expanded.data == {"a": "", "b": "$other"}


@pytest.mark.parametrize("text", ["$ecretPa$$w0rd", "pa$UNSET", "5$", "$5", "$$KEY", "US$", "$"])
def test_a_dollar_sign_of_a_password_is_no_reference(text):
    expanded = run({"a": text})
    assert (expanded.data, expanded.problems) == ({"a": text}, [])


def test_an_unset_variable_is_an_error_with_a_suggestion():
    assert message("${KEYY}") == ('environment variable "KEYY" is not set (did you mean "KEY"?)')


@pytest.mark.parametrize("text", ["${}", "${A B}", "${1A}", "${sk-test-1}", "${a b}", "${unset-x}"])
def test_an_invalid_expression_is_an_error_with_the_valid_forms(text):
    assert "use NAME, NAME:-default, file:/path, keyring:NAME or cmd:program" in message(text)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("${env:KEY}", "${KEY}"),
        ("${env.KEY}", "${KEY}"),
        ("${ KEY }", "${KEY}"),
        ("${$KEY}", "${KEY}"),
        ("${UNSET }", "${UNSET}"),
        ("${KEY-x}", "${KEY:-default}"),
        ("${KEY:?x}", "${KEY:-default}"),
        ("${KEY:x}", "${KEY:-default}"),
    ],
)
def test_a_variable_in_the_form_of_another_program_is_named(text, meant):
    assert message(text) == f"invalid ${{...}}: probably meant: {meant}"


def test_an_unclosed_brace_is_an_error():
    assert "missing }" in message("a ${KEY")
    assert "missing }" in message("${cmd:awk '{print $1'}")


def test_nesting_of_defaults_is_limited():
    assert "deeper than" in message("${U:-" * 20 + "x" + "}" * 20)


def test_failed_values_are_empty_and_all_are_reported():
    expanded = run({"a": "${NO}", "b": "${file:/missing}", "c": "${KEY}"})
    assert [problem.path for problem in expanded.problems] == [("a",), ("b",)]
    assert expanded.data == {"a": "", "b": "", "c": "test-key-1"}


def test_a_command_written_twice_runs_once():
    machine = Machine()
    sources = Sources(ENV, machine.read_file, machine.run_command)
    expand(["${cmd:pass show x}", "${cmd:pass show x}", "${cmd:pass show y}"], sources)
    assert machine.asked == ["pass show x", "pass show y"]


def test_a_failed_file_is_reported_at_every_use():
    expanded = run(["${file:/missing}", "${file:/missing}"])
    assert [problem.path for problem in expanded.problems] == [(0,), (1,)]


def test_values_of_commands_are_named():
    expanded = run(
        {
            "a": "x-${cmd:one}",
            "b": ["${UNSET:-${cmd:two}}", "${KEY:-${cmd:three}}", "$${cmd:four}", "${file:/five}"],
        }
    )
    assert expanded.from_commands == {("a",), ("b", 0)}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("plain", set()),
        ("${A}", {"A"}),
        ("a-${A}-${B_2}-c", {"A", "B_2"}),
        ("${A:-x}", {"A"}),
        ("${A:-${B:-${C}}}", {"A", "B", "C"}),
        ("$${A} ${B}", {"B"}),
        ("${file:/x/${A}}", set()),
        ("${cmd:sh -c 'echo ${A}'} ${B}", {"B"}),
        ("${A", set()),
        ("${A} ${B", {"A"}),
        ("${1A}", set()),
        ("$A", set()),
    ],
)
def test_the_variables_that_a_configuration_refers_to_are_known(text, names):
    assert variables(text) == names
    assert variables({"a": [{"b": text}, 1, None], "${KEY}": True}) == names


def test_values_of_the_keychain_are_told_apart_from_those_of_commands():
    expanded = run(
        {"a": "${keyring:zai}", "b": "${cmd:x}", "c": "${file:/k}", "d": "${keyring:zai}"}
    )
    assert expanded.from_keychain == {("a",), ("d",)}
    assert expanded.from_commands == {("b",)}


def test_without_a_keychain_an_entry_is_unavailable():
    expanded = expand({"a": "${keyring:zai}"}, Sources({}, str, str))
    assert expanded.unavailable == {("a",)}
    assert 'not asked for "zai"' in expanded.problems[0].message
