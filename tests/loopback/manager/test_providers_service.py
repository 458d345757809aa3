"""The service Providers over a real grpc.aio server and client."""

import asyncio
import time
from pathlib import Path

import grpc
import pytest

from ccrelay._fast.rate_limits import Cooldown
from ccrelay.config.fingerprint import fingerprint
from ccrelay.runtime.manager_link import OverridesCommand
from ccrelay.v1 import providers_pb2 as v1
from tests.loopback.manager.rig import CONFIG, refused, rig, run

INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION


def test_list_shows_no_secret(tmp_path: Path) -> None:
    async def main() -> v1.ProvidersListResponse:
        async with rig(tmp_path) as made:
            return await made.providers.List(v1.ProvidersListRequest())  # type: ignore[no-any-return]

    answer = run(main())
    assert "sk-test" not in str(answer)
    assert answer.providers[0].keys[0].fingerprint == fingerprint("sk-test-a")


def test_watch_sends_all_and_then_what_changed(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path) as made:
            call = made.providers.Watch(v1.ProvidersWatchRequest())
            assert [one.name for one in (await call.read()).providers] == ["one", "two"]
            made.worker("two").targets[0].limits.start_cooldown(time.monotonic() + 9, Cooldown.RATE)
            assert [one.name for one in (await call.read()).providers] == ["two"]
            text = CONFIG[: CONFIG.index("  - name: two")] + "routing: {strategy: failover}\n"
            (tmp_path / "ccrelay.yaml").write_text(text)
            from ccrelay.v1 import relay_pb2

            await made.relay.Reload(relay_pb2.ReloadRequest())
            assert list((await call.read()).removed) == ["two"]
            call.cancel()

    run(main())


def test_what_is_no_change_of_a_provider_is_not_sent(tmp_path: Path) -> None:
    from ccrelay.runtime.manager_link import WorkersChanged

    async def main() -> None:
        async with rig(tmp_path) as made:
            call = made.providers.Watch(v1.ProvidersWatchRequest())
            await call.read()
            reading = asyncio.ensure_future(call.read())
            made.app.on_message(WorkersChanged([]))  # the status differs, no provider does
            done, _ = await asyncio.wait([reading], timeout=0.6)
            assert not done
            made.worker("one").targets[0].limits.start_cooldown(time.monotonic() + 9, Cooldown.RATE)
            assert [one.name for one in (await reading).providers] == ["one"]
            call.cancel()

    run(main())


def test_a_provider_is_disabled_and_enabled_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path) as made:
            request = v1.SetEnabledRequest(provider="one", enabled=False)
            provider = (await made.providers.SetEnabled(request)).provider
            assert not provider.enabled
            assert {key.state for key in provider.keys} == {v1.Key.STATE_DISABLED}
            (override,) = provider.overrides
            assert (override.id, override.value, override.file_value) == (
                "one.enabled",
                "false",
                "true",
            )
            code, message = await refused(
                made.providers.SetEnabled(v1.SetEnabledRequest(provider="two", enabled=False))
            )
            assert code is PRECONDITION
            assert "last provider" in message
            # What the file says is no override.
            request = v1.SetEnabledRequest(provider="one", enabled=True)
            provider = (await made.providers.SetEnabled(request)).provider
            assert provider.enabled
            assert list(provider.overrides) == []
            listed = await made.providers.ListOverrides(v1.ListOverridesRequest())
            assert list(listed.overrides) == []
            sent = [
                c.overrides for c in made.supervisor.commands if isinstance(c, OverridesCommand)
            ]
            assert [len(overrides) for overrides in sent] == [1, 0]

    run(main())


def test_a_later_override_replaces_the_first(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path) as made:
            for weight in (5, 7):
                request = v1.SetWeightRequest(provider="one", key="b", weight=weight)
                provider = (await made.providers.SetWeight(request)).provider
            assert provider.keys[1].weight == 7
            listed = await made.providers.ListOverrides(v1.ListOverridesRequest())
            assert [(one.id, one.value, one.file_value) for one in listed.overrides] == [
                ("one/b.weight", "7", "1")
            ]

    run(main())


def test_overrides_made_at_the_same_time_all_hold(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path) as made:
            made.supervisor.delay_s = 0.02
            await asyncio.gather(
                made.providers.SetWeight(v1.SetWeightRequest(provider="one", key="a", weight=2)),
                made.providers.SetWeight(v1.SetWeightRequest(provider="one", key="b", weight=3)),
                made.providers.SetKeyEnabled(
                    v1.SetKeyEnabledRequest(provider="one", key="a", enabled=False)
                ),
            )
            listed = await made.providers.ListOverrides(v1.ListOverridesRequest())
            assert {one.id for one in listed.overrides} == {
                *("one/a.weight", "one/b.weight", "one/a.enabled")
            }

    run(main())


