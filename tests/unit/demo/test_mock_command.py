import json
import re

import pytest
from click.testing import CliRunner

from ccrelay.cli.mock import mock, record_line
from ccrelay.demo.faults import FAULTS
from ccrelay.demo.server import Recorded


def recorded(**members):
    plain = {"number": 1, "connection": 1, "method": "POST", "target": "/v1/messages"}
    return Recorded(**(plain | {"headers": []} | members))


def test_list_faults_prints_the_table():
    result = CliRunner().invoke(mock, ["--list-faults"])
    assert result.exit_code == 0
    assert re.findall(r"^(\w+)", result.output, re.MULTILINE) == list(FAULTS)
    assert "seconds=3600 after=5" in result.output


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--fault", "nonsense"], "nonsense"),
        (["--fault", "529,ok"], "one fault"),
        (["--fault", "slow_head,seconds=x"], "seconds"),
        (["--script", ""], "No fault"),
        (["--script", "529", "--fault", "529"], "mutually exclusive"),
        (["--listen", "8788"], "HOST:PORT"),
        (["--listen", "127.0.0.1:99999"], "HOST:PORT"),
        (["--fault-rate", "2"], "fault-rate"),
        (["--limits", "rps=1"], "rps"),
        (["--limit-window", "hourly"], "hourly"),
        (["--key-fault", "key-1"], "END_OF_KEY"),
        (["--key-fault", "key-1:nonsense"], "nonsense"),
        (["--dialect", "gcp"], "gcp"),
        (["--dialect", "vertex", "--accept", "secret:x"], "secret:x"),
        (["--accept", "token:test-token-1"], "--dialect"),
        (["--region", "us-east-1"], "--dialect"),
        (["--clock-skew", "5"], "--dialect"),
    ],
)
def test_invalid_options_exit_2(arguments, word):
    result = CliRunner().invoke(mock, arguments)
    assert result.exit_code == 2
    assert word in result.output


def test_record_lines_show_credentials_as_fingerprints():
    headers = [("Authorization", "Bearer test-key-1"), ("X-Api-Key", "test-key-1"), ("a", "b")]
    line = record_line(recorded(headers=headers, body=b"{}", fault="gzip", outcome="answered"))
    assert "\n" not in line
    assert "test-key-1" not in line
    found = json.loads(line)
    assert [name for name, _ in found["headers"]] == ["Authorization", "X-Api-Key", "a"]
    assert found["headers"][1][1].startswith("sha256:")
    assert (found["body"], found["fault"], found["outcome"]) == ("{}", "gzip", "answered")


def test_a_binary_body_is_recorded_as_base64():
    found = json.loads(record_line(recorded(body=b"\xff\x00")))
    assert (found["body"], found["body_base64"]) == (None, "/wA=")
