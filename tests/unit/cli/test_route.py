import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from ccrelay.cli import route as command
from ccrelay.config.fingerprint import fingerprint
from ccrelay.routing.rules import CLASSES
from tests.pages import section, text_of

FILE = """
routing:
  rules:
    - name: titles
      when: {request_class: [background]}
      use: {providers: [zai], strategy: failover, model: glm-4.7}
    - when: {headers: {x-team: "a*"}, images: true}
      use: {strategy: least-busy}
providers:
  - name: anthropic
    type: anthropic
    weight: 3
    keys:
      - {key: "${K}", name: main, rpm_limit: 60, tpm_limit: 100000}
      - {key: "${L}", enabled: false}
    prices: {"claude-*": {input: 1, output: 10, cache_read: 0.1}}
  - {name: zai, type: zai, keys: [{key: "${K}"}], model_mapping: {"claude-*": glm-5}}
  - {name: local, type: ollama, models: [qwen3]}
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run `ccrelay route explain ...` on FILE."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("K", "canary-key-1")
    monkeypatch.setenv("L", "canary-key-2")
    Path("c.yaml").write_text(FILE)

    def invoke(*arguments: str, model: str = "claude-x"):
        return CliRunner().invoke(
            command.route, ["explain", "--config", "c.yaml", "--model", model, *arguments]
        )

    return invoke


def test_explain_prints_rule_strategy_and_all_providers(run):
    result = run("--tokens", "2000")
    one, two = fingerprint("canary-key-1"), fingerprint("canary-key-2")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    [zai] = [line for line in lines if line.startswith("  2  zai")]
    price = zai[zai.index("share 25%") + len("share 25%") :]  # of the built-in table
    assert lines == [
        "request   claude-x: main, 2000 tokens, no images, thinking, tools",
        "rule      titles does not match (request_class: background)",
        "rule      rules[1] does not match (images: true; headers: x-team=a*)",
        "rule      none",
        "strategy  simple-shuffle: random, weighted by remaining capacity",
        "",
        "eligible",
        "  1  anthropic  claude-x  by models claude-*         weight 3  priority 0  share 75%"
        "  per turn $0.012, cached $0.010",
        f"     key {one} main: weight 1, priority 0, rpm_limit 60, tpm_limit 100000",
        f"     key {two}: disabled",
        "  2  zai        glm-5     by model_mapping claude-*  weight 1  priority 0  share 25%"
        f"{price}",
        f"     key {one}: weight 1, priority 0, no limits",
        "",
        "not eligible",
        "  local  does not serve claude-x; nearest: qwen3",
        "",
        command.NOTE,
    ]
    assert "canary" not in result.output


def test_explain_prints_the_matching_rule_and_its_model(run):
    lines = run("--class", "background").output.splitlines()
    assert lines[:4] == [
        "request   claude-x: background, 20000 tokens, no images, no thinking, no tools",
        "rule      titles matches",
        "model     glm-4.7 (from the rule)",
        "strategy  failover: the first available",
    ]
    assert "share" not in "".join(lines)


def test_options_and_headers_are_matched_by_rules(run):
    lines = run("--images", "--header", "X-Team: abc", "--no-tools", "--no-thinking").output
    assert "images, no thinking, no tools" in lines
    assert "rule      rules[1] matches" in lines
    assert "strategy  least-busy" in lines


def test_explain_prints_a_differing_request_class(run):
    lines = run("--class", "background", "--header", "x-claude-code-request-class: main").output
    assert "\nclass     treated as main: from its headers\n" in lines
    file = FILE.replace("[background]", "[subagent]").replace(", images: true", "")
    Path("head.yaml").write_text(file)
    lines = run("--config", "head.yaml", "--class", "background").output
    assert (
        "\nclass     treated as main: no rule needs the body, so the class is from the headers\n"
        in lines
    )


def test_missing_secrets_are_listed_and_not_needed(run, monkeypatch):
    monkeypatch.delenv("L")
    command = "${cmd:sh -c 'exit 3'}"
    file = FILE.replace(
        '- {key: "${L}", enabled', f'- {{key: "{command}"}}\n      - {{key: "${{L}}", enabled'
    )
    Path("c.yaml").write_text(file)
    result = run()
    assert result.exit_code == 0
    [line] = [line for line in result.output.splitlines() if line.startswith("Missing secrets")]
    assert line.startswith("Missing secrets (not needed here): providers[0].keys[1].key")
    assert '; providers[0].keys[2].key (environment variable "L" is not set' in line
    assert "     key unknown: weight 1, priority 0, no limits\n" in result.output
    assert "     key unknown: disabled\n" in result.output
    assert len(json.loads(run("--json").output)["missing_secrets"]) == 2


def test_no_command_is_run(run, tmp_path):
    trap = tmp_path / "ran"
    text = FILE.replace('"${L}"', f'"${{cmd:touch {trap}}}"').replace(
        "type: zai,", f"type: zai, base_url: '${{cmd:touch {trap}}}',"
    )
    Path("c.yaml").write_text(text)
    result = run()
    assert result.exit_code == 0
    assert "providers[0].keys[1].key (the command is not run here)" in result.output
    assert not trap.exists()


def test_missing_values_other_than_secrets_exit_2(run):
    Path("c.yaml").write_text(FILE.replace("type: zai,", 'type: zai, base_url: "${NOWHERE}",'))
    result = run()
    assert result.exit_code == 2
    assert '"NOWHERE" is not set' in result.stderr
    Path("c.yaml").write_text(FILE.replace("${L}", "${L"))
    assert run().exit_code == 2


def test_no_eligible_provider_exits_1(run):
    result = run(model="gpt-x")
    assert result.exit_code == 1
    assert "eligible\n  none\n" in result.output
    assert "does not serve gpt-x; nearest: " in result.output


def test_an_unknown_price_is_shown_as_unknown(run):
    assert "price unknown" in run(model="qwen3").output


def test_json_output(run):
    output = json.loads(run("--json", "--class", "subagent").output)
    assert output["asked"]["kind"] == "subagent"
    assert output["rule"] is None
    assert [one["provider"] for one in output["inside"]] == ["anthropic", "zai"]
    assert output["inside"][0]["keys"][0]["limits"] == {"rpm_limit": 60, "tpm_limit": 100000}
    assert output["outside"][0]["reasons"] == ["does not serve claude-x; nearest: qwen3"]


@pytest.mark.parametrize("text", ["no colon", ": value"])
def test_an_invalid_header_option_exits_2(run, text):
    result = run("--header", text)
    assert result.exit_code == 2
    assert "name: value" in result.output


def test_a_missing_configuration_file_exits_2(run):
    result = run("--config", "missing.yaml")
    assert result.exit_code == 2
    assert "no such file" in result.stderr


def test_class_choices_are_the_classes_of_rules():
    assert set(command.CLASSES) == set(CLASSES)


def test_the_page_shows_the_actual_output(run, monkeypatch):
    page = section(text_of("routing.md"), "## Rules")
    fences = re.findall(r"^```(\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    Path("page.yaml").write_text(next(text for kind, text in fences if kind == "yaml"))
    shown = next(text for kind, text in fences if kind == "text")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "test-key-1")
    monkeypatch.setenv("ZAI_API_KEY", "test-key-2")
    result = run("--config", "page.yaml", "--class", "background", model="claude-opus-5-5")
    key = re.compile(r"hmac:[0-9a-f]{8}")  # another one on every machine
    assert key.sub("hmac:...", result.output) == key.sub("hmac:...", shown)
