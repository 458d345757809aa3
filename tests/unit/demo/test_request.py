import json

import pytest

from ccrelay.demo.request import parse_directives, parse_request
from ccrelay.errors import BadRequest


def user(*texts):
    return {"role": "user", "content": [{"type": "text", "text": text} for text in texts]}


def body(payload, *messages, **members):
    return json.dumps(
        payload(**members) | ({"messages": list(messages)} if messages else {})
    ).encode()


def test_the_prompt_is_the_last_user_text_without_reminders(payload):
    system = {"role": "system", "content": "# Environment, think of tools"}
    reminder = "<system-reminder>\ntools\n</system-reminder>\n"
    read = parse_request(body(payload, user("first"), system, user(reminder, "say hello"), system))
    assert read.prompt == "say hello"


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("<system-reminder>\ntools\n</system-reminder>\n say hello", "say hello"),
        ("say hello\n<system-reminder>never closed", "say hello"),
        ("<command-name>/compact</command-name>\n<command-message>c</command-message>", "before"),
        (
            "<command-message>fix</command-message>\n<command-name>/fix</command-name>\n"
            "<command-args>the build</command-args>",
            "the build",
        ),
        ("<local-command-stdout>Set model to opus</local-command-stdout>", "before"),
        ("<local-command-caveat>Caveat: ...</local-command-caveat>say hello", "say hello"),
        ("<bash-input>ls</bash-input>", "ls"),
        ("<bash-stdout>a\nb</bash-stdout><bash-stderr></bash-stderr>", "before"),
        ('<ide_opened_file>The user opened a.py</ide_opened_file>\nsay "a"', 'say "a"'),
        ("<ide_selection>\nx\n</ide_selection>say hello", "say hello"),
        ("<user-prompt-submit-hook>ran</user-prompt-submit-hook>say hello", "say hello"),
        ("<task-notification>\n<id>1</id>\n</task-notification>", "before"),
        ("x-anthropic-billing-header: cc_version=2.1.332.d01; cc_entrypoint=cli;", "before"),
        (
            "x-anthropic-billing-header: cc_version=2.1.332.d01;\nsay hello",
            "say hello",
        ),
        ("[Request interrupted by user for tool use]", "before"),
        ('<system-reminder kind="todo">x</system-reminder>say hello', "say hello"),
        ("<background-task-output>\nok\n</background-task-output>", "before"),
        ("<user-memory-input>use tabs</user-memory-input>", "use tabs"),
        ("<a-b><system-reminder>x</system-reminder>say hello", "<a-b>say hello"),
        ("<system-reminder><a-b>x</a-b></system-reminder>say hello", "say hello"),
        ("why does <div>a</div> break List<int>?", "why does <div>a</div> break List<int>?"),
        ("what is a <system> or a <my-tag> for?", "what is a <system> or a <my-tag> for?"),
    ],
)
def test_the_prompt_is_what_the_person_typed(payload, text, typed):
    assert parse_request(body(payload, user("before"), user(text))).prompt == typed
    assert parse_request(body(payload, user("before"), user(text, ""))).prompt == typed


def test_tool_results_are_counted_and_are_not_the_prompt(payload):
    call = {"role": "assistant", "content": [{"type": "tool_use", "id": "a"}]}
    results = {"role": "user", "content": [{"type": "tool_result", "content": "x"}] * 2}
    read = parse_request(body(payload, user("use a tool"), call, results))
    assert (read.prompt, read.tool_results) == ("use a tool", 2)
    assert parse_request(body(payload, user("a"), call, results, user("b"))).tool_results == 0


@pytest.mark.parametrize(
    ("thinking", "enabled", "omitted"),
    [
        (None, False, False),
        ({"type": "disabled"}, False, False),
        ({"type": "adaptive", "display": "omitted"}, True, True),
        ({"type": "enabled", "budget_tokens": 2000}, True, False),
    ],
)
def test_thinking_follows_the_request(payload, thinking, enabled, omitted):
    read = parse_request(body(payload, thinking=thinking))
    assert (read.thinking, read.thinking_omitted) == (enabled, omitted)


def test_server_tools_are_ignored(payload):
    tools = [{"type": "web_search_20250305", "name": "web_search"}, {"name": "Bash"}]
    assert list(parse_request(body(payload, tools=tools)).tools) == ["Bash"]


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        (b"", "truncated"),
        (b"\xff", "read"),
        (b"[]", "object"),
        (b'{"messages":[{"role":"user","content":"x"}],"max_tokens":1}', "model"),
        (b'{"model":"m","max_tokens":1}', "messages"),
        (b'{"model":"m","max_tokens":1,"messages":[]}', "messages"),
        (b'{"model":"m","messages":[{"role":"user","content":"x"}]}', "max_tokens"),
        (b'{"model":"m","max_tokens":1,"messages":[{"content":"x"}]}', "role"),
    ],
)
def test_required_fields(raw, word):
    with pytest.raises(BadRequest) as caught:
        parse_request(raw)
    assert word in caught.value.message


