"""What a Messages request asks the demo for: prompt, tools, thinking, directives, usage.

Pure. Unknown fields are ignored, as a gateway must (gateway contract: reject nothing you do not
recognise); what Anthropic requires (`model`, `messages`, `max_tokens`) is required here too.
"""

import re
from typing import Any

import msgspec

from ccrelay.demo.prompt_cache import TTL_LONG_S, TTL_S, Prefix, read_prefix
from ccrelay.errors import BadRequest

BYTES_PER_TOKEN = 4  # rough, as good as an estimate without a tokenizer gets
DELTAS_MAX = 1_000_000  # demo:deltas
GAP_MS_MAX = 60_000  # demo:gap_ms
TOOLS_MAX = 64  # demo:tools
TOKENS_MAX = 100_000_000  # demo:input, demo:cache_read

_REMINDER = re.compile(r"<system-reminder>.*?(?:</system-reminder>|\Z)", re.DOTALL)
_TEXT_DIRECTIVE = re.compile(r"\bdemo:text=([^\n]*)")
_DIRECTIVE = re.compile(r"\bdemo:(deltas|gap_ms|fault|tool|tools|input|cache_read)=(\S+)")


class _CacheControl(msgspec.Struct):
    ttl: str = "5m"


class _Block(msgspec.Struct):
    type: str = ""
    text: str = ""
    cache_control: _CacheControl | None = None


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Block] = ""


class _Tool(msgspec.Struct):
    name: str = ""
    type: str = (
        "custom"  # server tools carry a dated type and run at the provider: not ours to call
    )
    input_schema: dict[str, Any] = msgspec.field(default_factory=dict)
    cache_control: _CacheControl | None = None


class _ToolChoice(msgspec.Struct):
    type: str = "auto"
    name: str = ""
    disable_parallel_tool_use: bool = False


class _Thinking(msgspec.Struct):
    type: str = "disabled"
    display: str | None = None


class _Format(msgspec.Struct):
    type: str = ""
    schema: dict[str, Any] = msgspec.field(default_factory=dict)


class _OutputConfig(msgspec.Struct):
    format: _Format | None = None


class _Request(msgspec.Struct):
    model: str
    messages: list[msgspec.Raw]  # raw, so that sizes are known without encoding again
    max_tokens: int | None = None
    stream: bool | None = None
    system: str | list[_Block] | None = None
    tools: list[_Tool] | None = None
    tool_choice: _ToolChoice | None = None
    thinking: _Thinking | None = None
    output_config: _OutputConfig | None = None
    cache_control: _CacheControl | None = None


class Directives(msgspec.Struct, frozen=True):
    """`demo:NAME=VALUE` words found in the prompt."""

    text: str | None = None  # answer this
    deltas: int | None = None  # in so many pieces
    gap_ms: float | None = None  # milliseconds before each piece
    fault: str | None = None  # a fault call, see `ccrelay.demo.script`
    tool: str | None = None  # call this tool
    tools: int = 2  # so many times in parallel
    input: int | None = None  # uncached input tokens of this request
    cache_read: int | None = None  # tokens read from the cache besides


class InputUsage(msgspec.Struct, frozen=True):
    """Estimated input tokens, in the members of Anthropic's `usage`."""

    input: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0

    @property
    def limited(self) -> int:
        """What counts against input limits: all but cache reads."""
        return self.input + self.cache_write_5m + self.cache_write_1h


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """A Messages request, reduced to what shapes the demo's answer."""

    model: str
    stream: bool
    max_tokens: int
    prompt: str  # the last user text, without reminders the client added
    tool_results: int  # in the last message: the tools asked for have run
    thinks: bool  # thinking is enabled or adaptive
    thinking_omitted: bool  # display: omitted, the text of the thinking stays empty
    tools: dict[str, dict[str, Any]]  # custom tools: name -> input_schema
    tool_choice: str  # auto, any, tool, none
    tool_forced: str  # the name in tool_choice, or ""
    parallel: bool
    schema: dict[str, Any] | None  # structured output wanted
    directives: Directives
    usage: InputUsage  # with nothing cached yet
    prefix: Prefix | None  # what a prompt cache may know of it; None: it asks for none
    body_bytes: int

    def after(self, cached_bytes: int) -> "Ask":
        """Return the same when so much of the body's beginning is in the prompt cache."""
        usage = _with_cache(self.body_bytes, cached_bytes, is_long=bool(self.usage.cache_write_1h))
        return msgspec.structs.replace(self, usage=usage)


