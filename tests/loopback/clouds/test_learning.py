"""What a cloud refuses is left out, once learned for all, and never more than allowed."""

import json

from ccrelay._fast.shared_memory import SharedMemory
from ccrelay.fleet import refused_features
from ccrelay.relay import exchange_bridging
from tests.loopback.clouds.clouds import BODY, MODEL, asked, cloud, issue
from tests.loopback.relay.harness import Lab, provider, routing
from tests.loopback.relay.scripts import JSON, Turns
from tests.loopback.relay.wires import fault, response

BETAS = (
    b"anthropic-beta",
    b"claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27",
)
MEMBERS = json.dumps(
    {
        "model": MODEL,
        "max_tokens": 8,
        "messages": [{"role": "user", "content": "hi"}],
        "output_config": {"effort": "low"},
        "context_management": {"edits": []},
        "thinking": {"type": "adaptive"},
    }
).encode()


def refusing(text: str) -> bytes:
    return fault(400, "invalid_request_error", text)


EXTRA = "Extra inputs are not permitted"


async def test_a_refused_member_is_left_out_at_once_and_from_then_on(lab: Lab) -> None:
    turns = Turns(refusing(f"context_management: {EXTRA}"), JSON)
    lab.start(cloud("azure", lab.upstream(turns)))
    issue(lab, "azure")
    for _ in range(2):
        assert (await lab.ask(asked(MEMBERS, BETAS))).status == 200
    sent = [json.loads(request.body) for request in turns.got]
    assert ["context_management" in one for one in sent] == [True, False, False]
    assert all(one["messages"] == json.loads(MEMBERS)["messages"] for one in sent)
    betas = [request.get(b"anthropic-beta") or b"" for request in turns.got]
    assert [b"context-management" in one for one in betas] == [True, False, False]
    (event,) = lab.sink.named("feature_refused")
    assert (event["provider"], event["model"]) == ("azure", MODEL)
    assert "context" in str(event["feature"])
    first, second = lab.sink.records
    assert (first["attempts"], second["attempts"]) == (2, 1)
    # It is no failure of anything.
    state = lab.relay.providers[0]
    assert state.targets[0].limits.cooldown_until() == 0.0
    assert state.endpoint.breaker.available(lab.relay.reactor.now)


async def test_three_features_are_left_out_of_one_request_and_no_more(lab: Lab) -> None:
    texts = ["context_management", "output_config", "thinking", "metadata"]
    turns = Turns(*(refusing(f"{name}: {EXTRA}") for name in texts))
    lab.start(cloud("azure", lab.upstream(turns)))
    issue(lab, "azure")
    body = json.dumps({**json.loads(MEMBERS), "metadata": {"user_id": "u"}}).encode()
    answer = await lab.ask(asked(body, BETAS))
    assert answer.status == 400
    assert len(turns.got) <= 4
    assert len(lab.sink.named("feature_refused")) <= 3


async def test_what_is_refused_all_the_same_is_told_to_the_client(lab: Lab) -> None:
    turns = Turns(refusing(f"context_management: {EXTRA}"))
    lab.start(cloud("azure", lab.upstream(turns)))
    issue(lab, "azure")
    answer = await lab.ask(asked(MEMBERS, BETAS))
    assert answer.status == 400
    assert "context_management" in answer.json()["error"]["message"]
    assert len(turns.got) == 2


async def test_content_is_never_left_out(lab: Lab) -> None:
    turns = Turns(refusing(f"messages: {EXTRA}"))
    lab.start(cloud("azure", lab.upstream(turns)))
    issue(lab, "azure")
    assert (await lab.ask(asked(BODY, BETAS))).status == 400
    assert len(turns.got) == 1
    assert lab.sink.named("feature_refused") == []


async def test_anthropic_itself_gets_what_the_client_sends(lab: Lab) -> None:
    turns = Turns(refusing(f"context_management: {EXTRA}"))
    lab.start(provider(lab.upstream(turns), "anthropic", type="anthropic", auth=None))
    assert (await lab.ask(asked(MEMBERS, BETAS))).status == 400
    assert [request.body for request in turns.got] == [MEMBERS]


async def test_the_next_provider_gets_the_whole_request(lab: Lab) -> None:
    first = Turns(refusing(f"context_management: {EXTRA}"), fault(529, "overloaded_error", "Full"))
    second = Turns(JSON)
    lab.start(
        cloud("azure", lab.upstream(first)),
        provider(lab.upstream(second), "second"),
        routing=routing(strategy="failover"),
    )
    issue(lab, "azure")
    assert (await lab.ask(asked(MEMBERS, BETAS))).status == 200
    assert second.got[0].body == MEMBERS


