"""How the settings look that are lists or mappings, for messages about other shapes."""

import re

# In YAML's flow style; texts are quoted, so that TOML differs in the sign behind a name only.
EXAMPLES = {
    "providers": 'providers: [{name: "anthropic", type: "anthropic"}]',
    "keys": 'keys: [{key: "${VAR}"}]',
    "tokens": 'tokens: ["${VAR}"]',
    "models": 'models: ["glm-*"]',
    "model_mapping": 'model_mapping: {"claude-*": "qwen3:32b"}',
    "headers": 'headers: {"x-title": "my relay"}',
    "drop_betas": 'drop_betas: ["*"]',
    "prices": 'prices: {"glm-*": {input: 0.6, output: 2.2}}',
    "rules": 'rules: [{when: {request_class: ["background"]}, use: {providers: ["ollama"]}}]',
    "request_class": 'request_class: ["background"]',
    "allowed_hosts": 'allowed_hosts: ["relay.example"]',
    "allowed_origins": 'allowed_origins: ["https://page.example"]',
}
_NAME = re.compile(r'((?:[a-z_]+|"[^"]*")):(?= )')


def example(name: str, *, is_toml: bool) -> str | None:
    """Return how the setting `name` is written, or None when nothing is known about it."""
    text = EXAMPLES.get(name)
    return _NAME.sub(r"\1 =", text) if text is not None and is_toml else text
