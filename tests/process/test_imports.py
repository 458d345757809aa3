"""Which modules are imported, in separate processes."""

import subprocess
import sys
from pathlib import Path

import pytest

import ccrelay

pytestmark = pytest.mark.process

ROOT = Path(ccrelay.__file__).parents[1]  # of the package under test


def run(code: str) -> str:
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_asyncio_is_imported_without_ssl_and_ssl_can_be_imported_later():
    call = "from ccrelay.runtime.no_ssl import import_asyncio_without_ssl as f; f(); f();"
    loaded = "import sys; print('asyncio' in sys.modules, 'ssl' in sys.modules)"
    assert run(f"{call} {loaded}") == "True False"
    assert run(f"{call} import ssl; print(ssl.create_default_context() is not None)") == "True"


def test_the_supervisor_does_not_import_the_data_plane():
    unwanted = (
        "{'ssl', 'uvloop', 'orjson', 'watchfiles', 'ccrelay.relay', 'ccrelay._fast.conn',"
        " 'grpc', 'google.protobuf', 'sqlite3', 'prometheus_client', 'ccrelay.manager'}"
    )
    code = (
        "from ccrelay.runtime.no_ssl import import_asyncio_without_ssl as f; f(); import sys;"
        "import ccrelay.cli.serve, ccrelay.runtime.supervisor, ccrelay.runtime.banner;"
        "import ccrelay.runtime.logs, ccrelay.config.load, ccrelay.runtime.management;"
        f"print({unwanted} & set(sys.modules))"
    )
    assert run(code) == "set()"


def test_workers_do_not_import_the_management_plane():
    unwanted = "{'grpc', 'google.protobuf', 'sqlite3', 'prometheus_client', 'ccrelay.manager'}"
    code = f"""
import sys
from ccrelay.runtime.worker import load_relay
load_relay()
print({unwanted} & set(sys.modules))
"""
    assert run(code) == "set()"


def test_help_imports_no_command():
    code = (
        "import sys; from click.testing import CliRunner; from ccrelay.cli.main import cli;"
        "CliRunner().invoke(cli, ['--help']);"
        "print([m for m in sys.modules if m.startswith('ccrelay.')])"
    )
    own = ["ccrelay.cli", "ccrelay.cli.exit_codes", "ccrelay.cli.groups", "ccrelay.cli.main"]
    assert run(code) == str(own)
