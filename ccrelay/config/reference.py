"""Generates docs/configuration.md: `python -m ccrelay.config.reference` prints it.

A test compares the page with this output.
"""

import sys
from typing import Any

import msgspec
from msgspec import inspect

from ccrelay.config.model import Config
from ccrelay.config.presets import BY_TYPE, PRESETS, ServiceDefaults

_NUMBER = "@NUMBER@"  # replaced once the name of the member is known

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
    """Return the page as Markdown."""
    parts = [_HEAD.replace("@EXAMPLE@", EXAMPLE.rstrip())]
    described = inspect.type_info(Config)
    assert isinstance(described, inspect.StructType)
    parts += _sections(described, "")
    parts += ["## Defaults by type and preset\n", _services(), _CHECKS]
    return "\n".join(parts)


def _sections(kind: inspect.StructType, path: str) -> list[str]:
    """Return the tables of a section and its subsections, in the order of the model."""
    title = f"`{path}`" if path else "Top level"
    rows = [f"## {title}\n", f"{(kind.cls.__doc__ or '').strip()}\n"]
    rows += ["| key | type | default | meaning |", "|---|---|---|---|"]
    below: list[str] = []
    for field in kind.fields:
        rows.append(_row(field))
        here = f"{path}.{field.encode_name}" if path else field.encode_name
        for section, suffix in _structs(field.type):
            # One table for both places of the upstream timeouts.
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
    # The suffix of a name is its unit.
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
    assert isinstance(kind, inspect.IntType | inspect.FloatType), f"no type name for {kind}"
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
        models or "`*`, or only `model_mapping`",
        ", ".join(f"`{beta}`" for beta in service.drop_betas),
        service.system_role,
        service.count_tokens,
    ]
    return "| " + " | ".join(cells) + " |"


_HEAD = """\
# Configuration

<!-- Generated by `python -m ccrelay.config.reference`; edit the model, not this page. -->

ccrelay runs without a configuration file: it then has one provider `anthropic` with the key of the
environment variable `ANTHROPIC_API_KEY`; without that variable the client's own credential is
passed through to `https://api.anthropic.com`. `ccrelay config init` writes a commented starter file
from environment variables and a local Ollama.

| command | effect |
|---|---|
| `ccrelay config init` | writes a starter file (mode 0600) without keys |
| `ccrelay config check` | prints all problems with `file:line:column`; exit code 0 or 2 |
| `ccrelay config trust` | confirms a file found in the working directory |
| `ccrelay config show` | prints the effective configuration, secrets as fingerprints |
| `ccrelay config path` | prints the path of the file in use; `--all`: all locations |
| `ccrelay config schema` | prints the JSON Schema, for editors |

## Location

`--config FILE`, then `$CCRELAY_CONFIG`, then the first of these that exists: `ccrelay.yaml`,
`ccrelay.yml`, `ccrelay.toml` in the working directory; `config.yaml`, `config.yml`, `config.toml`
in `$XDG_CONFIG_HOME/ccrelay`, then in `~/.config/ccrelay`. Files named `*.toml` are TOML, all
others YAML 1.2: `yes` and `on` are text, and JSON is valid.

A file found in the working directory may have come with a checkout or an archive. It is used only
after one confirmation: `ccrelay config trust` shows where it sends requests, which programs it runs
and which files it reads, and records path and SHA-256 in `$XDG_STATE_HOME/ccrelay/trusted.json`,
else in `~/.local/state`. `ccrelay serve` asks for it itself at a terminal. A changed file needs
another confirmation at the next start. A file that `--config` or `$CCRELAY_CONFIG` names, and one
in your configuration folder, need none.

## Who can write it

A configuration can run programs and decides where your keys go. So a file is refused, with the
reason and the command that mends it, when others than you and root can change it:

| the file, its folder or one above | mended by |
|---|---|
| can be written by every user, or by a group | `chmod o-w`, `chmod g-w` |
| belongs neither to you nor to root; as root: not to root | `chown`, or a copy of the file |

- A folder with the sticky bit, such as `/tmp`, may be written by all: there only the entries below
  it count, links included.
- A group that has your name and no other member may write: with a umask of 002, as on Debian and
  Fedora, your own files pass.
- Symbolic links are followed, and what they lead to is judged, too.
- Under sudo(8), files of the user who called it pass: that user chose the command and the file.
- The same holds for `${file:...}`, which others must not read either (a group may, when root owns
  the file), and for the record of confirmations. Programs that `${cmd:...}` runs are not judged.
- WSL2 shows every file of a Windows drive (`/mnt/c`) as writable by all: keep the configuration in
  the Linux file system.
- Of access control lists, those of Linux count as the group bits that they show as. Those of macOS
  are not read.

The file is judged at every start, reload and upgrade, by the open file, so that it cannot be
replaced in between. `CCRELAY_FILE_CHECKS=off` in the environment switches these checks off, for
mounted files with owners that cannot be set ([operations.md](operations.md#containers)); nothing in
a file does.

## Example

```yaml
@EXAMPLE@
```

The same in TOML:

```toml
[server]
listen = "127.0.0.1:8787"

[[providers]]
name = "anthropic"
type = "anthropic"
keys = [{ key = "${ANTHROPIC_API_KEY}" }]
```

## Secrets

| expression | value |
|---|---|
| `${VAR}` | the environment variable; an error when unset |
| `${VAR:-default}` | the same; the default when it is unset or empty |
| `${file:/path}` | content of the file, stripped; mode 0600 or less, [yours](#who-can-write-it) |
| `${cmd:program argument}` | output of the program, run without a shell; timeout 10 seconds |
| `$${` | a literal `${` |

Expressions work in text values, not in keys or numbers. They are expanded after parsing, so a
secret cannot change the structure of the file, and values are not expanded again. In YAML, quote
`"${VAR}"` inside `{ }` and `[ ]`. Relative paths are relative to the directory of the configuration
file, in which commands run, too.

`ccrelay serve` runs the commands at its start, and again at each reload. `ccrelay config check`,
`config show`, `config trust` and `ccrelay route explain` run none; `config check --run-commands`
does. A change of the file alone runs no command that it did not have before
([reload.md](reload.md#new-commands)).

Commands do not get the relay's whole environment, but what programs that keep secrets need: `PATH`,
`HOME`, user, locale and terminal; sockets of agents and the desktop (`GNUPGHOME`, `GPG_TTY`,
`SSH_AUTH_SOCK`, `DBUS_SESSION_BUS_ADDRESS`, `DISPLAY`, `XDG_*`); settings and sessions of password
managers (`PASSWORD_STORE_*`, `GOPASS_*`, `OP_*`, `BW_*`, `BWS_*`, `VAULT_*`, `LPASS_*`); proxies
and certificates; the profile of a cloud (`AWS_PROFILE`, `GOOGLE_APPLICATION_CREDENTIALS` ...), not
its access keys; and none of those that a `${VAR}` of the file names. `CCRELAY_CMD_ENV=NAME,NAME` in
the relay's environment adds others.
"""

