"""The full table of what each cloud gets: `python -m ccrelay.providers.bridge_page` prints it.

docs/dialects.md says in words what users need of it.
"""

import sys
from collections.abc import Iterable

from ccrelay.providers.bridge_features import FEATURES, Feature
from ccrelay.providers.bridge_plan import Plan, plan_of
from ccrelay.providers.bridge_refusals import GUESSED, NEVER
from ccrelay.providers.bridge_rows import ALL, STRICT, Row
from ccrelay.providers.bridge_table import ROWS

_HEAD = """# What each cloud gets

A request comes in Anthropic's form and goes out in that of the cloud's API, a *surface*. The
goal: what Claude Code itself sends to that cloud for the same prompt, and for other clients as
much as the cloud is known to take. Values that no row names keep their bytes, because prompt
caches and thinking signatures depend on them.

| surface | provider | model | stream | betas |
|---|---|---|---|---|
| `azure` | `type: azure` | in the body: the deployment | member `stream` | header |
| `claude-aws` | `type: claude-aws` | in the body | member `stream` | header |
| `claude-google` | `type: claude-google` | in the body | member `stream` | header |
| `mantle` | `type: bedrock`, bedrock-mantle | in the body | member `stream` | header |
| `bedrock-messages` | `type: bedrock`, `api: messages` | in the body | member `stream` | header |
| `bedrock-invoke` | `type: bedrock`, `api: invoke` | in the path | in the path | header and body |
| `vertex` | `type: vertex` | in the path; of a count in the body | member `stream` | header |

## Features

A feature has two halves, betas of the header and parts of the body. They are kept or left out
together: a strict cloud refuses a part without its beta, and a beta that it does not know. The
table shows newest models and requests for messages; what differs for others stands under Rows.

header, list, both: where the beta goes. kept, rewritten, moved: what happens to the part. A dash:
left out. **no**: a request that has it is not sent there, but to the next candidate; without one
the client gets a 400 that says what it needs. Where several of these stand, parts differ: see
Rows.
"""
_UNKNOWN = """
What the table does not know: `azure`, `claude-aws`, `claude-google` get it as it came. The others
reject a whole request for one unknown beta or member, so there both are left out. Content
of messages is never left out.

## Rows

Of several rows for a feature the last one that matches holds. Sources: `CLI` is what Claude Code
2.1.332 sends there, recorded; `SDK` the official SDK; `LL` LiteLLM's list; numbers are sections
of the project's providers reference. None of this was tried with a live cloud.
"""
_REST = """
## Versions

A client names the version of the API in its header. `2026-10-21` only forbids: sampling
parameters, documents in assistant turns, citations of users' text. So it is replaced by
`2023-06-01` where a request has one of these, and where it is missing: Bedrock before Claude 4.7,
and ids in `-v1:0`. bedrock-invoke and vertex have it in the body, where `2023-06-01` is called
`bedrock-2023-05-31` and `vertex-2023-10-16`; a version that they cannot know is refused.

## Counts

`count_tokens` goes through the same table. vertex keeps the model in the body. bedrock-invoke
counts a body of its own API, with `max_tokens` 1 (with a budget for thinking: one more than that),
no empty `tools`, and the beta `claude-code-20250219` alone of those that Claude Code sends with a
count. vertex refuses betas with a count that it takes with messages, so effort, thinking's display
and `web-search` are left out.

## Other than Claude Code itself

Each difference from what the client sends in its own mode for that cloud:

- claude-aws: the client splits `system` in four blocks and marks the first as shared
  (`cache_control.scope: global`). The blocks stay as they came: they are the prefix of the prompt
  cache.
- vertex: the client ends its first block of `system` with `cch=00000;`. It stays as it came.
- The client loads WebSearch by name only where its cloud can search. It is left out for Bedrock,
  unless the conversation refers to it: a reference to a tool that is missing is refused.
- With `CLAUDE_CODE_ENABLE_FINE_GRAINED_TOOL_STREAMING`, the client marks its tools with
  `eager_input_streaming` everywhere, without a beta; without that variable, on AWS's and Google's
  own hosts, for the models of its list. It stays there, but for models of bedrock-invoke that the
  list has without it, and bedrock-messages, which the client does not know.
- Betas in `CLAUDE_CODE_EXTRA_BODY` become header fields, and those that a strict cloud does not
  know are left out. The client leaves them in the body as they are, also where that is refused.
- The client sends no tool search to vertex for Claude 4 (retired), and falls back to other betas
  for Claude 3.7. Of models before 4.5, only what the table says differs.
- Header fields beside betas and version are the dialect's, not the client's.

## What a conversation notices

- A tool that is left out changes the prefix of the prompt: the first turn after a failover is
  written to the cache again, and models that bind thinking to its prompt may refuse that thinking.
  The relay then sends the turn without it.
- A block that refers to a tool becomes its name, as text, where tool search is missing; deferred
  tools are then there from the start.
- Blocks that change tools in the middle of a conversation go with their beta; what they had added
  is there from the start. One that brings a definition of its own cannot be left out.

## What is learned

A 400 that names a beta, a member, a tool type or a value makes the relay leave that feature out,
both halves, and send the request once more; it remembers that for a day, for this provider and
model, in all workers, until the provider's settings change. At most three for one request.
Nothing that a request consists of is left out (`messages`, `system`, `tools`, `model`,
`max_tokens`), and no content. A feature that a request needs, once refused, sends such requests
elsewhere.

An "invalid beta flag" without a name: in this order, betas that the table does not know (`beta:*`),
{guessed}. Never: {never}, because the
client then checks by itself, and must know.
"""


