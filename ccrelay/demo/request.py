"""Parses a Messages request: prompt, tools, thinking, directives, usage.

Pure. Unknown fields are ignored; fields that Anthropic requires (`model`, `messages`, `max_tokens`)
are required here, too.
"""

import re
from typing import Any

import msgspec

from ccrelay.demo.prompt_cache import TTL_LONG_S, TTL_S, Prefix, parse_prefix
from ccrelay.errors import BadRequest

BYTES_PER_TOKEN = 4  # a rough estimate, without a tokenizer
DELTAS_MAX = 1_000_000  # demo:deltas
GAP_MS_MAX = 60_000  # demo:gap_ms
TOOLS_MAX = 64  # demo:tools
TOKENS_MAX = 100_000_000  # demo:input, demo:cache_read

# Claude Code's own tags have names of several words (system-reminder, command-name, bash-stdout,
# ide_selection, task-notification); those that a person writes about, HTML's, have one.
_OWN_TAG = re.compile(r"<([a-z]+(?:[-_][a-z0-9]+)+)(?:\s[^<>]*)?>")
# Inside these stands what the person typed: a slash command's arguments, a `!` command, a `#` note.
_TYPED_INSIDE = ("command-args", "bash-input", "user-memory-input")
_TYPED_TAG = re.compile(rf"</?(?:{'|'.join(_TYPED_INSIDE)})>")
_REMINDER = "system-reminder"
# Lines that Claude Code writes in the person's name, and its billing line.
_OWN_LINE = re.compile(
    r"^(?:x-anthropic-billing-header:|\[Request interrupted by user)[^\n]*\n?", re.MULTILINE
)
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
        "custom"  # server tools have a dated type and run at the provider, not in the client
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
    messages: list[msgspec.Raw]  # raw, so that their sizes are known
    max_tokens: int | None = None
    stream: bool | None = None
    system: str | list[_Block] | None = None
    tools: list[_Tool] | None = None
    tool_choice: _ToolChoice | None = None
    thinking: _Thinking | None = None
    output_config: _OutputConfig | None = None
    cache_control: _CacheControl | None = None


class Directives(msgspec.Struct, frozen=True):
    """The `demo:NAME=VALUE` directives of the prompt."""

    text: str | None = None  # the text of the answer
    deltas: int | None = None  # number of deltas
    gap_ms: float | None = None  # milliseconds before each delta
    fault: str | None = None  # a fault call, see `ccrelay.demo.script`
    tool: str | None = None  # name of the tool to call
    tools: int = 2  # number of parallel calls
    input: int | None = None  # uncached input tokens of this request
    cache_read: int | None = None  # input tokens read from the cache, in addition


class InputUsage(msgspec.Struct, frozen=True):
    """Estimated input tokens, split as in Anthropic's `usage`."""

    input: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0

    @property
    def limited(self) -> int:
        """Tokens that count against input limits: all but cache reads."""
        return self.input + self.cache_write_5m + self.cache_write_1h


class MessagesRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a Messages request that determine the answer."""

    model: str
    stream: bool
    max_tokens: int
    prompt: str  # the last text that the person typed, without Claude Code's own tags
    tool_results: int  # number of tool results in the last message
    thinking: bool  # thinking is enabled or adaptive
    thinking_omitted: bool  # display: omitted; the thinking text stays empty
    tools: dict[str, dict[str, Any]]  # custom tools: name -> input_schema
    tool_choice: str  # auto, any, tool, none
    tool_name: str  # the name in tool_choice, or ""
    parallel: bool
    schema: dict[str, Any] | None  # of structured output
    directives: Directives
    usage: InputUsage  # as if nothing were cached
    prefix: Prefix | None  # for the prompt cache; None: no cache_control in the request
    body_bytes: int

    def with_cached(self, cached_bytes: int) -> "MessagesRequest":
        """Return the request with the usage it has when `cached_bytes` of its prefix are cached."""
        usage = _with_cache(self.body_bytes, cached_bytes, is_long=bool(self.usage.cache_write_1h))
        return msgspec.structs.replace(self, usage=usage)


def parse_request(body: bytes, *, counting: bool = False) -> MessagesRequest:
    """Parse the body of `POST /v1/messages` (`counting`: of `/v1/messages/count_tokens`).

    Raises:
        BadRequest: not JSON, a required member is missing, or a directive is invalid.
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
    directives = parse_directives(prompt)
    thinking = request.thinking or _Thinking()
    choice = request.tool_choice or _ToolChoice()
    wanted = request.output_config.format if request.output_config else None
    usage, prefix = _usage(directives, request, messages, body)
    return MessagesRequest(
        model=request.model,
        stream=bool(request.stream),
        max_tokens=request.max_tokens or 1,
        prompt=prompt,
        tool_results=_tool_results(messages),
        thinking=thinking.type in ("enabled", "adaptive"),
        thinking_omitted=thinking.display == "omitted",
        tools={
            tool.name: tool.input_schema for tool in request.tools or [] if tool.type == "custom"
        },
        tool_choice=choice.type,
        tool_name=choice.name,
        parallel=not choice.disable_parallel_tool_use,
        schema=wanted.schema if wanted and wanted.type == "json_schema" else None,
        directives=directives,
        usage=usage,
        prefix=prefix,
        body_bytes=len(body),
    )


