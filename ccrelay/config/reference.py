"""The reference page, made from the model: `python -m ccrelay.config.reference` prints it.

`docs/configuration.md` is this output; a test fails when it is not.
"""

import sys
from typing import Any

import msgspec
from msgspec import inspect

from ccrelay.config.model import Config
from ccrelay.config.presets import BY_TYPE, PRESETS, ServiceDefaults

_NUMBER = "@NUMBER@"  # stands for the word until the name of the member is known

EXAMPLE = """\
server:
  listen: "127.0.0.1:8787"
  workers: 1
  auth: {tokens: ["${RELAY_TOKEN}"]}
routing:
  strategy: simple-shuffle
  rules:
    - when: {request_class: [background], tokens_under: 20000}
      use: {providers: [ollama]}
providers:
  - name: anthropic
    type: anthropic
    keys:
      - {key: "${ANTHROPIC_API_KEY}", rpm_limit: 60, tpm_limit: 100000}
      - {key: "${ANTHROPIC_KEY_TWO}", rpm_limit: 60, tpm_limit: 100000}
  - name: zai
    type: zai
    base_url: "https://api.z.ai/api/anthropic"
    keys: [{key: "${ZAI_API_KEY}"}]
    model_mapping: {"claude-sonnet-4-5": "GLM-4.7"}
  - name: ollama
    type: ollama
    base_url: "http://localhost:11434"
    model_mapping: {"claude-*": "qwen3:32b"}
health: {open_s: 1, open_max_s: 30}
logging: {level: info, format: text}
"""


def reference() -> str:
    """Return the page, Markdown."""
    parts = [_HEAD.replace("@EXAMPLE@", EXAMPLE.rstrip())]
    described = inspect.type_info(Config)
    assert isinstance(described, inspect.StructType)
    parts += _sections(described, "")
    parts += ["## Defaults by type and preset\n", _services(), _CHECKS]
    return "\n".join(parts)


def _sections(kind: inspect.StructType, path: str) -> list[str]:
    """Return the tables of a section and of everything below it, in the order of the model."""
    title = f"`{path}`" if path else "Top level"
    rows = [f"## {title}\n", f"{(kind.cls.__doc__ or '').strip()}\n"]
    rows += ["| key | type | default | meaning |", "|---|---|---|---|"]
    below: list[str] = []
    for field in kind.fields:
        rows.append(_row(field))
        here = f"{path}.{field.encode_name}" if path else field.encode_name
        for section, suffix in _structs(field.type):
            # One table serves both places where the upstream time limits may stand.
            if here != "providers[].timeouts":
                below += _sections(section, here + suffix)
    return [*rows, "", *below]


def _structs(kind: inspect.Type) -> list[tuple[inspect.StructType, str]]:
    if isinstance(kind, inspect.Metadata):
        return _structs(kind.type)
    if isinstance(kind, inspect.StructType):
        return [(kind, "")]
    if isinstance(kind, inspect.ListType):
        return [(inner, "[]" + suffix) for inner, suffix in _structs(kind.item_type)]
    if isinstance(kind, inspect.DictType):
        return [(inner, ".*" + suffix) for inner, suffix in _structs(kind.value_type)]
    if isinstance(kind, inspect.UnionType):
        return [found for option in kind.types for found in _structs(option)]
    return []


def _row(field: inspect.Field) -> str:
    description = ""
    if isinstance(field.type, inspect.Metadata):
        description = (field.type.extra_json_schema or {}).get("description", "")
    # The suffix of a name is its unit, here as everywhere.
    number = "seconds" if field.encode_name.endswith("_s") else "number"
    kind = _type(field.type).replace(_NUMBER, number)
    cells = [f"`{field.encode_name}`", kind, _default(field), description]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(field: inspect.Field) -> str:
    if field.required:
        return "required"
    if field.default is not msgspec.NODEFAULT:
        return "" if field.default is None else f"`{_plain(field.default)}`"
    made: Any = field.default_factory() if callable(field.default_factory) else None
    return "none" if made in ([], {}) else ""


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _type(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.Metadata):
        return _type(kind.type)
    if isinstance(kind, inspect.UnionType):
        options = [o for o in kind.types if not isinstance(o, inspect.NoneType)]
        return " or ".join(_type(option) for option in options)
    if isinstance(kind, inspect.ListType):
        return f"list of {_type(kind.item_type)}"
    if isinstance(kind, inspect.DictType):
        return f"{_type(kind.key_type)} -> {_type(kind.value_type)}"
    if isinstance(kind, inspect.StructType):
        return "section"
    if isinstance(kind, inspect.LiteralType):
        return ", ".join(f"`{value}`" for value in kind.values)
    return _scalar(kind)


def _scalar(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.BoolType):
        return "boolean"
    if isinstance(kind, inspect.StrType):
        return "text"
    assert isinstance(kind, inspect.IntType | inspect.FloatType), f"no word for {kind}"
    name = "integer" if isinstance(kind, inspect.IntType) else _NUMBER
    low = f"{kind.ge:,}" if kind.ge is not None else f"above {kind.gt:,}"
    return f"{name}, {low} to {kind.le:,}"


