"""Generates docs/configuration.md: `python -m ccrelay.config.reference` prints it.

A test compares the page with this output.
"""

import re
import sys
from typing import Any

import msgspec
from msgspec import inspect

from ccrelay.config.model import Config
from ccrelay.config.presets import BY_TYPE, PRESETS, ServiceDefaults

_SENTENCE_MAX = 75  # characters of a sentence that is shown with all its clauses
_DEFAULT = re.compile("[Dd]efault|[0-9]+: |'\\*'")  # begins what is said of a default or of 0

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
      - {name: one, key: "${ANTHROPIC_API_KEY}", rpm_limit: 60, tpm_limit: 100000}
      - {name: two, key: "${ANTHROPIC_KEY_TWO}", rpm_limit: 60, tpm_limit: 100000}
  - name: zai
    type: zai
    base_url: "https://api.z.ai/api/anthropic"
    keys: [{name: default, key: "${ZAI_API_KEY}"}]
    model_mapping: {"claude-sonnet-4-5": "GLM-4.7"}
  - name: ollama
    type: ollama
    base_url: "http://localhost:11434"
    model_mapping: {"claude-*": "qwen3:32b"}
health: {open_s: 1, open_max_s: 30}
logging: {level: info, format: text}
"""


def reference() -> str:
    """Return the page as Markdown."""
    parts = [_HEAD.replace("@EXAMPLE@", EXAMPLE.rstrip())]
    described = inspect.type_info(Config)
    assert isinstance(described, inspect.StructType)
    parts += _sections(described, "")
    parts += ["## Defaults by type and preset\n", _DEFAULTS, _services(), _CHECKS]
    return "\n".join(parts)


def _sections(kind: inspect.StructType, path: str) -> list[str]:
    """Return the lists of a section and its subsections, in the order of the model."""
    rows: list[str] = []
    below: list[str] = []
    for field in kind.fields:
        here = f"{path}.{field.encode_name}" if path else field.encode_name
        sections = _structs(field.type)
        for section, suffix in sections:
            # One list for both places of the upstream timeouts.
            if here != "providers[].timeouts":
                below += _sections(section, here + suffix)
        if not sections or not _is_section_alone(field.type) or here == "providers[].timeouts":
            rows.append(_row(field))
    return [*([f"## `{path}`\n", *rows, ""] if rows else []), *below]


def _is_section_alone(kind: inspect.Type) -> bool:
    """Whether a value can be nothing but a section, which has a list of its own."""
    if isinstance(kind, inspect.Metadata):
        return _is_section_alone(kind.type)
    if isinstance(kind, inspect.ListType):
        return _is_section_alone(kind.item_type)
    if isinstance(kind, inspect.DictType):
        return _is_section_alone(kind.value_type)
    if isinstance(kind, inspect.UnionType):
        options = [o for o in kind.types if not isinstance(o, inspect.NoneType)]
        return all(_is_section_alone(option) for option in options)
    return isinstance(kind, inspect.StructType)


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
    """Return name, default, meaning, and the words that it may be if the meaning lacks them."""
    description = ""
    if isinstance(field.type, inspect.Metadata):
        description = (field.type.extra_json_schema or {}).get("description", "")
    text = _short(description)
    choices = [str(choice) for choice in _choices(field.type)]
    if any(choice not in text for choice in choices):
        text += f" One of {', '.join(f'`{choice}`' for choice in choices)}."
    default = _default(field)
    return f"- `{field.encode_name}`{f' ({default})' if default else ''}: {text}"


def _short(description: str) -> str:
    """Return the first sentence and what is said of defaults; the schema has all.

    Of a long sentence: the first clause, and those that a default or a number begins.
    """
    first, *others = re.split(r"(?<=[^ .]\.) (?=[A-Z`\[0])", description)
    clauses = re.split(r"; (?![^(]*\))", first.removesuffix("."))
    if len(first) > _SENTENCE_MAX:
        clauses = [clauses[0], *(clause for clause in clauses[1:] if _DEFAULT.match(clause))]
    defaults = [sentence for sentence in others if _DEFAULT.match(sentence)]
    return " ".join(["; ".join(clauses) + ".", *defaults])


def _choices(kind: inspect.Type) -> tuple[object, ...]:
    """Return the words that a value may be."""
    if isinstance(kind, inspect.Metadata):
        return _choices(kind.type)
    if isinstance(kind, inspect.ListType):
        return _choices(kind.item_type)
    if isinstance(kind, inspect.UnionType):
        return tuple(word for option in kind.types for word in _choices(option))
    return tuple(kind.values) if isinstance(kind, inspect.LiteralType) else ()


def _default(field: inspect.Field) -> str:
    if field.required:
        return "required"
    if field.default in (msgspec.NODEFAULT, None, ""):
        return ""
    return f"`{_plain(field.default)}`"


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _services() -> str:
    """Return what a type or preset sets, where it is not what most have."""
    found = [*BY_TYPE.items(), *PRESETS.items()]
    return "\n".join(f"- `{name}`: {_service(service)}." for name, service in found) + "\n"


def _service(service: ServiceDefaults) -> str:
    url = f"`{service.base_url}`" if service.base_url else ""
    models = " ".join(f"`{model}`" for model in service.models or ())
    parts = [
        url,
        f"auth {service.auth}",
        f"models {models}" if models else "",
        "no betas" if "*" in service.drop_betas else "",
        f"system_role {service.system_role}" if service.system_role != "keep" else "",
        f"count_tokens {service.count_tokens}" if service.count_tokens != "forward" else "",
    ]
    return ", ".join(part for part in parts if part)


_HEAD = """\
# Configuration