def page() -> str:
    """Return the page as Markdown."""
    parts = [
        _HEAD,
        *_table(),
        _UNKNOWN,
        *_rows(ROWS),
        _REST.format(guessed=_names(GUESSED), never=_names(sorted(NEVER))),
    ]
    return "\n".join(parts)


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _table() -> list[str]:
    rows = [f"| feature | betas | parts | {' | '.join(ALL)} |", "|---" * (3 + len(ALL)) + "|"]
    plans = [plan_of(surface, None, "messages", frozenset()) for surface in ALL]
    for feature in FEATURES:
        cells = [_cell(feature, plan) for plan in plans]
        betas, parts = _names(feature.betas), _names(feature.parts)
        rows.append(f"| {feature.name} | {betas} | {parts} | {' | '.join(cells)} |")
    return rows


_NO = "**no**"


def _cell(feature: Feature, plan: Plan) -> str:
    """What a surface gets of a feature."""
    betas = dict.fromkeys(_of_beta(beta, plan) for beta in feature.betas)
    parts = dict.fromkeys(_of_part(part, plan) for part in feature.parts)
    if list(parts) == [_NO]:
        return _NO
    words = [word for word in {**betas, **parts} if word]
    if _NO in words and "" in parts:
        words.insert(0, "-")
    return ", ".join(words) or "-"


def _of_beta(beta: str, plan: Plan) -> str:
    place = plan.betas.get(beta)
    if place is None:
        return "header"
    if place.name != beta:
        return f"as `{place.name}`"
    if place.header and place.listed:
        return "both"
    return "header" if place.header else "list" if place.listed else ""


def _of_part(name: str, plan: Plan) -> str:
    kind, _, value = name.partition(":")
    if name == "turn:role=system":
        return "rewritten" if plan.folds else "kept"
    parts = {
        "member": plan.members,
        "turn": plan.turns,
        "block": plan.blocks,
        "source": plan.sources,
        "edit": dict(plan.edits),
        "tool": dict(plan.tools),
        "tool-name": plan.tool_names,
        "tool-member": plan.tool_members,
        "cache": plan.cache_members,
    }[kind]
    outer, dot, inner = value.partition(".")
    part = plan.inner.get(outer, {}).get(inner) if dot else parts.get(value)
    if "=" in value:
        member, _, word = value.partition("=")
        part = plan.valued.get((member, word))
    if part is None:
        return "kept"
    words = {"keep": "kept", "drop": "", "refuse": _NO, "move": "moved"}
    return words.get(part.action, "rewritten")


_GROUPS = {ALL: "all", STRICT: "all but azure, claude-aws, claude-google"}


def _rows(rows: Iterable[Row]) -> list[str]:
    found = [
        "| feature | of it | surfaces | models | what | why | source |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        surfaces = _GROUPS.get(row.surfaces) or ", ".join(row.surfaces)
        models = f"`{row.models}`" if row.models else ""
        models += f" ({row.kind})" if row.kind else ""
        what = f"{row.action} `{row.to}`" if row.to else row.action
        what += f" with {_names(row.when)}" if row.when else ""
        part = {"": "", "beta": "beta", "body": "body"}.get(row.part, f"`{row.part}`")
        cells = (row.feature, part, surfaces, models, what, row.reason, row.source)
        found.append(f"| {' | '.join(cells)} |")
    return found


if __name__ == "__main__":
    sys.stdout.write(page())
