"""The demo's prompt cache, by itself and through requests; no socket, and a clock of its own."""

import copy

import pytest

from ccrelay.demo import prompt_cache
from ccrelay.demo.handler import RequestHandler
from ccrelay.demo.http1 import RequestHead
from ccrelay.demo.limits import Limiter, Quotas
from ccrelay.demo.plan import RequestContext
from ccrelay.demo.prompt_cache import Prefix, PromptCache
from ccrelay.demo.script import Script, ScriptRun
from tests.unit.demo.conftest import NOW

MARK = {"type": "ephemeral"}
LONG = "word " * 800


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def text(words, mark=None):
    block = {"type": "text", "text": words}
    return block if mark is None else {**block, "cache_control": mark}


def user(*blocks):
    return {"role": "user", "content": list(blocks)}


ANSWER = {"role": "assistant", "content": [text("an answer")]}


class Demo:
    """One mock: a cache, limits, and requests that are conducted to their end."""

    def __init__(self, payload, context, run, limits=""):
        self.clock = Clock()
        self.cache = PromptCache(self.clock)
        self.limiter = Limiter(Quotas.parse(limits), self.clock)
        self._payload, self._context, self._run = (
            payload,
            context,
            run,
        )

    def send(self, *messages, key="k1", script="ok", **members):
        """Send a request; return its usage, None for an error."""
        members = {"stream": False, "cache_control": None, **members}
        body = self._context({**self._payload(**members), "messages": list(messages)}).body
        head = RequestHead("POST", "/v1/messages", 1, [("x-api-key", key)])
        made = RequestContext(head, serial="s", now=NOW, gap_s=0.0, cache=self.cache)
        steps = RequestHandler(made, ScriptRun(Script.parse(script)), self.limiter).steps()
        result = self._run(steps, made, body).document()
        return result.get("usage")

    def tokens(self, *messages, **how):
        """Input tokens written and read."""
        usage = self.send(*messages, **how)
        return usage["cache_creation_input_tokens"], usage["cache_read_input_tokens"]


@pytest.fixture
def demo(payload, context, run):
    return Demo(payload, context, run)


def test_the_first_request_writes_and_the_second_reads(demo):
    written, read = demo.tokens(user(text(LONG, MARK)))
    assert (read, written > 900) == (0, True)
    assert demo.tokens(user(text(LONG, MARK))) == (0, written)


def test_the_next_turn_reads_the_previous_one(demo):
    first = user(text(LONG, MARK))
    written, _ = demo.tokens(first)
    # As text, as Claude Code writes a message without a mark.
    plain = {"role": "user", "content": LONG}
    grown, read = demo.tokens(plain, ANSWER, user(text("next", MARK)))
    assert abs(read - written) < 20
    assert 0 < grown < 60


def test_the_cache_belongs_to_one_key_and_server(demo, payload, context, run):
    turn = [user(text(LONG)), ANSWER, user(text("next", MARK))]
    written, read = demo.tokens(*turn)
    assert read == 0
    assert demo.tokens(*turn, key="k2") == (written, 0)
    assert Demo(payload, context, run).tokens(*turn) == (written, 0)
    assert demo.tokens(*turn, key="k2") == demo.tokens(*turn) == (0, written)


def test_an_uncached_prompt_counts_against_the_input_limit(payload, context, run):
    demo = Demo(payload, context, run, limits="itpm=1500")
    turn = user(text(LONG, MARK))
    assert demo.send(turn)
    assert demo.send(turn)
    assert demo.send(user(text("other " + LONG, MARK))) is None
    assert demo.send(turn, key="k2")
    assert demo.send(turn)["cache_read_input_tokens"] > 900


@pytest.mark.parametrize(("ttl", "lives_s"), [(None, 300), ("5m", 300), ("1h", 3600)])
def test_an_entry_expires_its_ttl_after_the_last_use(demo, ttl, lives_s):
    mark = MARK if ttl is None else {**MARK, "ttl": ttl}
    turn = user(text(LONG, mark))
    written, _ = demo.tokens(turn)
    for _ in range(2):
        demo.clock.now += lives_s - 1
        assert demo.tokens(turn) == (0, written)
    demo.clock.now += lives_s
    assert demo.tokens(turn) == (written, 0)


def test_conversations_share_cached_system_and_tools(demo):
    system = [text("x-anthropic-billing-header: 1"), text(LONG, MARK)]
    written, _ = demo.tokens(user(text("a")), system=system)
    system[0] = text("x-anthropic-billing-header: 2")
    rest, read = demo.tokens(user(text("another question")), system=system)
    assert 900 < read < written
    assert rest < 40
    assert demo.tokens(user(text("b")), system=[text("s" + LONG, MARK)])[1] == 0


def test_a_different_prefix_or_model_is_not_read(demo):
    turn = [user(text(LONG)), ANSWER, user(text("next", MARK))]
    demo.send(*turn)
    changed = copy.deepcopy(turn)
    changed[1]["content"][0]["text"] = "another answer"
    assert demo.tokens(*changed)[1] == 0
    assert demo.tokens(*turn, model="m2")[1] == 0
    assert demo.tokens(*turn, tools=[{"name": "Bash"}])[1] == 0


def test_a_failed_request_is_not_cached(demo):
    turn = user(text(LONG, MARK))
    assert demo.send(turn, script="529") is None
    assert demo.tokens(turn)[1] == 0


def test_without_cache_control_nothing_is_cached(demo):
    turn = user(text(LONG))
    for _ in range(2):
        assert demo.tokens(turn) == (0, 0)


def test_the_least_recently_used_entry_is_evicted(monkeypatch):
    monkeypatch.setattr(prompt_cache, "ENTRIES_MAX", 2)
    cache = PromptCache(Clock())
    one, two, three = (Prefix([(name, 10)], False, 300.0) for name in (b"1", b"2", b"3"))
    cache.write("k", one)
    cache.write("k", two)
    assert cache.read("k", one) == 10
    cache.write("k", three)
    assert [cache.read("k", prefix) for prefix in (one, two, three)] == [10, 0, 10]