def _services() -> str:
    rows = [
        "| type / preset | base_url | auth | models | drop_betas | system_role | count_tokens |",
        "|---|---|---|---|---|---|---|",
    ]
    rows += [_service(f"type `{name}`", service) for name, service in BY_TYPE.items()]
    rows += [_service(f"preset `{name}`", service) for name, service in PRESETS.items()]
    return "\n".join(rows) + "\n"


def _service(name: str, service: ServiceDefaults) -> str:
    models = ", ".join(f"`{model}`" for model in service.models or ())
    cells = [
        name,
        f"`{service.base_url}`" if service.base_url else "required",
        "none; bearer with keys" if service.auth == "none" else service.auth,
        models or "`*`, or only what is mapped",
        ", ".join(f"`{beta}`" for beta in service.drop_betas),
        service.system_role,
        service.count_tokens,
    ]
    return "| " + " | ".join(cells) + " |"


_HEAD = """\
# Configuration

<!-- Written by `python -m ccrelay.config.reference`; change the model, not this page. -->

ccrelay runs without any file: `ANTHROPIC_API_KEY` in the environment becomes the provider
`anthropic`, and without it the client's own credential passes through to
`https://api.anthropic.com`. `ccrelay config init` writes a commented file from what it finds.

| command | what it does |
|---|---|
| `ccrelay config init` | writes a file (mode 0600) from what it finds; no key goes in |
| `ccrelay config check` | prints every problem with `file:line:column`; exit code 0 or 1 |
| `ccrelay config show` | prints the effective configuration, secrets as fingerprints |
| `ccrelay config path` | prints the file in use; with `--all` every place that is searched |
| `ccrelay config schema` | prints the JSON Schema, for editors |

## Where it is looked for

`--config FILE`, then `$CCRELAY_CONFIG`, then the first of these that exists: `ccrelay.yaml`,
`ccrelay.yml`, `ccrelay.toml` in the working directory; `config.yaml`, `config.yml`, `config.toml`
in `$XDG_CONFIG_HOME/ccrelay`, then in `~/.config/ccrelay`. Files named `*.toml` are TOML, all
others YAML 1.2 (so `yes` and `on` are text, and JSON works too).

## Example

```yaml
@EXAMPLE@
```

The same in TOML starts like this:

```toml
[server]
listen = "127.0.0.1:8787"

[[providers]]
name = "anthropic"
type = "anthropic"
keys = [{ key = "${ANTHROPIC_API_KEY}" }]
```

## Secrets

| written | becomes |
|---|---|
| `${VAR}` | the environment variable; unset is an error |
| `${VAR:-default}` | the same, or the default when it is unset or empty |
| `${file:/path}` | the file's text, stripped; the file must be yours, mode 0600 or stricter |
| `${cmd:program argument}` | what the program prints, run without a shell for 10 seconds at most |
| `$${` | a literal `${` |

They work in text values, not in keys and not for numbers. They are replaced after the file has
been parsed, so a secret cannot change its structure, and what comes in is not expanded again. In
YAML, write `"${VAR}"` in quotes inside `{ }` and `[ ]`. Relative paths start at the configuration
file, and commands run in its folder.
"""

_CHECKS = """\
Preset `deepseek` also sets `tool_type_custom: drop`.

## What is refused

Unknown and duplicate keys, wrong types, values out of range, and these combinations. All problems
are reported at once.

- `server.listen` anywhere but on loopback without `server.auth.tokens`.
- Tokens under 8 characters; tokens and keys with white space, control or non-ASCII characters.
- No enabled provider; two providers of one name.
- `compatible` without `base_url` and `preset`; a `preset` with another type.
- A `base_url` that is not http or https, ends in `/v1`, or has a query, fragment, user or password.
- `auth: none` with keys; `x-api-key` or `bearer` without. Except type `anthropic` without keys and
  without `auth`: the client's own credential passes through, to `https://api.anthropic.com` or to
  loopback only.
- Static headers that frame, route or authenticate the request (`host`, `content-length`,
  `authorization` ...), or that are no valid header.
- A mapped model that is empty or a glob. In names `*` is any text, `?` any character.
- The same key twice in one provider: its limits would be counted twice.
- A provider named by `routing.models`, `routing.models_default` or a rule that does not exist.
- A rule whose `use` is empty, whose numbers of tokens exclude each other, or that looks at a header
  with credentials.
- `health.open_s` longer than `health.open_max_s`.
- `health.probe` set to `count_tokens` or `message` where a provider names no model in full, without
  `health.probe_model`.

Warned about, not refused:

- plain http to another host; secrets written into the file;
- providers of which every key is disabled, or has weight 0; limits of a key that are never reached;
- globs of `model_mapping` or `prices` that an earlier one hides; rules that an earlier one leaves
  nothing to;
- disabled providers named by rules and model tables; a model table that nothing uses, or
  `model-based` without one;
- `affinity.wait_s` beyond `queue_timeout_s`; a retry budget of nothing; probes that cost money.
"""


if __name__ == "__main__":
    sys.stdout.write(reference())