def test_count_tokens_needs_no_max_tokens():
    raw = b'{"model":"m","messages":[{"role":"user","content":"x"}]}'
    assert parse_request(raw, counting=True).usage.input == -(-len(raw) // 4)


def test_unknown_fields_are_ignored(payload):
    assert parse_request(body(payload, future={"a": [1]}, safeguards=None)).model == "m"


def test_directives_are_parsed_and_text_takes_the_rest_of_its_line():
    found = parse_directives("go demo:deltas=5 demo:gap_ms=1.5 demo:text=a b demo:tools=9\nmore")
    assert (found.deltas, found.gap_ms, found.text, found.tools) == (5, 1.5, "a b demo:tools=9", 2)
    named = parse_directives(
        "demo:tool=get_weather demo:tools=3 demo:fault=status=529,retry_after=1"
    )
    assert (named.tool, named.tools, named.fault) == ("get_weather", 3, "status=529,retry_after=1")


@pytest.mark.parametrize("word", ["deltas=x", "deltas=-1", "gap_ms=1e9", "gap_ms=nan", "tools=65"])
def test_invalid_directives_are_rejected(word):
    with pytest.raises(BadRequest):
        parse_directives(f"demo:{word}")


def test_without_cache_control_all_input_is_uncached(payload):
    raw = body(payload)
    usage = parse_request(raw).usage
    assert (usage.input, usage.cache_read, usage.cache_write_5m) == (-(-len(raw) // 4), 0, 0)


def test_the_cached_prefix_is_read_and_the_rest_written(payload):
    system = [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}]
    raw = body(payload, user("x" * 4000), {"role": "assistant", "content": "ok"}, system=system)
    new = parse_request(raw)
    assert (new.usage.cache_read, new.usage.cache_write_1h) == (0, 0)
    assert new.usage.cache_write_5m > 1000
    after = new.with_cached(new.prefix.prefixes[1][1]).usage
    assert after.cache_read > 1000 > after.cache_write_5m > 0
    for usage in (new.usage, after, new.with_cached(len(raw)).usage):
        assert usage.input + usage.cache_read + usage.cache_write_5m == -(-len(raw) // 4)
    assert new.with_cached(len(raw)).usage.cache_write_5m == 0


def test_no_prefix_without_cache_control_or_with_given_usage(payload):
    assert parse_request(body(payload)).prefix is None
    mark = {"type": "ephemeral"}
    assert parse_request(body(payload, prompt="demo:input=9", cache_control=mark)).prefix is None
    assert parse_request(body(payload, cache_control=mark)).prefix.ttl_s == 300


def test_cache_control_on_tools_or_system_marks_a_shared_prefix(payload):
    mark = {"type": "ephemeral", "ttl": "1h"}
    tools = [{"name": "Bash", "cache_control": mark}]
    assert parse_request(body(payload, tools=tools)).prefix.has_shared
    assert parse_request(body(payload, tools=tools)).prefix.ttl_s == 3600
    assert not parse_request(body(payload, cache_control=mark)).prefix.has_shared


def test_a_ttl_of_1h_counts_as_a_one_hour_write(payload):
    block = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    usage = parse_request(body(payload, {"role": "user", "content": [block]})).usage
    assert usage.cache_write_1h > 0
    assert usage.cache_write_5m == 0
    assert (
        parse_request(body(payload, cache_control={"type": "ephemeral"})).usage.cache_write_5m > 0
    )


def test_directives_set_the_usage(payload):
    given = parse_request(body(payload, prompt="demo:input=900 demo:cache_read=50")).usage
    assert (given.input, given.cache_read, given.limited) == (900, 50, 900)
    raw = body(payload, prompt="demo:cache_read=50", cache_control={"type": "ephemeral"})
    read = parse_request(raw).usage
    assert (read.input, read.cache_read, read.cache_write_5m) == (-(-len(raw) // 4), 50, 0)


def test_cache_writes_count_against_limits_and_reads_do_not(payload):
    mark = [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}]
    read = parse_request(body(payload, user("y" * 4000), user("next"), system=mark))
    assert read.usage.limited == read.usage.input + read.usage.cache_write_5m > 1000
    usage = read.with_cached(read.prefix.prefixes[1][1]).usage
    assert usage.limited == usage.input + usage.cache_write_5m
    assert usage.cache_read > usage.limited
