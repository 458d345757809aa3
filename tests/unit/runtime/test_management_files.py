import os

import pytest

from ccrelay.config.model import Config, Ledger, Management
from ccrelay.runtime.management_files import management_file_problems

TLS = ("tls_cert", "tls_key")


@pytest.fixture
def pair(tmp_path):
    for name, what in zip(TLS, ("CERTIFICATE", "RSA PRIVATE KEY"), strict=True):
        (tmp_path / name).write_text(f"-----BEGIN {what}-----\nAAAA\n-----END {what}-----\n")
        (tmp_path / name).chmod(0o600)
    return {name: str(tmp_path / name) for name in TLS}


def problems(management=None, ledger=None, unknown=frozenset()):
    settings = Management(**{"listen": "127.0.0.1:1", **(management or {})})
    kept = ledger or Ledger(enabled=False)
    found = management_file_problems(Config(management=settings, ledger=kept), unknown)
    return [(p.path, p.severity, p.message) for p in found]


def test_files_that_are_there_are_no_problem(pair):
    assert problems(pair) == []


def test_a_missing_file_is_an_error_that_names_it(pair, tmp_path):
    (tmp_path / "tls_key").unlink()
    (found,) = problems(pair)
    assert found[:2] == (("management", "tls_key"), "error")
    assert f'cannot read "{tmp_path}/tls_key": No such file' in found[2]
    assert problems({**pair, "enabled": False}) == []
    assert problems(pair, unknown=frozenset({("management", "tls_key")})) == []


@pytest.mark.parametrize(
    ("name", "text", "part"),
    [
        ("tls_cert", "garbage", "it holds no certificate in PEM form"),
        ("tls_cert", "", "it holds no certificate"),
        ("tls_key", "-----BEGIN CERTIFICATE-----", "it holds no private key in PEM form"),
        ("tls_key", "-----BEGIN ENCRYPTED PRIVATE KEY-----", "openssl pkey"),
        ("tls_key", "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED", "a password"),
    ],
)
def test_a_file_that_is_no_pem_is_an_error(pair, tmp_path, name, text, part):
    (tmp_path / name).write_text(text)
    (found,) = problems(pair)
    assert found[:2] == (("management", name), "error")
    assert part in found[2]


def test_a_folder_is_no_key(pair, tmp_path):
    (found,) = problems({**pair, "tls_key": str(tmp_path)})
    assert "it is not a file" in found[2]


def test_a_key_for_everyone_is_a_warning_and_a_certificate_is_not(pair, tmp_path):
    (tmp_path / "tls_cert").chmod(0o644)
    assert problems(pair) == []
    (tmp_path / "tls_key").chmod(0o644)
    (found,) = problems(pair)
    assert found[1] == "warning"
    assert "chmod o-r" in found[2]


def test_a_ledger_needs_a_folder(tmp_path):
    assert problems(ledger=Ledger()) == []
    assert problems(ledger=Ledger(path=str(tmp_path / "a" / "b" / "ledger.db"))) == []
    (found,) = problems(ledger=Ledger(path=str(tmp_path)))
    assert found[:2] == (("ledger", "path"), "warning")
    assert "is a directory" in found[2]
    (tmp_path / "file").touch()
    (found,) = problems(ledger=Ledger(path=str(tmp_path / "file" / "ledger.db")))
    assert "is no directory" in found[2]
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_a_ledger_that_cannot_be_written_is_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)  # root may write anywhere
    (found,) = problems(ledger=Ledger(path=str(tmp_path / "ledger.db")))
    assert "permission denied" in found[2]