def read_ask(body: bytes, *, counting: bool = False) -> Ask:
    """Read the body of `POST /v1/messages` (`counting`: of `/v1/messages/count_tokens`).

    Raises:
        BadRequest: not JSON, a required member is missing, or a directive has no meaning.
    """
    try:
        request = msgspec.json.decode(body, type=_Request)
        messages = [msgspec.json.decode(raw, type=_Message) for raw in request.messages]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"The request body cannot be read: {error}") from error
    if not messages:
        raise BadRequest("messages: at least one message is required")
    if request.max_tokens is None and not counting:
        raise BadRequest("max_tokens: Field required")
    prompt = _last_prompt(messages)
    directives = read_directives(prompt)
    thinking = request.thinking or _Thinking()
    choice = request.tool_choice or _ToolChoice()
    wanted = request.output_config.format if request.output_config else None
    usage, prefix = _usage(directives, request, messages, body)
    return Ask(
        model=request.model,
        stream=bool(request.stream),
        max_tokens=request.max_tokens or 1,
        prompt=prompt,
        tool_results=_tool_results(messages),
        thinks=thinking.type in ("enabled", "adaptive"),
        thinking_omitted=thinking.display == "omitted",
        tools={
            tool.name: tool.input_schema for tool in request.tools or [] if tool.type == "custom"
        },
        tool_choice=choice.type,
        tool_forced=choice.name,
        parallel=not choice.disable_parallel_tool_use,
        schema=wanted.schema if wanted and wanted.type == "json_schema" else None,
        directives=directives,
        usage=usage,
        prefix=prefix,
        body_bytes=len(body),
    )


def read_directives(prompt: str) -> Directives:
    """Find `demo:NAME=VALUE` in a prompt; `demo:text=` takes the rest of its line.

    Raises:
        BadRequest: a value is no number or out of bounds.
    """
    text = _TEXT_DIRECTIVE.search(prompt)
    found = dict(_DIRECTIVE.findall(_TEXT_DIRECTIVE.sub("", prompt)))
    return Directives(
        text=text[1] if text else None,
        deltas=_count(found, "deltas", DELTAS_MAX),
        gap_ms=_number(found["gap_ms"], GAP_MS_MAX) if "gap_ms" in found else None,
        fault=found.get("fault"),
        tool=found.get("tool"),
        tools=int(_number(found.get("tools", "2"), TOOLS_MAX)),
        input=_count(found, "input", TOKENS_MAX),
        cache_read=_count(found, "cache_read", TOKENS_MAX),
    )


def _count(found: dict[str, str], name: str, most: int) -> int | None:
    return int(_number(found[name], most)) if name in found else None


def _number(text: str, most: int) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise BadRequest(f"A demo: directive needs a number, not {text!r}.") from error
    if not 0 <= value <= most:
        raise BadRequest(f"A demo: directive is out of bounds: 0 <= {text} <= {most} is not true.")
    return value


def _blocks(message: _Message) -> list[_Block]:
    if isinstance(message.content, str):
        return [_Block(type="text", text=message.content)]
    return message.content


def _last_prompt(messages: list[_Message]) -> str:
    # Claude Code puts <system-reminder> blocks around the user's words, role:system messages behind
    # them, and user messages that hold only tool results in between (measured with 2.1.330).
    for message in reversed(messages):
        if message.role != "user":
            continue
        texts = [_REMINDER.sub("", b.text).strip() for b in _blocks(message) if b.type == "text"]
        if any(texts):
            return "\n".join(text for text in texts if text)
    return ""


def _tool_results(messages: list[_Message]) -> int:
    turns = [message for message in messages if message.role != "system"]
    if not turns or turns[-1].role != "user":
        return 0
    return sum(block.type == "tool_result" for block in _blocks(turns[-1]))


def _usage(
    directives: Directives, request: _Request, messages: list[_Message], body: bytes
) -> tuple[InputUsage, Prefix | None]:
    if directives.input is not None or directives.cache_read is not None:
        total = _tokens(len(body)) if directives.input is None else directives.input
        return InputUsage(input=total, cache_read=directives.cache_read or 0), None
    common = [tool.cache_control for tool in request.tools or ()]
    if isinstance(request.system, list):
        common += [block.cache_control for block in request.system]
    own = [block.cache_control for message in messages for block in _blocks(message)]
    marks = [mark for mark in (request.cache_control, *common, *own) if mark is not None]
    if not marks:
        return InputUsage(input=_tokens(len(body))), None
    is_long = any(mark.ttl == "1h" for mark in marks)
    prefix = read_prefix(body, has_common=any(common), ttl_s=TTL_LONG_S if is_long else TTL_S)
    return _with_cache(len(body), 0, is_long=is_long), prefix


def _tokens(size_bytes: int) -> int:
    return max(1, -(-size_bytes // BYTES_PER_TOKEN))


def _with_cache(body_bytes: int, cached_bytes: int, *, is_long: bool) -> InputUsage:
    """Estimate as a prompt cache would: its beginning is read, the rest is written."""
    total = _tokens(body_bytes)
    fresh = min(total, 4)  # what stands behind the last mark is a handful of tokens
    read = min(cached_bytes // BYTES_PER_TOKEN, total - fresh)
    written = total - fresh - read
    return InputUsage(
        input=fresh,
        cache_read=read,
        cache_write_5m=0 if is_long else written,
        cache_write_1h=written if is_long else 0,
    )
