"""All credentials kept fresh, with scripted sources and a clock that the test turns."""

import asyncio
import random
import threading
import time

import msgspec

from ccrelay.config.model import Credential
from ccrelay.credentials.calls import Calls, TooManyAbandoned
from ccrelay.credentials.issuer import Issuer, stamps
from ccrelay.credentials.renewal import Now
from ccrelay.credentials.source import Obtained, ObtainFailed, Source, WatchedFiles
from ccrelay.runtime.credentials_link import CredentialEntry
from ccrelay.wire.cloud_credential import BearerToken, IssuedCredential

DOWN = ObtainFailed("it is down", "wait", is_final=False)


def entry(name: str = "a", secret: str | None = None) -> CredentialEntry:
    credential = Credential(client_secret=secret)
    return CredentialEntry(name, "credential:{}", "main", "azure", "", credential)


class FakeSource(Source):
    """Gives what its world says."""

    def __init__(self, made_for, world):
        super().__init__(made_for)
        self.world = world

    def obtain(self):
        self.world.calls.append(self.entry.provider)
        self.world.gate.wait(20)
        result = self.world.results.get(self.entry.provider, self.world.count)
        if callable(result):
            result = result()
        if isinstance(result, Exception):
            raise result
        return result

    def explain(self, error):
        return ObtainFailed(f"explained {type(error).__name__}", "wait", is_final=False)

    def files(self):
        return self.world.files


class World:
    """An issuer whose clock stands still."""

    def __init__(self, *issued: IssuedCredential, limit_s: float = 20.0) -> None:
        self.at = 0.0
        self.calls: list[str] = []
        self.results: dict[str, object] = {}
        self.gate = threading.Event()
        self.gate.set()
        self.files = WatchedFiles()
        self.issued: list[IssuedCredential] = []
        self.events: list[tuple] = []
        self.number = 0
        self.issuer = Issuer(
            issued,
            self.issued.extend,
            lambda level, event, **fields: self.events.append((level, event, fields)),
            lambda: Now(1_000_000.0 + self.at, self.at),
            Calls(limit_s),
            lambda made_for: FakeSource(made_for, self),
            random.Random(1),
        )

    def count(self) -> Obtained:
        self.number += 1
        expires_at = 1_000_000.0 + self.at + 3600.0
        return Obtained(BearerToken(f"test-token-{self.number}"), expires_at, "fake")

    async def until(self, condition) -> None:
        ends_at = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < ends_at
            await asyncio.sleep(0.002)

    async def has_issued(self, count: int) -> IssuedCredential:
        await self.until(lambda: len(self.issued) >= count)
        return self.issued[count - 1]


def run(scenario) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 30))


def test_every_entry_is_obtained_and_renewed():
    async def scenario():
        world = World()
        world.issuer.set_entries([entry("a"), entry("b")])
        await world.has_issued(2)
        assert {(one.provider, one.serial) for one in world.issued} == {("a", 1), ("b", 1)}
        world.at = 3000.0
        world.issuer.tick()
        await world.has_issued(4)
        assert {(one.provider, one.serial) for one in world.issued[2:]} == {("a", 2), ("b", 2)}

    run(scenario)


def test_one_call_of_an_entry_at_a_time():
    async def scenario():
        world = World()
        world.gate.clear()
        world.issuer.set_entries([entry()])
        await world.until(lambda: world.calls)
        for _ in range(5):
            world.issuer.refused("a", "credential:{}", 0)
            world.issuer.tick()
        world.gate.set()
        await world.has_issued(1)
        world.issuer.tick()
        assert world.calls == ["a"]

    run(scenario)


def test_an_entry_that_stays_is_not_asked_for_again_and_one_that_goes_is_not_told():
    async def scenario():
        world = World()
        world.issuer.set_entries([entry("a"), entry("b")])
        await world.has_issued(2)
        world.gate.clear()
        world.at = 3000.0
        world.issuer.tick()
        await world.until(lambda: len(world.calls) == 4)
        world.issuer.set_entries([entry("a")])
        world.gate.set()
        await world.has_issued(3)
        await asyncio.sleep(0.05)
        assert [one.provider for one in world.issued[2:]] == ["a"]

    run(scenario)


def test_another_secret_under_the_same_name_goes_on_with_the_serial():
    async def scenario():
        world = World()
        world.issuer.set_entries([entry("a", "test-secret-1")])
        await world.has_issued(1)
        world.issuer.set_entries([entry("a", "test-secret-2")])
        assert (await world.has_issued(2)).serial == 2

    run(scenario)