def test_a_change_whose_caller_has_left_is_done(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path) as made:
            made.supervisor.delay_s = 0.5
            request = v1.SetWeightRequest(provider="one", key="a", weight=2)
            code, _ = await refused(made.providers.SetWeight(request, timeout=0.1))
            assert code is grpc.StatusCode.DEADLINE_EXCEEDED
            await asyncio.sleep(1.0)
            listed = await made.providers.ListOverrides(v1.ListOverridesRequest())
            assert [one.id for one in listed.overrides] == ["one/a.weight"]

    run(main())


def test_the_last_key_stays(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path) as made:
            await made.providers.SetEnabled(v1.SetEnabledRequest(provider="one", enabled=False))
            request = v1.SetKeyEnabledRequest(provider="two", key="c", enabled=False)
            code, message = await refused(made.providers.SetKeyEnabled(request))
            assert code is PRECONDITION
            assert "last key" in message

    run(main())


@pytest.mark.parametrize("name", ["a", fingerprint("sk-test-a"), fingerprint("sk-test-a")[5:9]])
def test_keys_go_by_name_and_fingerprint(tmp_path: Path, name: str) -> None:
    async def main() -> None:
        async with rig(tmp_path) as made:
            request = v1.SetWeightRequest(provider="one", key=name, weight=3)
            answer = await made.providers.SetWeight(request)
            assert answer.provider.keys[0].weight == 3

    run(main())


@pytest.mark.parametrize(
    ("provider", "key", "code", "part"),
    [
        ("", "a", INVALID, "provider is missing"),
        ("one", "", INVALID, "key is missing"),
        ("nope", "a", NOT_FOUND, 'known: "one", "two"'),
        ("one", "nope", NOT_FOUND, 'known: "a", "b"'),
        ("one", "hmac:", NOT_FOUND, "no key"),
        ("ONE", "a", NOT_FOUND, "no provider"),
        ("one\x00\x1b[31m", "a", NOT_FOUND, "no provider"),
        ("x" * 100_000, "a", NOT_FOUND, "no provider"),
        ("one", "sk-test-a", NOT_FOUND, "no key"),
        ("one", "\u202e" * 50, NOT_FOUND, "no key"),
    ],
)
def test_names_that_are_none(
    tmp_path: Path, provider: str, key: str, code: grpc.StatusCode, part: str
) -> None:
    async def main() -> None:
        async with rig(tmp_path) as made:
            calls = [
                made.providers.SetWeight(v1.SetWeightRequest(provider=provider, key=key, weight=1)),
                made.providers.SetKeyEnabled(v1.SetKeyEnabledRequest(provider=provider, key=key)),
            ]
            if key:
                calls.append(
                    made.providers.ClearCooldown(
                        v1.ClearCooldownRequest(provider=provider, key=key)
                    )
                )
                calls.append(made.providers.Probe(v1.ProbeRequest(provider=provider, key=key)))
            for call in calls:
                found, message = await refused(call)
                assert found is code
                assert part in message
                assert message.isprintable()
                assert len(message) < 400
            assert made.supervisor.commands == []

    run(main())


@pytest.mark.parametrize("weight", [1001, 2**32 - 1])
def test_weights_have_a_limit(tmp_path: Path, weight: int) -> None:
    async def main() -> None:
        async with rig(tmp_path) as made:
            request = v1.SetWeightRequest(provider="one", key="a", weight=weight)
            assert (await refused(made.providers.SetWeight(request)))[0] is INVALID

    run(main())


def test_cooldowns_of_every_kind_are_ended(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path) as made:
            now = time.monotonic()
            first, second = made.worker("one").targets
            first.limits.start_cooldown(now + 600, Cooldown.QUOTA)
            first.limits.start_group_cooldown(1, now + 600)
            second.refusals.add(now, 30.0, 900.0)
            listed = await made.providers.List(v1.ProvidersListRequest())
            keys = listed.providers[0].keys
            assert [key.state for key in keys] == [v1.Key.STATE_COOLDOWN, v1.Key.STATE_REFUSED]
            assert keys[0].group_cooldowns[0].group == "opus"
            answer = await made.providers.ClearCooldown(
                v1.ClearCooldownRequest(provider="one", key="b")
            )
            assert answer.cleared == 1
            assert second.refusals.count() == 0
            answer = await made.providers.ClearCooldown(v1.ClearCooldownRequest(provider="one"))
            assert answer.cleared == 2
            assert {key.state for key in answer.provider.keys} == {v1.Key.STATE_IDLE}
            assert first.limits.reserve(now, 1, 1, group=1) is not None
            assert second.limits.reserve(now, 1, 1) is not None
            answer = await made.providers.ClearCooldown(v1.ClearCooldownRequest(provider="one"))
            assert answer.cleared == 0
            events = [fields for _, name, fields in made.log.events if name == "cooldowns_ended"]
            assert [(one["provider"], one["count"]) for one in events] == [("one", 1), ("one", 2)]

    run(main())