<!-- Generated by `python -m ccrelay.config.reference`; edit the model, not this page. -->

Without a file ccrelay has one provider `anthropic`, with the key of `ANTHROPIC_API_KEY`, else the
client's own credential. `ccrelay init` writes a commented file, `config check` prints every
problem with `file:line:column`, `config show` the effective configuration, `config schema` the JSON
Schema with all types, ranges and full descriptions.

## Location

`--config FILE`, then `$CCRELAY_CONFIG`, then the first that exists: `ccrelay.yaml`, `.yml`, `.toml`
in the working directory; `config.yaml`, `.yml`, `.toml` in `$XDG_CONFIG_HOME/ccrelay`, then in
`~/.config/ccrelay`. `*.toml` is TOML, all others YAML 1.2, where `yes` and `on` are text.

A file found in the working directory may have come with a checkout. It is used after one
confirmation of its content: `ccrelay config trust` shows where it sends requests, which programs it
runs and which files it reads. `ccrelay serve` asks for it at a terminal.

## Who can write it

A configuration runs programs and decides where keys go. So a file is refused when others than you
and root can write it, its folder or one above, or own it; the message has the `chmod` or `chown`.

- `/tmp` and the like: only the entries below the sticky bit count. A group with your name and no
  other member may write. Symbolic links are followed and judged.
- `${file:...}` must not be readable by others, either. Programs of `${cmd:...}` are not judged.
- WSL2: keep the file in the Linux file system, not below `/mnt/c`.
- `CCRELAY_FILE_CHECKS=off` switches the checks off ([containers](operations.md#containers)).

## Secrets

| expression | value |
|---|---|
| `${VAR}`, `${VAR:-default}` | the environment variable |
| `${file:/path}` | content of the file, stripped; mode 0600 |
| `${keyring:NAME}` | entry of the keychain that `ccrelay keys set NAME` makes; extra `keyring` |
| `${cmd:program argument}` | output of the program, without a shell, within 10 seconds |
| `$${` | a literal `${` |

They work in text values and are expanded after parsing. In YAML, quote them inside `{ }` and
`[ ]`. Relative paths start at the file's folder. `config check`, `config show` and `route explain`
run no program (`config check --run-commands` does). Programs get `PATH`, `HOME`, locale, agents'
sockets and settings of password managers; `CCRELAY_CMD_ENV=NAME,NAME` adds variables.

## Example

```yaml
@EXAMPLE@
```

```toml
[[providers]]
name = "anthropic"
type = "anthropic"
keys = [{ key = "${ANTHROPIC_API_KEY}" }]
```

Below: `name` (default): meaning. `_s` is seconds.
"""

_DEFAULTS = """\
Without `models`: all, or only `model_mapping`. Base URLs of clouds follow from their members.
"""

_CHECKS = """\
## Errors and warnings

`serve` and `config check` find the same errors, all at once, with their place and the wrong value
unless it may be a secret, and exit with 2. Among them, beside unknown keys and wrong values: `$VAR`
instead of `${VAR}`; listening off loopback without tokens; a name or key twice; a `base_url` with
`/v1`, query or password; `auth` that does not fit the keys; pass-through to a host other than
`https://api.anthropic.com` and loopback; unknown providers in rules; a cloud's missing member or
library. Warnings: plain http elsewhere, secrets in plain text, keys and rules that can never be
used, billed probes.
"""

if __name__ == "__main__":
    sys.stdout.write(reference())