_CHECKS = """\
Preset `deepseek` also sets `tool_type_custom: drop`.

## Errors and warnings

All problems are reported at once, with the wrong value unless it may be a secret (by its place, or
because it looks random or begins as API keys do); what stands in a misspelt section is checked,
too. `serve` and `config check` find the same errors and exit with 2. Errors are unknown and
duplicate keys, wrong types, values out of range, and:

- A reference to a variable in another form than `${VAR}`: `$VAR`, `%VAR%`, `env:VAR`,
  `os.environ/VAR`. Inside other text, `$VAR` of a variable that is set is a warning.
- `server.listen` other than loopback without `server.auth.tokens`.
- Tokens shorter than 8 characters, or 16 if `server.listen` is not loopback; tokens and keys with
  whitespace, control or non-ASCII characters.
- No enabled provider; two providers with the same name.
- A name of a provider, key or rule that by beginning and length is an API key; one that looks
  random is a warning.
- `compatible` without `base_url` and `preset`; a `preset` with another type.
- A `base_url` that is not http or https, ends in `/v1`, or has a query, fragment, user or password.
- `auth: none` with keys; `x-api-key` or `bearer` without keys. Exception: type `anthropic` without
  keys and without `auth` passes the client's credential through, to `https://api.anthropic.com` or
  loopback only.
- `passthrough` with another type than `anthropic`; an invalid name in `drop_headers`.
- Invalid static headers, and those that the relay sets: framing, routing and authentication
  (`host`, `content-length`, `authorization` ...).
- An upstream model in `model_mapping` that is empty or a glob. In globs `*` is any text, `?` any
  character.
- A duplicate key in a provider: its limits would be counted twice.
- An unknown provider in `routing.models`, `routing.models_default` or a rule.
- A rule with an empty `use`, with contradicting token limits, or with a credential header in its
  conditions.
- `health.open_s` greater than `health.open_max_s`.
- `health.probe: count_tokens` or `message` without `health.probe_model`, when a provider has no
  model without wildcards.

Warnings:

- plain http to another host; secrets in plain text;
- providers with all keys disabled, or all keys with weight 0; limits of a key that are never
  reached;
- globs of `model_mapping` or `prices`, and rules, that are shadowed by earlier ones;
- disabled providers in rules and model tables; an unused model table; `model-based` without one;
- `affinity.wait_s` above `queue_timeout_s`; an empty retry budget; billed probes.
"""


if __name__ == "__main__":
    sys.stdout.write(reference())
