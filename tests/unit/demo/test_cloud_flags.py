import pytest

from ccrelay.demo.cloud import Surface
from ccrelay.demo.cloud_errors import CloudError
from ccrelay.demo.cloud_flags import check_flags
from ccrelay.demo.cloud_models import MODELS

OPUS, OLD = MODELS["claude-opus-5-5"], MODELS["claude-haiku-4-5"]
EVERYWHERE = ("claude-code-20250219", "context-1m-2025-08-07", "dangerous-tool-use-2026-09-03")
NEAR = (Surface.CLAUDE_AWS, Surface.CLAUDE_GOOGLE, Surface.AZURE)
BEDROCK = (Surface.INVOKE, Surface.RUNTIME)


def is_known(surface, flag, model=OPUS, *, counts=False):
    try:
        check_flags(surface, model, [flag], counts=counts)
    except CloudError:
        return False
    return True


@pytest.mark.parametrize("surface", Surface)
def test_some_flags_are_known_everywhere(surface):
    check_flags(surface, OPUS, EVERYWHERE, counts=False)
    check_flags(surface, OPUS, [], counts=False)


@pytest.mark.parametrize("surface", Surface)
def test_unknown_flags_are_refused_in_the_words_of_the_cloud(surface):
    flags = ["claude-code-20250219", "nope-2026-01-01", "nope-2026-01-02", "nope-2026-01-01"]
    with pytest.raises(CloudError) as caught:
        check_flags(surface, OPUS, flags, counts=False)
    if surface in BEDROCK:
        assert caught.value.message == "invalid beta flag"
    else:
        words = "Unexpected value(s) `nope-2026-01-01`, `nope-2026-01-02` for the `anthropic-beta`"
        assert caught.value.message.startswith(words)


@pytest.mark.parametrize(
    "flag",
    [
        "advanced-tool-use-2025-11-20",
        "per-turn-control-2026-07-01",
        "mid-conversation-tool-changes-2026-07-01",
        "extended-cache-ttl-2025-04-11",
        "prompt-caching-scope-2026-01-05",
    ],
)
def test_what_claude_code_leaves_out_for_bedrock_and_vertex_is_unknown_there(flag):
    assert {surface for surface in Surface if is_known(surface, flag)} == set(NEAR)
    assert not is_known(Surface.AZURE, "advisor-tool-2026-03-01")
    assert is_known(Surface.CLAUDE_GOOGLE, "advisor-tool-2026-03-01")


def test_some_flags_depend_on_the_model():
    for flag in ("thinking-display-updates-2026-08-18", "thinking-token-count-2026-05-13"):
        known = {surface for surface in Surface if is_known(surface, flag, OLD)}
        assert known == set(NEAR)
    interleaved = "interleaved-thinking-2025-05-14"
    assert is_known(Surface.MANTLE, interleaved, OLD)
    assert not is_known(Surface.VERTEX, interleaved, OLD)
    assert not is_known(Surface.INVOKE, "effort-2025-11-24", MODELS["claude-opus-4-5"])
    assert is_known(Surface.MANTLE, "effort-2025-11-24", MODELS["claude-opus-4-5"])


def test_a_count_on_vertex_knows_few():
    assert is_known(Surface.VERTEX, "web-search-2025-03-05")
    assert not is_known(Surface.VERTEX, "web-search-2025-03-05", counts=True)
    assert is_known(Surface.VERTEX, "token-counting-2024-11-01", counts=True)
