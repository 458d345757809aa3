"""The service Setup over gRPC, with a supervisor that has no file until one is written."""

import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import msgspec
import pytest

from ccrelay.config.load import Found, load_found
from ccrelay.first_run import detect as detecting, write as writing
from ccrelay.runtime.manager_link import (
    Command,
    ConfigChanged,
    EnvironmentCommand,
    ReloadCommand,
    Reply,
)
from ccrelay.v1 import relay_pb2, setup_pb2 as v1
from tests.loopback.manager.rig import Rig, refused, rig, run
from tests.unit.cli.fake_provider import fake_provider

KEY = "test-key-of-setup"
LOGIN = v1.SetupProvider(type="anthropic", pass_through=True)


@pytest.fixture(autouse=True)
def no_ollama(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detecting, "probe_ollama", lambda url: None)
    monkeypatch.setattr(writing, "probe_ollama", lambda url: None)


class World:
    """A relay without a file, and the environment of its supervisor."""

    def __init__(self, made: Rig, home: Path, setup: Any) -> None:
        self.rig = made
        self.home = home
        self.setup = setup
        self.fails_with = ""
        self.asked: list[str] = []
        self.env = {
            "HOME": str(home),
            "PATH": os.environ["PATH"],
            "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
            "ZAI_API_KEY": KEY,
            "MY_KEY": KEY,
        }
        self.file = home / ".config" / "ccrelay" / "config.yaml"
        self._call = made.supervisor.call
        made.supervisor.call = self.call  # type: ignore[method-assign]

    async def call(self, command: Command) -> Reply:
        if isinstance(command, EnvironmentCommand):
            self.asked += command.names
            names = {*command.names, "PATH", "PYTHON_KEYRING_BACKEND"}
            return Reply(1, values={k: v for k, v in self.env.items() if k in names})
        if isinstance(command, ReloadCommand):
            if self.fails_with:
                return Reply(1, error=self.fails_with, is_refused=True)
            supervisor = self.rig.supervisor
            loaded = load_found(Found(self.file), env=self.env)
            supervisor.base, supervisor.file = loaded.config, self.file
            message = ConfigChanged(
                supervisor.config,
                supervisor.layout,
                [],
                "apply",
                config_file=str(self.file),
                digest=loaded.digest,
            )
            assert supervisor.app is not None
            supervisor.app.on_message(message)
            return Reply(1, changed=True)
        return await self._call(command)


@contextlib.asynccontextmanager
async def world(folder: Path, **how: Any) -> AsyncIterator[World]:
    home = folder / "user"
    home.mkdir()
    text = "providers: [{name: anthropic, type: anthropic}]\n"
    async with rig(folder, text, **{"has_file": False, **how}) as made:
        yield World(made, home, made.setup)


