from typing import get_args

from ccrelay.config.model import Preset, ProviderType
from ccrelay.config.presets import BY_TYPE, PRESETS


def test_every_type_and_preset_has_defaults():
    assert set(BY_TYPE) == set(get_args(ProviderType))
    assert set(PRESETS) == set(get_args(Preset))


def test_every_preset_uses_https_and_its_documented_auth():
    assert {name: (preset.base_url, preset.auth) for name, preset in PRESETS.items()} == {
        "minimax": ("https://api.minimax.io/anthropic", "bearer"),
        "kimi": ("https://api.moonshot.ai/anthropic", "bearer"),
        "deepseek": ("https://api.deepseek.com/anthropic", "x-api-key"),
        "openrouter": ("https://openrouter.ai/api", "bearer"),
    }


def test_presets_estimate_undocumented_count_tokens():
    assert {preset.count_tokens for preset in PRESETS.values()} == {"estimate"}


def test_only_deepseek_drops_the_custom_tool_type():
    dropping = {name for name, preset in PRESETS.items() if preset.tool_type_custom == "drop"}
    assert dropping == {"deepseek"}
