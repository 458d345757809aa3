import json

import pytest

from ccrelay.demo.ask import read_ask, read_directives
from ccrelay.errors import BadRequest


def user(*texts):
    return {"role": "user", "content": [{"type": "text", "text": text} for text in texts]}


def body(ask, *messages, **members):
    return json.dumps(ask(**members) | ({"messages": list(messages)} if messages else {})).encode()


def test_the_prompt_is_the_last_user_text_without_what_the_client_added(ask):
    system = {"role": "system", "content": "# Environment, think of tools"}
    reminder = "<system-reminder>\ntools\n</system-reminder>\n"
    read = read_ask(body(ask, user("first"), system, user(reminder, "say hello"), system))
    assert read.prompt == "say hello"


def test_tool_results_leave_the_prompt_standing_and_are_counted(ask):
    call = {"role": "assistant", "content": [{"type": "tool_use", "id": "a"}]}
    results = {"role": "user", "content": [{"type": "tool_result", "content": "x"}] * 2}
    read = read_ask(body(ask, user("use a tool"), call, results))
    assert (read.prompt, read.tool_results) == ("use a tool", 2)
    assert read_ask(body(ask, user("a"), call, results, user("b"))).tool_results == 0


@pytest.mark.parametrize(
    ("thinking", "thinks", "omitted"),
    [
        (None, False, False),
        ({"type": "disabled"}, False, False),
        ({"type": "adaptive", "display": "omitted"}, True, True),
        ({"type": "enabled", "budget_tokens": 2000}, True, False),
    ],
)
def test_thinking_follows_the_request(ask, thinking, thinks, omitted):
    read = read_ask(body(ask, thinking=thinking))
    assert (read.thinks, read.thinking_omitted) == (thinks, omitted)


def test_server_tools_are_not_offered_to_the_demo(ask):
    tools = [{"type": "web_search_20250305", "name": "web_search"}, {"name": "Bash"}]
    assert list(read_ask(body(ask, tools=tools)).tools) == ["Bash"]


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
def test_what_anthropic_requires_is_required_here_too(raw, word):
    with pytest.raises(BadRequest) as caught:
        read_ask(raw)
    assert word in caught.value.message


def test_counting_needs_no_max_tokens():
    raw = b'{"model":"m","messages":[{"role":"user","content":"x"}]}'
    assert read_ask(raw, counting=True).usage.input == -(-len(raw) // 4)


def test_members_nobody_knows_yet_are_ignored(ask):
    assert read_ask(body(ask, future={"a": [1]}, safeguards=None)).model == "m"


def test_directives_are_found_among_words_and_text_takes_its_whole_line():
    found = read_directives("go demo:deltas=5 demo:gap_ms=1.5 demo:text=a b demo:tools=9\nmore")
    assert (found.deltas, found.gap_ms, found.text, found.tools) == (5, 1.5, "a b demo:tools=9", 2)
    named = read_directives(
        "demo:tool=get_weather demo:tools=3 demo:fault=status=529,retry_after=1"
    )
    assert (named.tool, named.tools, named.fault) == ("get_weather", 3, "status=529,retry_after=1")


@pytest.mark.parametrize("word", ["deltas=x", "deltas=-1", "gap_ms=1e9", "gap_ms=nan", "tools=65"])
def test_a_directive_without_meaning_is_refused(word):
    with pytest.raises(BadRequest):
        read_directives(f"demo:{word}")


def test_without_cache_marks_all_input_is_uncached(ask):
    raw = body(ask)
    usage = read_ask(raw).usage
    assert (usage.input, usage.cache_read, usage.cache_write_5m) == (-(-len(raw) // 4), 0, 0)


def test_what_is_cached_is_read_and_the_rest_is_written(ask):
    system = [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}]
    raw = body(ask, user("x" * 4000), {"role": "assistant", "content": "ok"}, system=system)
    new = read_ask(raw)
    assert (new.usage.cache_read, new.usage.cache_write_1h) == (0, 0)
    assert new.usage.cache_write_5m > 1000
    after = new.after(new.prefix.beginnings[1][1]).usage
    assert after.cache_read > 1000 > after.cache_write_5m > 0
    for usage in (new.usage, after, new.after(len(raw)).usage):
        assert usage.input + usage.cache_read + usage.cache_write_5m == -(-len(raw) // 4)
    assert new.after(len(raw)).usage.cache_write_5m == 0


def test_where_nothing_is_marked_or_usage_is_given_there_is_nothing_to_cache(ask):
    assert read_ask(body(ask)).prefix is None
    mark = {"type": "ephemeral"}
    assert read_ask(body(ask, prompt="demo:input=9", cache_control=mark)).prefix is None
    assert read_ask(body(ask, cache_control=mark)).prefix.ttl_s == 300


def test_a_mark_on_tools_or_system_is_one_on_what_conversations_share(ask):
    mark = {"type": "ephemeral", "ttl": "1h"}
    tools = [{"name": "Bash", "cache_control": mark}]
    assert read_ask(body(ask, tools=tools)).prefix.has_common
    assert read_ask(body(ask, tools=tools)).prefix.ttl_s == 3600
    assert not read_ask(body(ask, cache_control=mark)).prefix.has_common


def test_an_hour_of_life_counts_as_a_one_hour_write(ask):
    block = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    usage = read_ask(body(ask, {"role": "user", "content": [block]})).usage
    assert usage.cache_write_1h > 0
    assert usage.cache_write_5m == 0
    assert read_ask(body(ask, cache_control={"type": "ephemeral"})).usage.cache_write_5m > 0


def test_a_prompt_may_say_how_many_tokens_it_is(ask):
    told = read_ask(body(ask, prompt="demo:input=900 demo:cache_read=50")).usage
    assert (told.input, told.cache_read, told.limited) == (900, 50, 900)
    raw = body(ask, prompt="demo:cache_read=50", cache_control={"type": "ephemeral"})
    read = read_ask(raw).usage
    assert (read.input, read.cache_read, read.cache_write_5m) == (-(-len(raw) // 4), 50, 0)


def test_cache_writes_count_against_limits_and_reads_do_not(ask):
    mark = [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}]
    read = read_ask(body(ask, user("y" * 4000), user("next"), system=mark))
    assert read.usage.limited == read.usage.input + read.usage.cache_write_5m > 1000
    usage = read.after(read.prefix.beginnings[1][1]).usage
    assert usage.limited == usage.input + usage.cache_write_5m
    assert usage.cache_read > usage.limited
