"""The configuration without a file, and the starter file of `ccrelay config init`."""

import json
import re
from collections.abc import Mapping

import msgspec

from ccrelay.config.model import Config, Key, Preset, Provider, ProviderType

_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,199}\Z")
_TAGS_MAX = 50  # further models are not listed


class KnownKey(msgspec.Struct, frozen=True):
    """An environment variable with an API key, and the provider it belongs to."""

    variable: str
    name: str
    type: ProviderType
    preset: Preset | None
    models: tuple[str, ...]  # its own models
    large: str  # mapped from claude-* ...
    small: str  # ... and from claude-haiku*


KNOWN_KEYS = (
    KnownKey("ZAI_API_KEY", "zai", "zai", None, ("glm-*", "GLM-*"), "glm-5.3", "glm-5.3-flash"),
    KnownKey(
        "MINIMAX_API_KEY",
        "minimax",
        "compatible",
        "minimax",
        ("MiniMax-*",),
        "MiniMax-M3",
        "MiniMax-M2.5",
    ),
    KnownKey(
        "MOONSHOT_API_KEY", "kimi", "compatible", "kimi", ("kimi-*",), "kimi-k3", "kimi-k2.7-code"
    ),
    KnownKey(
        "DEEPSEEK_API_KEY",
        "deepseek",
        "compatible",
        "deepseek",
        ("deepseek-*",),
        "deepseek-v4-pro",
        "deepseek-flash",
    ),
    KnownKey(
        "OPENROUTER_API_KEY",
        "openrouter",
        "compatible",
        "openrouter",
        ("*/*",),
        "anthropic/claude-sonnet-4.5",
        "anthropic/claude-haiku-4.5",
    ),
)


class Ollama(msgspec.Struct, frozen=True):
    """A local Ollama that responded: its URL and models."""

    base_url: str
    models: tuple[str, ...]


class Detected(msgspec.Struct, frozen=True):
    """What `config init` found. Contains names of variables, never keys."""

    anthropic: bool
    keys: tuple[KnownKey, ...]
    ollama: Ollama | None


def config_without_file(env: Mapping[str, str]) -> Config:
    """Return the configuration used when there is no file, not resolved.

    One provider `anthropic`, with the key of `ANTHROPIC_API_KEY`; without that variable the
    client's credential is passed through to https://api.anthropic.com.
    """
    secret = env.get("ANTHROPIC_API_KEY")
    keys = [Key(key=secret, name="ANTHROPIC_API_KEY")] if secret else []
    return Config(providers=[Provider(name="anthropic", type="anthropic", keys=keys)])


def ollama_url(env: Mapping[str, str]) -> str:
    """Return the URL of a local Ollama, from `OLLAMA_HOST` or the default.

    As for Ollama's own client, scheme and port are optional, and a wildcard address is loopback.
    """
    text = env.get("OLLAMA_HOST", "").strip().rstrip("/")
    if not text:
        return "http://localhost:11434"
    scheme, separator, rest = text.rpartition("://")
    authority, slash, path = rest.partition("/")
    if authority.startswith(":"):
        authority = "localhost" + authority
    if not separator and ":" not in authority.rpartition("]")[2]:
        authority += ":11434"
    authority = authority.replace("0.0.0.0", "127.0.0.1").replace("[::]", "[::1]")
    return f"{scheme or 'http'}://{authority}{slash}{path}"


def detect(env: Mapping[str, str], ollama: Ollama | None) -> Detected:
    """Return the providers available from environment variables and a local Ollama."""
    keys = tuple(known for known in KNOWN_KEYS if env.get(known.variable))
    return Detected(bool(env.get("ANTHROPIC_API_KEY")), keys, ollama)


def starter_config(detected: Detected) -> str:
    """Return a commented YAML configuration, with keys as ${VAR} references."""
    # Without an Anthropic key, the first other provider serves the Claude models.
    takes_over = bool(detected.keys) and not detected.anthropic
    blocks = [_HEAD, *_anthropic(detected.anthropic, takes_over)]
    for index, known in enumerate(detected.keys):
        blocks.append(_known(known, mapped=takes_over and index == 0))
    if detected.ollama is not None:
        blocks.append(_ollama(detected.ollama))
    return "\n".join([*blocks, _TAIL])


def _anthropic(has_key: bool, is_replaced: bool) -> list[str]:
    if has_key:
        return [_ANTHROPIC_KEY]
    if is_replaced:
        return [
            _ANTHROPIC_LOGIN.replace("  - name", "  # - name").replace("    type", "  #   type")
        ]
    return [_ANTHROPIC_LOGIN]


def _known(known: KnownKey, *, mapped: bool) -> str:
    lines = [f"  - name: {known.name}", f"    type: {known.type}"]
    if known.preset is not None:
        lines.append(f"    preset: {known.preset}")
    lines += ["    keys:", f'      - key: "${{{known.variable}}}"']
    lines.append(f"    models: {json.dumps(list(known.models))}")
    return "\n".join(lines + _mapping(known.small, known.large, active=mapped)) + "\n"


def _ollama(ollama: Ollama) -> str:
    tags = [tag for tag in ollama.models if _TAG.match(tag)][:_TAGS_MAX]
    lines = [
        "  - name: ollama",
        "    type: ollama",
        f"    base_url: {json.dumps(ollama.base_url)}",
        f"    models: {json.dumps(tags)}",
    ]
    example = tags[0] if tags else "qwen3:32b"
    return "\n".join(lines + _mapping(example, example, active=False)) + "\n"


def _mapping(small: str, large: str, *, active: bool) -> list[str]:
    lines = ["model_mapping:", f'  "claude-haiku*": {small}', f'  "claude-*": {large}']
    if active:
        return [f"    {line}" for line in lines]
    return ["    # Serve Claude models, too:", *(f"    # {line}" for line in lines)]


_HEAD = """\
# ccrelay configuration. All settings: `ccrelay config schema`, docs/configuration.md.
# Check it with `ccrelay config check`. Secrets: ${VAR}, ${file:/path}, ${cmd:...}.

server:
  listen: "127.0.0.1:8787"
  # workers: 1
  # auth:                       # required for a non-loopback listen address
  #   tokens: ["${RELAY_TOKEN}"]

routing:
  # Load balancing: simple-shuffle, round-robin, least-busy, failover, cost-based,
  # latency-based or model-based (docs/strategies.md).
  strategy: simple-shuffle
  # rules:                      # overrides; the first match wins (docs/rules.md)
  #   - when: {request_class: [background]}
  #     use: {model: claude-haiku-4-5}

providers:"""

_ANTHROPIC_KEY = """\
  - name: anthropic
    type: anthropic
    keys:                       # load is balanced over keys (docs/limits.md)
      - key: "${ANTHROPIC_API_KEY}"
        # rpm_limit: 50         # per minute: requests, tokens
        # tpm_limit: 100000
"""

_ANTHROPIC_LOGIN = """\
  # No keys: the client's own credential is passed through to api.anthropic.com.
  - name: anthropic
    type: anthropic
"""

_TAIL = """\
logging:
  level: info
  # format: json
"""