def test_overrides_are_written_to_the_file_and_are_none_any_more(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path) as made:
            await made.providers.SetEnabled(v1.SetEnabledRequest(provider="two", enabled=False))
            await made.providers.SetWeight(v1.SetWeightRequest(provider="one", key="b", weight=9))
            answer = await made.providers.WriteOverrides(
                v1.WriteOverridesRequest(ids=["two.enabled"])
            )
            file = tmp_path / "ccrelay.yaml"
            assert answer.file == str(file)
            assert answer.revision == 2
            expected = CONFIG.replace("# the second\n", "# the second\n    enabled: false\n")
            assert file.read_text() == expected
            assert file.stat().st_mode & 0o777 == 0o600
            listed = await made.providers.ListOverrides(v1.ListOverridesRequest())
            assert [one.id for one in listed.overrides] == ["one/b.weight"]
            await made.providers.WriteOverrides(v1.WriteOverridesRequest())
            assert "rpm_limit: 50" in file.read_text()
            assert "        weight: 9\n" in file.read_text()
            providers = (await made.providers.List(v1.ProvidersListRequest())).providers
            assert providers[0].keys[1].weight == 9
            assert not providers[1].enabled
            code, _ = await refused(made.providers.WriteOverrides(v1.WriteOverridesRequest()))
            assert code is PRECONDITION

    run(main())


def test_what_cannot_be_edited_is_told(tmp_path: Path) -> None:
    text = CONFIG.replace("name: a\n", "name: a\n        weight: &w 2\n")
    text = text.replace("name: b\n", "name: b\n        weight: *w\n")

    async def main() -> None:
        async with rig(tmp_path, text) as made:
            await made.providers.SetWeight(v1.SetWeightRequest(provider="one", key="a", weight=9))
            code, message = await refused(made.providers.WriteOverrides(v1.WriteOverridesRequest()))
            assert code is PRECONDITION
            assert "set weight to 9 in providers[0].keys[0] by hand" in message
            listed = await made.providers.ListOverrides(v1.ListOverridesRequest())
            assert len(listed.overrides) == 1

    run(main())


def test_a_file_that_changed_is_not_written_over(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path) as made:
            await made.providers.SetWeight(v1.SetWeightRequest(provider="one", key="b", weight=9))
            file = tmp_path / "ccrelay.yaml"
            file.write_text(CONFIG.replace("failover", "least-busy"))
            code, message = await refused(made.providers.WriteOverrides(v1.WriteOverridesRequest()))
            assert code is PRECONDITION
            assert "reload" in message
            assert file.read_text() == CONFIG.replace("failover", "least-busy")

    run(main())


def test_a_comment_does_not_stand_in_the_way(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path) as made:
            await made.providers.SetWeight(v1.SetWeightRequest(provider="one", key="b", weight=9))
            file = tmp_path / "ccrelay.yaml"
            file.write_text("# edited\n" + CONFIG)
            answer = await made.providers.WriteOverrides(v1.WriteOverridesRequest())
            assert answer.revision == 3
            assert file.read_text().startswith("# edited\n")
            assert "weight: 9" in file.read_text()

    run(main())


def test_overrides_are_dropped(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path) as made:
            await made.providers.SetWeight(v1.SetWeightRequest(provider="one", key="b", weight=9))
            await made.providers.SetEnabled(v1.SetEnabledRequest(provider="two", enabled=False))
            code, message = await refused(
                made.providers.DropOverrides(v1.DropOverridesRequest(ids=["nope\x07"]))
            )
            assert code is NOT_FOUND
            assert '"one/b.weight"' in message
            request = v1.DropOverridesRequest(ids=["one/b.weight"])
            assert (await made.providers.DropOverrides(request)).dropped == 1
            assert (await made.providers.DropOverrides(v1.DropOverridesRequest())).dropped == 1
            assert (await made.providers.DropOverrides(v1.DropOverridesRequest())).dropped == 0
            providers = (await made.providers.List(v1.ProvidersListRequest())).providers
            assert providers[1].enabled
            assert providers[0].keys[1].weight == 1

    run(main())


def test_without_a_file_overrides_cannot_be_written(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path, has_file=False) as made:
            await made.providers.SetEnabled(v1.SetEnabledRequest(provider="two", enabled=False))
            code, message = await refused(made.providers.WriteOverrides(v1.WriteOverridesRequest()))
            assert code is PRECONDITION
            assert "ccrelay init" in message

    run(main())


def test_a_client_credential_has_no_key_to_change(tmp_path: Path) -> None:
    text = "providers:\n- {name: login, type: anthropic, base_url: 'http://127.0.0.1:9'}\n"

    async def main() -> None:
        async with rig(tmp_path, text) as made:
            request = v1.SetWeightRequest(provider="login", key="client", weight=1)
            code, message = await refused(made.providers.SetWeight(request))
            assert code is PRECONDITION
            assert "no key of its own" in message

    run(main())