async def test_a_large_body_is_bridged_again_in_the_thread(lab: Lab) -> None:
    turns = Turns(refusing(f"context_management: {EXTRA}"), JSON)
    lab.start(cloud("azure", lab.upstream(turns)))
    issue(lab, "azure")
    large = {**json.loads(MEMBERS), "messages": [{"role": "user", "content": "x" * 200_000}]}
    assert (await lab.ask(asked(json.dumps(large).encode(), BETAS))).status == 200
    assert "context_management" not in json.loads(turns.got[1].body)


async def test_count_tokens_learns_too(lab: Lab) -> None:
    turns = Turns(refusing(f"context_management: {EXTRA}"), response(200, b'{"input_tokens":3}'))
    lab.start(cloud("azure", lab.upstream(turns)))
    issue(lab, "azure")
    answer = await lab.ask(asked(MEMBERS, BETAS, path=b"/v1/messages/count_tokens"))
    assert answer.json() == {"input_tokens": 3}


async def test_what_one_worker_learns_the_others_know(lab: Lab) -> None:
    turns = Turns(refusing(f"context_management: {EXTRA}"), JSON)
    upstream = lab.upstream(turns)
    memory = SharedMemory.private(workers=2, targets=4, endpoints=4, bindings=8)
    for number in range(2):
        relay = lab.start(cloud("azure", upstream), memory=memory)
        issue(lab, "azure")
        assert (await lab.ask(asked(MEMBERS, BETAS))).status == 200
        if number == 0:
            await lab.stop(relay)
    assert ["context_management" in json.loads(one.body) for one in turns.got] == [
        True,
        False,
        False,
    ]
    assert len(lab.sink.named("feature_refused")) == 1


async def test_what_counting_refuses_messages_go_on_sending(lab: Lab) -> None:
    counted = response(200, b'{"input_tokens":3}')
    turns = Turns(refusing(f"context_management: {EXTRA}"), counted, JSON, counted)
    lab.start(cloud("azure", lab.upstream(turns)))
    issue(lab, "azure")
    path = b"/v1/messages/count_tokens"
    assert (await lab.ask(asked(MEMBERS, BETAS, path=path))).status == 200
    assert (await lab.ask(asked(MEMBERS, BETAS))).status == 200
    assert (await lab.ask(asked(MEMBERS, BETAS, path=path))).status == 200
    had = ["context_management" in json.loads(request.body) for request in turns.got]
    assert had == [True, False, True, False]


async def test_where_there_is_no_cloud_nothing_is_read_for_one(lab: Lab) -> None:
    lab.start(provider(lab.upstream(Turns(JSON))))
    assert lab.relay.context.refused is None


def test_counts_have_one_name() -> None:
    """The exchange has its own, because a relay without clouds does not load the other."""
    assert exchange_bridging.COUNTED == refused_features.COUNTED


async def test_a_guess_that_does_not_help_is_forgotten(lab: Lab) -> None:
    turns = Turns(refusing("invalid beta flag"))
    lab.start(cloud("azure", lab.upstream(turns)))
    issue(lab, "azure")
    assert (await lab.ask(asked(MEMBERS, BETAS))).status == 400
    assert len(turns.got) > 1
    assert lab.sink.named("feature_refused") == []


async def test_a_guess_that_helps_is_kept(lab: Lab) -> None:
    turns = Turns(refusing("invalid beta flag"), JSON)
    lab.start(cloud("azure", lab.upstream(turns)))
    issue(lab, "azure")
    for _ in range(2):
        assert (await lab.ask(asked(MEMBERS, BETAS))).status == 200
    assert lab.sink.named("feature_refused") != []
    assert [record["attempts"] for record in lab.sink.records] == [2, 1]


async def test_only_what_the_request_had_is_guessed(lab: Lab) -> None:
    turns = Turns(refusing("invalid beta flag"), JSON)
    lab.start(cloud("azure", lab.upstream(turns)))
    issue(lab, "azure")
    betas = (b"anthropic-beta", b"claude-code-20250219,context-1m-2025-08-07")
    assert (await lab.ask(asked(BODY, betas))).status == 200
    sent = [request.get(b"anthropic-beta") or b"" for request in turns.got]
    assert [b"context-1m" in one for one in sent] == [True, False]
    (event,) = lab.sink.named("feature_refused")
    assert event["feature"] == "long_context"


async def test_without_a_beta_to_guess_the_client_hears_it_at_once(lab: Lab) -> None:
    turns = Turns(refusing("invalid beta flag"))
    lab.start(cloud("azure", lab.upstream(turns)))
    issue(lab, "azure")
    assert (await lab.ask(asked(BODY))).status == 400
    assert len(turns.got) == 1
