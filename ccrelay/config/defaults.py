"""The configuration without a file, and the starter file of `ccrelay init --yes`."""

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from ccrelay.config.model import Config, Key, Preset, Provider, ProviderType

if TYPE_CHECKING:
    from ccrelay.config.starter_clouds import FoundCloud  # where there is a file, not loaded

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
    """What `ccrelay init --yes` found. Contains names of variables, never keys."""

    anthropic: bool
    keys: tuple[KnownKey, ...]
    ollama: Ollama | None
    clouds: "tuple[FoundCloud, ...]" = ()


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


def detect(
    env: Mapping[str, str], ollama: Ollama | None, clouds: "tuple[FoundCloud, ...]" = ()
) -> Detected:
    """Return the providers available from environment variables, a local Ollama, and clouds."""
    keys = tuple(known for known in KNOWN_KEYS if env.get(known.variable))
    return Detected(bool(env.get("ANTHROPIC_API_KEY")), keys, ollama, clouds)


def starter_config(detected: Detected) -> str:
    """Return a commented YAML configuration, with keys as ${VAR} references."""
    # Without an Anthropic key, clouds or the first other provider serve the Claude models.
    used = [cloud for cloud in detected.clouds if cloud.is_used]
    takes_over = bool(detected.keys or used) and not detected.anthropic
    # Not all at once: prompt caches are of one provider.
    in_order = len(used) + detected.anthropic > 1
    head = HEAD.replace("strategy: simple-shuffle", "strategy: failover") if in_order else HEAD
    blocks = [head, *_anthropic(detected.anthropic, takes_over)]
    blocks += [cloud.block for cloud in detected.clouds]
    for index, known in enumerate(detected.keys):
        blocks.append(_known(known, mapped=takes_over and not used and index == 0))
    if detected.ollama is not None:
        blocks.append(_ollama(detected.ollama))
    return "\n".join([*blocks, TAIL])


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
    lines += ["    keys:", "      - name: default", f'        key: "${{{known.variable}}}"']
    lines.append(f"    models: {json.dumps(list(known.models))}")
    return "\n".join(lines + mapping_lines(known.small, known.large, active=mapped)) + "\n"


def _ollama(ollama: Ollama) -> str:
    tags = [tag for tag in ollama.models if _TAG.match(tag)][:_TAGS_MAX]
    lines = [
        "  - name: ollama",
        "    type: ollama",
        f"    base_url: {json.dumps(ollama.base_url)}",
        f"    models: {json.dumps(tags)}",
    ]
    example = tags[0] if tags else "qwen3:32b"
    return "\n".join(lines + mapping_lines(example, example, active=False)) + "\n"


def mapping_lines(small: str, large: str, *, active: bool) -> list[str]:
    """The lines of `model_mapping` in a provider, as comments unless `active`.

    Args:
        small: model for claude-haiku*, as YAML.
        large: for the others.
        active: whether they are in force.
    """
    lines = ["model_mapping:", f'  "claude-haiku*": {small}', f'  "claude-*": {large}']
    if active:
        return [f"    {line}" for line in lines]
    return ["    # Serve Claude models, too:", *(f"    # {line}" for line in lines)]


HEAD = """\
# ccrelay configuration. All settings: `ccrelay config schema`, docs/configuration.md.
# Check it with `ccrelay config check`. Secrets: ${VAR}, ${file:/path},
# ${keyring:NAME}, ${cmd:...}.

server:
  listen: "127.0.0.1:8787"
  # workers: 1
  # auth:                       # required for a non-loopback listen address
  #   tokens: ["${RELAY_TOKEN}"]

routing:
  # Load balancing: simple-shuffle, round-robin, least-busy, failover, cost-based,
  # latency-based or model-based (docs/routing.md).
  strategy: simple-shuffle
  # rules:                      # overrides; the first match wins (docs/routing.md#rules)
  #   - when: {request_class: [background]}
  #     use: {model: claude-haiku-4-5}

providers:"""

_ANTHROPIC_KEY = """\
  - name: anthropic
    type: anthropic
    keys:                       # load is balanced over keys (docs/routing.md)
      - name: default
        key: "${ANTHROPIC_API_KEY}"
        # rpm_limit: 50         # per minute: requests, tokens
        # tpm_limit: 100000
"""

_ANTHROPIC_LOGIN = """\
  # No keys: the client's own credential is passed through to api.anthropic.com.
  - name: anthropic
    type: anthropic
"""

TAIL = """\
logging:
  level: info
  # format: json
"""