def parse_directives(prompt: str) -> Directives:
    """Parse the `demo:NAME=VALUE` directives of a prompt; `demo:text=` takes the rest of its line.

    Raises:
        BadRequest: a value is not a number, or out of range.
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
        raise BadRequest(f"demo: directive value {text!r} is not a number.") from error
    if not 0 <= value <= most:
        raise BadRequest(f"demo: directive value {text} is out of range (0 to {most}).")
    return value


def _blocks(message: _Message) -> list[_Block]:
    if isinstance(message.content, str):
        return [_Block(type="text", text=message.content)]
    return message.content


def _last_prompt(messages: list[_Message]) -> str:
    # Claude Code adds tags of its own to the user's text, role:system messages after it, and user
    # messages that hold only tool results or tags in between (measured with 2.1.330).
    for message in reversed(messages):
        if message.role != "user":
            continue
        texts = [_typed(block.text) for block in _blocks(message) if block.type == "text"]
        if any(texts):
            return "\n".join(text for text in texts if text)
    return ""


def _typed(text: str) -> str:
    """What of a user's text the person typed."""
    kept: list[str] = []
    at = 0
    unclosed: set[str] = set()  # searched for once each
    for opening in _OWN_TAG.finditer(text):
        name = opening[1]
        if opening.start() < at or name in _TYPED_INSIDE or name in unclosed:
            continue
        closing = text.find(f"</{name}>", opening.end())
        if closing < 0:
            unclosed.add(name)
            if name != _REMINDER:
                continue
        kept.append(text[at : opening.start()])
        at = closing + len(f"</{name}>") if closing >= 0 else len(text)
    kept.append(text[at:])
    return _OWN_LINE.sub("", _TYPED_TAG.sub("", "".join(kept))).strip()


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
    shared = [tool.cache_control for tool in request.tools or ()]
    if isinstance(request.system, list):
        shared += [block.cache_control for block in request.system]
    own = [block.cache_control for message in messages for block in _blocks(message)]
    cache_controls = [
        control for control in (request.cache_control, *shared, *own) if control is not None
    ]
    if not cache_controls:
        return InputUsage(input=_tokens(len(body))), None
    is_long = any(control.ttl == "1h" for control in cache_controls)
    prefix = parse_prefix(body, has_shared=any(shared), ttl_s=TTL_LONG_S if is_long else TTL_S)
    return _with_cache(len(body), 0, is_long=is_long), prefix


def _tokens(size_bytes: int) -> int:
    return max(1, -(-size_bytes // BYTES_PER_TOKEN))


def _with_cache(body_bytes: int, cached_bytes: int, *, is_long: bool) -> InputUsage:
    """Estimate: the cached prefix is read, the rest is written."""
    total = _tokens(body_bytes)
    uncached = min(total, 4)  # the text after the last cache_control is a few tokens
    read = min(cached_bytes // BYTES_PER_TOKEN, total - uncached)
    written = total - uncached - read
    return InputUsage(
        input=uncached,
        cache_read=read,
        cache_write_5m=0 if is_long else written,
        cache_write_1h=written if is_long else 0,
    )
