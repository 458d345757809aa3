"""Variables for trusted certificates that name nothing are described."""

import base64
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ccrelay.upstream.trust import trust_problems

# The first bytes of a DER certificate; OpenSSL itself is not asked.
BODY = base64.b64encode(b"\x30\x82\x01\x00" + bytes(64)).decode()


def pem(label: str = "CERTIFICATE", body: str = BODY) -> str:
    return f"# a CA\n-----BEGIN {label}-----\n{body}\n-----END {label}-----\n"


def described(**env: str) -> list[str]:
    return [f"{variable} {problem}" for variable, problem in trust_problems(env)]


def test_without_the_variables_nothing_is_read() -> None:
    assert trust_problems({}) == []


@pytest.mark.parametrize("label", ["CERTIFICATE", "TRUSTED CERTIFICATE", "X509 CERTIFICATE"])
def test_a_file_with_a_certificate_is_accepted(tmp_path: Path, label: str) -> None:
    file = tmp_path / "ca.pem"
    file.write_text(pem("PRIVATE KEY") + pem(label))
    assert described(SSL_CERT_FILE=str(file)) == []


def empty(path: Path) -> None:
    path.write_text("")


def key_only(path: Path) -> None:
    path.write_text(pem("PRIVATE KEY"))


def no_base64(path: Path) -> None:
    path.write_text(pem(body="A"))


def der(path: Path) -> None:
    path.write_bytes(base64.b64decode(BODY))


def dangling(path: Path) -> None:
    path.symlink_to("nowhere")


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda path: None, 'cannot be read: "PATH" (No such file or directory)'),
        (dangling, 'cannot be read: "PATH" (No such file or directory)'),
        (Path.mkdir, 'names a directory, "PATH": use SSL_CERT_DIR for it'),
        (os.mkfifo, 'names no regular file: "PATH"'),
        (empty, 'names a file without a certificate (PEM): "PATH"'),
        (key_only, 'names a file without a certificate (PEM): "PATH"'),
        (no_base64, 'names a file without a certificate (PEM): "PATH"'),
        (der, 'names a file without a certificate (PEM): "PATH"'),
    ],
)
def test_a_file_without_one_is_named(
    tmp_path: Path, make: Callable[[Path], object], problem: str
) -> None:
    path = tmp_path / ("a-long-name-" * 8)
    make(path)
    assert described(SSL_CERT_FILE=str(path)) == [
        "SSL_CERT_FILE " + problem.replace("PATH", str(path))
    ]


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_a_file_that_may_not_be_read_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    file = tmp_path / "ca.pem"
    file.write_text(pem())
    monkeypatch.setattr("builtins.open", refuse)  # root may read everything
    monkeypatch.setattr(os, "listdir", refuse)
    found = trust_problems({name: str(file)})
    assert found == [(name, f'cannot be read: "{file}" (Permission denied)')]


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
@pytest.mark.parametrize(("value", "problem"), [("", "is empty: "), ("a\0b", "(invalid path)")])
def test_unusable_values_are_described(name: str, value: str, problem: str) -> None:
    ((variable, said),) = trust_problems({name: value})
    assert variable == name
    assert problem in said


def test_directories_need_a_certificate_under_its_hash(tmp_path: Path) -> None:
    good, plain, links = (tmp_path / name for name in ("good", "plain", "links"))
    for folder in (good, plain, links):
        folder.mkdir()
    (good / "0a1b2c3d.0").write_text(pem())
    (plain / "ca.pem").write_text(pem())
    (links / "0a1b2c3d.0").symlink_to("nowhere")
    assert described(SSL_CERT_DIR=f"{good}{os.pathsep}{good}") == []
    missing, file = tmp_path / "missing", good / "0a1b2c3d.0"
    parts = [good, plain, links, missing, file]
    hashed = "names a directory without a certificate under its hash"
    assert described(SSL_CERT_DIR=os.pathsep.join(map(str, parts))) == [
        f'SSL_CERT_DIR {hashed}: "{plain}" (`openssl rehash` makes the links)',
        f'SSL_CERT_DIR {hashed}: "{links}" (`openssl rehash` makes the links)',
        f'SSL_CERT_DIR cannot be read: "{missing}" (No such file or directory)',
        f'SSL_CERT_DIR names a file, "{file}": use SSL_CERT_FILE for it',
    ]
