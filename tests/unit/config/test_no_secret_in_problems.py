"""A key in the wrong place of a configuration: no message shows it, wherever it stands."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from ccrelay.cli.main import cli
from ccrelay.config.load import load
from ccrelay.config.problems import ConfigError

# One of each shape. No real key has any of them.
SECRETS = {
    "prefix": "sk-canary-abcdefghijklm",
    "hex": "9f8e7d6c5b4a39281706f5e4d3c2b1a0",
    "uuid": "4f3e2d1c-0b9a-4876-b5c4-d3e2f1a09b8c",
    "mixed": "QwErTyUiOpAsDfGhJkLzXcVbNm",
    "lower": "kjhqwdbnvcxzlkjsdfqwpeoriuzxcvbn",
    "b64": "q2Xo+sT9vLk3/ZrYp8WmNdQeUaCg==",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "dotted": "a1b2c3d4e5f60718293a4b5c.QwErTyUiOp12",
    "urlsafe": "Xk_9v-QzR4mT_w7Lp-Jc2Hs8",
    "named": "my-canary-token-12345",
}
# Where it stands: %s.
OK = "providers: [{name: p, type: ollama}]\n"
CLOUD = "providers: [{name: p, type: azure, resource: r, keys: [{credential: %s}]}]"
DOCS = {
    "name dup": 'providers: [{name: "%s", type: ollama},{name: "%s", type: ollama}]',
    "name newline": 'providers: [{name: "%s\\n", type: ollama}]',
    "base_url": 'providers: [{name: p, type: compatible, base_url: "%s"}]',
    "base_url user": 'providers: [{name: p, type: compatible, base_url: "https://%s@h.example"}]',
    "base_url query": 'providers: [{name: p, type: compatible, base_url: "https://h.example/?key=%s"}]',
    "base_url path": 'providers: [{name: p, type: compatible, base_url: "https://h.example/%s/v1"}]',
    "base_url host": 'providers: [{name: p, type: compatible, base_url: "https://%s /x"}]',
    "type": 'providers: [{name: p, type: "%s"}]',
    "preset": 'providers: [{name: p, preset: "%s"}]',
    "auth": 'providers: [{name: p, type: ollama, auth: "%s"}]',
    "unknown value": 'providers: [{name: p, type: ollama, api_keyy: "%s"}]',
    "unknown key": 'providers: [{name: p, type: ollama, "%s": 1}]',
    "unknown top": OK + '"%s": 1',
    "unknown section": OK + '"%s": {a: 1}',
    "keys text": 'providers: [{name: p, type: zai, keys: "%s"}]',
    "keys list": 'providers: [{name: p, type: zai, keys: ["%s"]}]',
    "keys map": 'providers: [{name: p, type: zai, keys: {"%s": 1}}]',
    "keys map2": 'providers: [{name: p, type: zai, keys: {key: "%s"}}]',
    "key map": 'providers: [{name: p, type: zai, keys: [{key: {a: "%s"}}]}]',
    "key mapkey": 'providers: [{name: p, type: zai, keys: [{key: {"%s": 1}}]}]',
    "key var": 'providers: [{name: p, type: zai, keys: [{key: "${%s}"}]}]',
    "key var2": 'providers: [{name: "${%s}", type: zai, keys: [{key: x}]}]',
    "key file": 'providers: [{name: p, type: zai, keys: [{key: "${file:%s}"}]}]',
    "key file2": 'providers: [{name: p, type: zai, keys: [{key: "${file:/nowhere/%s}"}]}]',
    "key cmd": 'providers: [{name: p, type: zai, keys: [{key: "${cmd:%s}"}]}]',
    "key cmd2": 'providers: [{name: p, type: zai, keys: [{key: "${cmd:nope %s}"}]}]',
    "key cmd3": 'providers: [{name: p, type: zai, keys: [{key: "${cmd:nope \'%s}"}]}]',
    "key $": 'providers: [{name: p, type: zai, keys: [{key: "$%s"}]}]',
    "key %": 'providers: [{name: p, type: zai, keys: [{key: "%%s%"}]}]',
    "key {{": 'providers: [{name: p, type: zai, keys: [{key: "{{%s}}"}]}]',
    "key unterminated": 'providers: [{name: p, type: zai, keys: [{key: "${%s"}]}]',
    "key name": 'providers: [{name: p, type: zai, keys: [{key: "x y", name: "%s"}]}]',
    "key name bad": 'providers: [{name: p, type: zai, keys: [{key: xy, name: "%s\\n"}]}]',
    "mapping key": 'providers: [{name: p, type: ollama, model_mapping: {"%s": ""}}]',
    "mapping value": 'providers: [{name: p, type: ollama, model_mapping: {a: "%s*"}}]',
    "mapping glob": 'providers: [{name: p, type: ollama, model_mapping: {"%s*": b, "%s*x": c}}]',
    "models": 'providers: [{name: p, type: ollama, models: ["%s x"]}]',
    "models text": 'providers: [{name: p, type: ollama, models: "%s"}]',
    "models id": 'providers: [{name: p, type: ollama, models: [{id: "%s*"}]}]',
    "betas": 'providers: [{name: p, type: ollama, drop_betas: "%s"}]',
    "cloud region": 'providers: [{name: p, type: bedrock, region: "%s"}]',
    "cloud region path": 'providers: [{name: p, type: bedrock, region: "%s/"}]',
    "cloud project": 'providers: [{name: p, type: vertex, project: "%s_"}]',
    "cloud resource": 'providers: [{name: p, type: azure, resource: "%s.x"}]',
    "cloud workspace": 'providers: [{name: p, type: claude-aws, workspace: "%s x"}]',
    "cloud api": 'providers: [{name: p, type: bedrock, api: "%s"}]',
    "credential text": CLOUD % '"%s"',
    "credential unknown": CLOUD % "{x: '%s'}",
    "credential key": CLOUD % "{'%s': x}",
    "credential source": CLOUD % "{source: '%s'}",
    "credential role": CLOUD % "{role_arn: '%s'}",
    "credential profile": CLOUD % "{source: env, profile: '%s'}",
    "credential impersonate": CLOUD % "{impersonate: '%s'}",
    "credential secret": CLOUD % "{client_secret: '%s'}",
    "credential file": CLOUD.replace("azure, resource: r", "vertex, project: p-1")
    % "{file: '/%s'}",
    "application secret": CLOUD % "{client_secret: ' %s', client_id: c, tenant_id: t}",
    "certificate": CLOUD % "{certificate_file: '%s', client_id: c, tenant_id: t}",
    "listen": OK + 'server: {listen: "%s"}',
    "listen port": OK + 'server: {listen: "%s:8787"}',
    "listen port2": OK + 'server: {listen: "127.0.0.1:%s"}',
    "tokens text": OK + 'server: {auth: {tokens: "%s"}}',
    "tokens ws": OK + 'server: {auth: {tokens: ["%s x"]}}',
    "tokens map": OK + 'server: {auth: {tokens: [{"%s": 1}]}}',
    "auth text": OK + 'server: {auth: "%s"}',
    "token unknown": OK + 'server: {auth: {tokenz: "%s"}}',
    "hosts": OK + 'server: {allowed_hosts: ["http://%s/"]}',
    "origins": OK + 'server: {allowed_origins: ["%s"]}',
    "origins2": OK + 'server: {allowed_origins: ["https://h/%s"]}',
    "rule header": OK
    + 'routing: {rules: [{when: {headers: {x-team: "%s\\n"}}, use: {providers: [p]}}]}',
    "rule header cred": OK
    + 'routing: {rules: [{when: {headers: {authorization: "%s"}}, use: {providers: [p]}}]}',
    "rule header name": OK
    + 'routing: {rules: [{when: {headers: {"%s x": "a"}}, use: {providers: [p]}}]}',
    "rule model": OK + 'routing: {rules: [{when: {model: ["%s x"]}, use: {providers: [p]}}]}',
    "rule class": OK + 'routing: {rules: [{when: {request_class: ["%s"]}, use: {providers: [p]}}]}',
    "rule provider": OK + 'routing: {rules: [{use: {providers: ["%s"]}}]}',
    "rule strategy": OK + 'routing: {rules: [{use: {strategy: "%s"}}]}',
    "rule use model": OK + 'routing: {rules: [{use: {model: "%s*"}}]}',
    "rule name": OK + 'routing: {rules: [{name: "%s\\n", use: {providers: [p]}}]}',
    "rule text": OK + 'routing: {rules: "%s"}',
    "when text": OK + 'routing: {rules: [{when: "%s", use: {providers: [p]}}]}',
    "strategy": OK + 'routing: {strategy: "%s"}',
    "rmodels": OK + 'routing: {models: {"%s": [q]}}',
    "rmodels empty": OK + 'routing: {models: {"%s": []}}',
    "rmodels value": OK + 'routing: {models: {"a": ["%s"]}}',
    "mdefault": OK + 'routing: {models_default: ["%s"]}',
    "level": OK + 'logging: {level: "%s"}',
    "logging text": OK + 'logging: "%s"',
    "file list": OK + 'logging: {file: ["%s"]}',
    "weight": 'providers: [{name: p, type: ollama, weight: "%s"}]',
    "rpm": 'providers: [{name: p, type: zai, keys: [{key: abcdefg, rpm_limit: "%s"}]}]',
    "enabled": 'providers: [{name: p, type: ollama, enabled: "%s"}]',
    "header name": 'providers: [{name: p, type: ollama, headers: {"%s x": v}}]',
    "header value": 'providers: [{name: p, type: ollama, headers: {"x": "%s\\n"}}]',
    "header dup": 'providers: [{name: p, type: ollama, headers: {"%s": a, "%s": b}}]',
    "header reserved": 'providers: [{name: p, type: ollama, headers: {"host": "%s"}}]',
    "headers text": 'providers: [{name: p, type: ollama, headers: "%s"}]',
    "prices": 'providers: [{name: p, type: ollama, prices: {"%s": {input: -1, output: 1}}}]',
    "providers map": 'providers: {"%s": {type: ollama, weight: x}}',
    "providers text": 'providers: "%s"',
    "providers list": 'providers: ["%s"]',
    "top list": '- "%s"',
    "top text": "%s",
    "top quoted": '"%s"',
    "yaml syntax": "key: %s: y",
    "yaml quote": 'key: "%s',
    "yaml alias": "key: *%s",
    "yaml tag": "key: !%s x",
    "yaml tag2": "key: !<%s> x",
    "yaml tag3": "key: !%s!x y",
    "yaml anchor": "key: &%s [",
    "yaml directive": "%%s\n---\na: 1",
    "yaml indent": "a: 1\n  %s: 2\n",
    "yaml tab": "a:\n\t%s: 2",
    "yaml flow": "a: [%s, }",
    "yaml escape": 'a: "\\%s"',
    "yaml block": "a: |%s\n x",
    "yaml plain": "%s\nfoo: bar\n",
    "yaml at": "a: @%s",
    "yaml dup": '"%s": 1\n"%s": 2',
    "yaml merge": '<<: "%s"',
    "yaml key nested": '? ["%s"]\n: 1',
    "yaml 2docs": "a: 1\n---\n%s: 2",
    "yaml anchor dup": "a: &%s 1\nb: *%sx",
}
TOML = {
    "toml value": "a = %s",
    "toml dup": '"%s" = 1\n"%s" = 2',
    "toml open": 'a = "%s',
    "toml table": "[%s]\n[%s]",
    "toml key": "%s",
    "toml ov": 'a."%s" = 1\na."%s".b=2',
    "toml esc": 'a = "\\%s"',
    "toml toks": '[server.auth]\ntokens = "%s"',
    "toml date": "[server.auth]\ntokens = 2020-01-01",
    "toml inline": 'a = {"%s"=1,"%s"=2}',
}


def pieces(secret: str) -> set[str]:
    return {secret[at : at + 8] for at in range(len(secret) - 7)}


def messages(file: Path, text: str) -> str:
    file.write_text(text)
    file.chmod(0o600)
    try:
        loaded = load(file, env={"PATH": os.environ["PATH"], "HOME": "/"}, cwd=file.parent)
    except ConfigError as error:
        return str(error)
    return "\n".join(map(str, loaded.warnings))


@pytest.mark.parametrize("shape", SECRETS)
@pytest.mark.parametrize("place", [*DOCS, *TOML])
def test_no_message_shows_a_piece_of_a_secret(tmp_path: Path, place: str, shape: str) -> None:
    secret = SECRETS[shape]
    file = tmp_path / ("c.yaml" if place in DOCS else "c.toml")
    text = messages(file, {**DOCS, **TOML}[place].replace("%s", secret))
    shown = sorted(piece for piece in pieces(secret) if piece in text)
    assert not shown, text


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("providers: [{name: p, type: antropic}]", '"antropic"'),
        ("providers: [{name: p, type: ollama, weight: heavy}]", '"heavy"'),
        ("providers: [{name: p, type: compatible, base_url: api.z.ai/x}]", '"api.z.ai/x"'),
        ('server: {listen: "8787"}\n' + OK, '"8787"'),
        ('providers: [{name: p, type: zai, keys: [{key: "${ZAI_KEY_2}"}]}]', '"ZAI_KEY_2"'),
        (OK + "routing: {models_default: [openrouter-backup]}", '"openrouter-backup"'),
        (OK + "server: {wrokers: 2}", "wrokers"),
        (
            'providers: [{name: p, type: zai, keys: [{key: "${file:/nowhere/second.key}"}]}]',
            "/nowhere/second.key",
        ),
        (
            "providers: [{name: p, type: ollama, model_mapping: {a: 'Qwen3-Coder-480B-A35B*'}}]",
            '"Qwen3-Coder-480B-A35B*"',
        ),
        (
            "providers: [{name: p, type: ollama, models: fine-grained-tool-streaming-2025-05-14}]",
            '"fine-grained-tool-streaming-2025-05-14"',
        ),
    ],
)
def test_ordinary_wrong_values_are_quoted(tmp_path: Path, text: str, quoted: str) -> None:
    assert quoted in messages(tmp_path / "c.yaml", text)


@pytest.mark.parametrize("where", ["provider", "key", "rule"])
@pytest.mark.parametrize("shape", ["prefix", "hex", "mixed", "urlsafe"])
def test_a_key_as_a_name_is_reported_because_logs_show_names(
    tmp_path: Path, where: str, shape: str
) -> None:
    names = {"provider": "p", "key": "k", "rule": "r", where: SECRETS[shape]}
    file = tmp_path / "c.yaml"
    file.write_text(
        f"providers: [{{name: {names['provider']}, type: zai, "
        f"keys: [{{key: some-key, name: {names['key']}}}]}}]\n"
        f"routing: {{rules: [{{name: {names['rule']}, use: {{strategy: failover}}}}]}}\n"
    )
    file.chmod(0o600)
    result = CliRunner().invoke(cli, ["config", "check", "--config", str(file)])
    assert result.exit_code == (2 if shape == "prefix" else 0)
    assert "logs show names" in result.output
    assert SECRETS[shape] not in result.output
