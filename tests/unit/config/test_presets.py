from typing import get_args

from ccrelay.config.model import Preset, ProviderType
from ccrelay.config.presets import BY_TYPE, PRESETS


def test_every_type_and_preset_of_the_model_has_its_defaults():
    assert set(BY_TYPE) == set(get_args(ProviderType))
    assert set(PRESETS) == set(get_args(Preset))


def test_every_preset_is_reached_over_https_with_its_documented_credential():
    assert {name: (preset.base_url, preset.auth) for name, preset in PRESETS.items()} == {
        "minimax": ("https://api.minimax.io/anthropic", "bearer"),
        "kimi": ("https://api.moonshot.ai/anthropic", "bearer"),
        "deepseek": ("https://api.deepseek.com/anthropic", "x-api-key"),
        "openrouter": ("https://openrouter.ai/api", "bearer"),
    }


def test_no_preset_claims_a_count_tokens_that_its_service_does_not_document():
    assert {preset.count_tokens for preset in PRESETS.values()} == {"estimate"}


def test_only_deepseek_loses_the_custom_type_of_tools():
    dropping = {name for name, preset in PRESETS.items() if preset.tool_type_custom == "drop"}
    assert dropping == {"deepseek"}
