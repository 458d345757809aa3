"""The schema and its generator, as far as that needs neither protoc nor buf (`.ci/run schema`)."""

import importlib
import re
import tomllib
from pathlib import Path

import pytest

from proto import generate

SCHEMAS = sorted(path.stem for path in generate.SCHEMA.rglob("*.proto"))


def test_there_is_generated_code_for_every_schema_and_no_other() -> None:
    kinds = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py")
    assert set(generate.contents(generate.TARGET)) == {n + kind for n in SCHEMAS for kind in kinds}


@pytest.mark.parametrize("name", SCHEMAS)
def test_services_and_fields_are_those_of_the_schema(name: str) -> None:
    """What a forgotten `python -m proto.generate` would miss, without the generator."""
    text = (generate.SCHEMA / "ccrelay" / "v1" / f"{name}.proto").read_text()
    text = re.sub(r"//.*", "", text)
    descriptor = importlib.import_module(f"ccrelay.v1.{name}_pb2").DESCRIPTOR
    rpcs = [m.name for s in descriptor.services_by_name.values() for m in s.methods]
    assert rpcs == re.findall(r"rpc (\w+)\(", text)
    assert list(descriptor.message_types_by_name) == re.findall(r"^message (\w+)", text, re.M)
    fields = {field.name for m in descriptor.message_types_by_name.values() for field in m.fields}
    assert fields == set(re.findall(r"^  [\w.]+(?: [\w.]+|<\w+, \w+>)? (\w+) = \d+;", text, re.M))


def test_the_oldest_runtimes_are_those_of_the_generator() -> None:
    data = tomllib.loads((generate.ROOT / "pyproject.toml").read_text())
    dependencies = data["project"]["dependencies"]
    pins = dict(re.findall(r"^([\w-]+)==([\w.]+)", generate.REQUIREMENTS.read_text(), re.M))
    assert pins["grpcio-tools"] == generate.TOOLS
    assert f"grpcio>={generate.TOOLS}" in dependencies
    assert f"protobuf>={'.'.join(pins['protobuf'].split('.')[:2])}" in dependencies


def test_a_difference_is_shown() -> None:
    old = {"a_pb2.py": "1\n2\n3\n", "b_pb2.py": "x\n", "same_pb2.py": "s\n"}
    new = {"a_pb2.py": "1\nZ\n3\n", "c_pb2.py": "x\n", "same_pb2.py": "s\n"}
    assert generate.compare(old, old) == ""
    assert generate.compare(old, new) == (
        "--- committed/a_pb2.py\n+++ generated/a_pb2.py\n@@ -1,3 +1,3 @@\n 1\n-2\n+Z\n 3\n"
        "left over: b_pb2.py\nmissing: c_pb2.py\n"
    )


def test_what_is_committed_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "TARGET", tmp_path)
    (tmp_path / "old_pb2.py").write_text("x")
    (tmp_path / "__init__.py").write_text("kept")
    generate.write({"new_pb2.py": "y"})
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "__init__.py": "kept",
        "new_pb2.py": "y",
    }


def test_a_generator_that_cannot_be_made_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "PYTHONS", ())
    assert generate.main(["--check", "--cache", str(tmp_path / "cache")]) == 1
    assert "needs Python" in capsys.readouterr().err