def test_what_is_there_is_told_without_keys(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as here:
            answer = await here.setup.Detect(v1.DetectRequest())
            assert [(one.type, one.source, one.usable) for one in answer.found] == [
                ("zai", "ZAI_API_KEY", True)
            ]
            assert (answer.file, answer.has_config) == (str(here.file), False)
            assert answer.command == "ccrelay claude"
            assert not answer.keychain
            assert "no keychain here" in answer.keychain_problem
            assert KEY not in str(answer)
            assert not here.file.exists()

    pytest.importorskip("keyring")
    run(scenario())


def test_a_file_is_written_and_in_force(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as here:
            providers = [LOGIN, v1.SetupProvider(type="zai", key=KEY, store=v1.KEY_STORE_FILE)]
            dry = await here.setup.Write(v1.WriteRequest(providers=providers, dry_run=True))
            assert (dry.file, dry.revision, list(dry.written)) == (str(here.file), 0, [])
            assert not here.file.exists()
            answer = await here.setup.Write(v1.WriteRequest(providers=providers))
            assert here.file.read_text() == answer.text == dry.text
            assert KEY not in str(answer)
            assert answer.revision == 1
            assert answer.written[-1] == "the relay uses it now"
            assert (here.file.parent / "keys" / "zai").read_text() == f"{KEY}\n"
            status = await here.rig.relay.GetStatus(relay_pb2.GetStatusRequest())
            assert status.status.config_file == str(here.file)
            again = await here.setup.Detect(v1.DetectRequest())
            assert (again.has_config, again.file) == (True, str(here.file))
            code, message = await refused(here.setup.Write(v1.WriteRequest(providers=[LOGIN])))
            assert code is grpc.StatusCode.FAILED_PRECONDITION
            assert str(here.file) in message

    run(scenario())


def test_a_variable_is_asked_for_by_name(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as here:
            provider = v1.SetupProvider(type="zai", variable="MY_KEY")
            answer = await here.setup.Write(v1.WriteRequest(providers=[provider]))
            assert "${MY_KEY}" in answer.text
            assert "MY_KEY" in here.asked

    run(scenario())


def test_a_relay_that_refuses_it_leaves_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as here:
            here.fails_with = "a worker does not start"
            provider = v1.SetupProvider(type="zai", key=KEY, store=v1.KEY_STORE_FILE)
            code, message = await refused(here.setup.Write(v1.WriteRequest(providers=[provider])))
            assert code is grpc.StatusCode.FAILED_PRECONDITION
            assert message == "a worker does not start. Nothing was written."
            assert list(here.home.iterdir()) == []

    run(scenario())


def test_a_demo_goes_on_and_the_file_stays(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as here:
            state = here.rig.app.state
            demo = msgspec.structs.replace(state.config.providers[0], name="demo")
            state.config = msgspec.structs.replace(state.config, providers=[demo])
            here.fails_with = "there is no configuration file to reload"
            answer = await here.setup.Write(v1.WriteRequest(providers=[LOGIN]))
            assert answer.revision == 0
            assert "--demo goes on" in answer.written[-1]
            assert here.file.exists()
            assert (await here.setup.Detect(v1.DetectRequest())).has_config

    run(scenario())


@pytest.mark.parametrize(
    ("providers", "words"),
    [
        ([], "1 to 32"),
        ([LOGIN] * 33, "1 to 32"),
        ([v1.SetupProvider(type="nosuch")], "no such type"),
        ([v1.SetupProvider(type="compatible", key=KEY)], "base_url"),
        ([v1.SetupProvider(type="zai", key=KEY, store=77)], "no such place"),
        ([v1.SetupProvider(type="zai", key="a b")], "no key"),
        ([v1.SetupProvider(type="zai", settings={"headers": "x"})], "no setting"),
    ],
)
def test_what_cannot_be_is_refused(
    tmp_path: Path, providers: list[v1.SetupProvider], words: str
) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as here:
            code, message = await refused(here.setup.Write(v1.WriteRequest(providers=providers)))
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            assert words in message
            assert list(here.home.iterdir()) == []

    run(scenario())


def test_a_provider_is_asked_with_the_key_of_a_variable(tmp_path: Path) -> None:
    async def scenario() -> None:
        with fake_provider() as provider:
            provider.body = b'{"type": "message", "usage": {"input_tokens": 9, "output_tokens": 1}}'
            async with world(tmp_path) as here:
                sent = v1.SetupProvider(type="zai", base_url=provider.url, variable="MY_KEY")
                answer = await here.setup.Check(v1.CheckRequest(provider=sent, model="glm-5.3"))
                assert answer.ok, answer.message
                assert answer.cost_micros > 0
                assert answer.latency_ms > 0
                assert provider.asked[-1][2]["authorization"] == f"Bearer {KEY}"
                provider.status = 401
                answer = await here.setup.Check(v1.CheckRequest(provider=sent))
                assert (answer.ok, answer.status) == (False, 401)
                assert KEY not in answer.message
                code, _ = await refused(here.setup.Check(v1.CheckRequest()))
                assert code is grpc.StatusCode.INVALID_ARGUMENT

    run(scenario())


def test_where_there_is_a_file_nothing_is_asked_of_the_environment(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path, has_file=True) as here:
            answer = await here.setup.Detect(v1.DetectRequest())
            assert (answer.has_config, list(answer.found)) == (True, [])
            sent = v1.SetupProvider(type="zai", variable="MY_KEY")
            assert not (await here.setup.Check(v1.CheckRequest(provider=sent))).ok
            assert here.asked == []

    run(scenario())
