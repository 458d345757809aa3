"""The real clients: the Claude Code CLI and the Anthropic SDK. Run with `pytest -m client`."""

import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType

import pytest

from ccrelay.demo.cloud import Cloud
from ccrelay.demo.limits import Quotas
from tests.client.checks import Pair, assert_mapped, assert_passed_through
from tests.client.claude import Claude
from tests.client.rig import RELAY_TOKEN, Providers, Rig, mapped, passthrough

ROOT = Path(__file__).parents[2]
INSTALLED = Path(".work/claude/node_modules/.bin/claude")  # by .ci/run
NO_CLAUDE = """\
The Claude Code CLI is needed for these tests. Install it once:

  npm install --prefix .work/claude --ignore-scripts @anthropic-ai/claude-code@2.1.332
  node .work/claude/node_modules/@anthropic-ai/claude-code/install.cjs

or name an installed one: CCRELAY_CLAUDE=/path/to/claude"""
NO_SDK = "The Anthropic SDK is needed for these tests: pip install '.[test,client]'"

OpenRig = Callable[..., Rig]


@pytest.fixture(scope="session")
def claude_binary() -> Path:
    binary = Path(os.environ.get("CCRELAY_CLAUDE") or ROOT / INSTALLED)
    if not binary.exists():
        pytest.fail(f"{binary} is missing. {NO_CLAUDE}", pytrace=False)
    return binary


@pytest.fixture
def claude(claude_binary: Path, tmp_path: Path) -> Claude:
    return Claude(claude_binary, tmp_path)


@pytest.fixture
def new_claude(claude_binary: Path, tmp_path: Path) -> Callable[[str], Claude]:
    """Makes a CLI with a home directory of its own: `new_claude("name")`."""
    return lambda name: Claude(claude_binary, tmp_path / name)


@pytest.fixture
def anthropic(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name in [name for name in os.environ if name.startswith("ANTHROPIC_")]:
        monkeypatch.delenv(name)
    try:
        return importlib.import_module("anthropic")
    except ImportError:
        pytest.fail(NO_SDK, pytrace=False)


@pytest.fixture
def open_rig(tmp_path: Path) -> Iterator[OpenRig]:
    """Opens a rig for the duration of the test: `open_rig(passthrough, script="529,ok")`."""
    with ExitStack() as stack:

        def open_rig(
            providers: Providers = passthrough,
            *,
            script: str = "ok",
            others: Sequence[str] = (),
            limit_headers: bool = True,
            quotas: Quotas | None = None,
            cloud: Cloud | None = None,
            environment: Callable[[str], dict[str, str]] | None = None,
        ) -> Rig:
            scripts = (script, *others)
            rig = Rig(
                tmp_path,
                providers,
                scripts=scripts,
                limit_headers=limit_headers,
                quotas=quotas,
                cloud=cloud,
                environment=environment,
            )
            return stack.enter_context(rig)

        yield open_rig


class Way:
    """A rig, the client settings to use it, and the expected upstream requests."""

    def __init__(self, rig: Rig, *, maps: bool) -> None:
        self.rig = rig
        self.url = rig.url
        self.maps = maps  # model and credential
        self.key = RELAY_TOKEN if maps else "test-client-key"  # of the client, in any header

    def assert_faithful(self) -> list[Pair]:
        """Compare and return all exchanges."""
        return assert_mapped(self.rig) if self.maps else assert_passed_through(self.rig)


@pytest.fixture(params=["passthrough", "mapped"])
def way(request: pytest.FixtureRequest, open_rig: OpenRig) -> Way:
    maps = request.param == "mapped"
    return Way(open_rig(mapped if maps else passthrough), maps=maps)