def test_serials_go_on_from_a_process_before():
    async def scenario():
        before = IssuedCredential("a", "credential:{}", BearerToken("test-token-0"), 5, 1_000_900.0)
        world = World(before)
        world.issuer.set_entries([entry()])
        assert (await world.has_issued(1)).serial == 6

    run(scenario)


def test_a_source_that_fails_is_tried_again():
    async def scenario():
        world = World()
        world.results["a"] = DOWN
        world.issuer.set_entries([entry()])
        failed = await world.has_issued(1)
        assert (failed.secret, failed.error) == (None, "it is down; wait")
        world.results["a"] = ZeroDivisionError("what a library may raise")
        world.at = 2.0
        world.issuer.tick()
        assert "explained ZeroDivisionError" in (await world.has_issued(2)).error
        del world.results["a"]
        world.at = 10.0
        world.issuer.tick()
        good = await world.has_issued(3)
        assert (good.serial, good.error) == (1, "")
        assert [event for _, event, _ in world.events][-2:] == [
            "credential_recovered",
            "credential_issued",
        ]

    run(scenario)


def test_a_library_that_is_missing_is_a_failure_of_that_entry_only():
    async def scenario():
        world = World()

        def make(made_for):
            if made_for.provider == "a":
                raise ObtainFailed("it cannot be imported", "install it", is_final=True)
            return FakeSource(made_for, world)

        world.issuer._make_source = make
        world.issuer.set_entries([entry("a"), entry("b")])
        await world.has_issued(2)
        assert {one.provider: bool(one.secret) for one in world.issued} == {"a": False, "b": True}

    run(scenario)


def test_a_call_that_hangs_is_given_up_and_said():
    async def scenario():
        world = World(limit_s=0.05)
        world.gate.clear()
        world.issuer.set_entries([entry()])
        failed = await world.has_issued(1)
        assert "no answer within 0.05 s" in failed.error
        assert ("warning", "credential_call_abandoned") in [one[:2] for one in world.events]
        world.gate.set()
        world.at = 2.0
        world.issuer.tick()
        assert (await world.has_issued(2)).serial == 1

    run(scenario)


def test_too_many_hanging_calls_end_the_process():
    async def scenario():
        world = World()

        async def refuse(_):
            raise TooManyAbandoned("so many")

        world.issuer._calls.run = refuse
        world.issuer.set_entries([entry()])
        await world.until(lambda: world.issuer.failure)
        assert isinstance(world.issuer.failure, TooManyAbandoned)
        await world.issuer.close()

    run(scenario)


def test_a_refused_credential_is_obtained_again():
    async def scenario():
        world = World()
        world.issuer.set_entries([entry()])
        await world.has_issued(1)
        world.at = 60.0
        world.issuer.refused("a", "credential:{}", 1)
        assert (await world.has_issued(2)).serial == 2
        world.issuer.refused("nobody", "credential:{}", 1)

    run(scenario)


def test_a_file_that_is_replaced_is_noticed(tmp_path):
    async def scenario():
        world = World()
        settings, cache = tmp_path / "settings", tmp_path / "cache"
        settings.write_text("1")
        cache.mkdir()
        world.files = WatchedFiles((str(settings),), (str(cache),))
        world.issuer.set_entries([entry()])
        await world.has_issued(1)
        world.issuer.look_at_files()
        (cache / "token.json").write_text("new")
        world.issuer.look_at_files()
        settings.write_text("22")
        world.issuer.look_at_files()
        assert (await world.has_issued(2)).serial == 2
        assert world.calls == ["a", "a"]
        world.results["a"] = DOWN
        world.issuer.refused("a", "credential:{}", 2)
        world.at = 10.0
        world.issuer.tick()
        await world.has_issued(3)
        del world.results["a"]
        (cache / "token.json").write_text("a new login")
        world.issuer.look_at_files()
        assert (await world.has_issued(4)).serial == 3

    run(scenario)


def test_stamps_of_strange_paths(tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    (tmp_path / "link").symlink_to(file)
    (tmp_path / "dead").symlink_to(tmp_path / "nothing")
    found = [one[0] for one in stamps([str(tmp_path), "", "/nonexistent", "\0", str(file)])]
    assert found == [str(file), str(tmp_path / "link"), str(file)]
    assert msgspec.json.encode(stamps(["/dev/null"])) == b"[]"
