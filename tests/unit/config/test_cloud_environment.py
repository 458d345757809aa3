"""What clouds take from this machine: files, optional libraries."""

import importlib.util
import os
from pathlib import Path

import pytest

from ccrelay.config.cloud_environment import located, missing_here
from ccrelay.config.load import load, load_text as load_data
from ccrelay.config.model import Config, Credential, Key, Provider
from tests.child import run_code

TEXT = """\
providers:
  - name: g
    type: vertex
    project: test-project-1
    keys:
      - credential: {file: sa.json}
"""


@pytest.fixture
def without(monkeypatch):
    """Make modules appear as not installed."""

    def hide(*names: str) -> None:
        found = importlib.util.find_spec

        def find(module: str, package: str | None = None) -> object:
            if module in names:
                raise ModuleNotFoundError(module)
            return found(module, package)

        monkeypatch.setattr(importlib.util, "find_spec", find)

    return hide


def file_of(file: str, folder: str = "/etc/ccrelay", **env: str) -> str | None:
    credential = Credential(file=file)
    provider = Provider(name="g", type="vertex", keys=[Key(credential=credential)])
    found = located(Config(providers=[provider]), env, folder).providers[0].keys[0].credential
    assert found is not None
    return found.file


@pytest.mark.parametrize(
    ("file", "path"),
    [
        ("sa.json", "/etc/ccrelay/sa.json"),
        ("../sa.json", "/etc/sa.json"),
        ("/run/sa.json", "/run/sa.json"),
        ("~/sa.json", "/h/sa.json"),
    ],
)
def test_paths_start_from_the_folder_of_the_file(file, path):
    assert file_of(file, HOME="/h") == path


def test_without_a_home_a_tilde_is_a_name():
    assert file_of("~/sa.json") == "/etc/ccrelay/~/sa.json"


def test_a_configuration_without_clouds_is_not_touched():
    config = Config(providers=[Provider(name="a", type="anthropic")])
    assert located(config, {"AWS_REGION": "x"}, "/") is config
    assert missing_here(config) == []


def test_a_file_that_cannot_be_read_is_an_error(load_text, problems_of, tmp_path):
    place = "6:28: providers[0].keys[0].credential.file: "
    assert problems_of(TEXT) == [place + "cannot read the file: No such file or directory"]
    (tmp_path / "sa.json").mkdir()
    assert problems_of(TEXT) == [place + "cannot read the file: it is a folder"]
    (tmp_path / "sa.json").rmdir()
    (tmp_path / "sa.json").write_text("{}")
    config = load_text(TEXT).config
    credential = config.providers[0].keys[0].credential
    assert credential is not None
    assert credential.file == str(tmp_path / "sa.json")
    assert config.providers[0].keys[0].name == "sa.json"


def test_a_pipe_does_not_block(problems_of, tmp_path):
    os.mkfifo(tmp_path / "sa.json")
    assert problems_of(TEXT.replace("type: vertex", "type: azure\n    resource: r"))


@pytest.mark.parametrize("change", [("enabled: false", "project"), ("enabled: false", "keys")])
def test_what_is_not_used_may_be_missing(load_text, change):
    where = "    project" if change[1] == "project" else "    keys"
    text = TEXT.replace(where, f"    enabled: false\n{where}", 1)
    text += "  - {name: a, type: anthropic}\n"
    assert load_text(text).warnings == []


def test_elsewhere_it_is_a_warning_or_nothing(tmp_path):
    path = tmp_path / "ccrelay.yaml"
    path.write_text(TEXT)
    path.chmod(0o600)
    found = load(path, env={}, require_secrets=False).warnings
    assert [problem.severity for problem in found] == ["warning"]
    # The relay has files that this process has not.
    assert load_data(TEXT.encode(), path, env={}).warnings == []


@pytest.mark.parametrize(
    ("provider", "hidden", "message"),
    [
        (
            "type: bedrock, region: us-east-1",
            ["botocore"],
            "credentials of type bedrock require botocore: pip install 'ccrelay-proxy[aws]'",
        ),
        (
            "type: claude-aws, region: us-east-1, workspace: wrkspc_test1",
            ["botocore"],
            "credentials of type claude-aws require botocore: pip install 'ccrelay-proxy[aws]'",
        ),
        (
            "type: vertex, project: p-1",
            ["google.auth", "requests"],
            "credentials of type vertex require google.auth and requests: pip install "
            "'ccrelay-proxy[gcp]'",
        ),
        (
            "type: azure, resource: r",
            ["azure.identity"],
            "credentials of type azure require azure.identity: pip install 'ccrelay-proxy[azure]'",
        ),
    ],
)
def test_a_missing_extra_is_named(provider, hidden, message, without, load_text, problems_of):
    text = f"providers: [{{name: p, {provider}}}]\n"
    load_text(text)
    without(*hidden)
    (problem,) = problems_of(text)
    assert problem == f"1:{text.index('type: ') + 7}: providers[0].type: {message}"


def test_an_api_key_needs_no_library(without, load_text):
    without("botocore", "azure.identity")
    text = """\
providers:
  - {name: b, type: bedrock, region: us-east-1, keys: [{key: "${ZAI_API_KEY}"}]}
  - {name: a, type: azure, resource: r, keys: [{key: "${ANTHROPIC_API_KEY}"}]}
"""
    assert load_text(text).warnings == []


def test_libraries_are_looked_for_and_not_imported(tmp_path: Path):
    path = tmp_path / "ccrelay.yaml"
    path.write_text("providers: [{name: p, type: bedrock, region: us-east-1}]\n")
    path.chmod(0o600)
    code = (
        "import sys; from pathlib import Path; from ccrelay.config.load import load\n"
        f"load(Path({str(path)!r}), env={{}})\n"
        "print([n for n in sys.modules if n.split('.')[0] in ('botocore', 'boto3', 'azure')])"
    )
    ran = run_code(code)
    assert ran.stdout.strip() == "[]"
