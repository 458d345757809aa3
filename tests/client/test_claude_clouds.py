"""The matrix: the real Claude Code CLI in each of its modes, through a relay, to each provider.

One relay and one mock per provider; one process of the client per mode, which asks several prompts.
"""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.client.modes import MODES, ROWS

pytestmark = [pytest.mark.client, pytest.mark.process, pytest.mark.timeout(400)]

TOGETHER = 2  # processes of the client at a time
PLAIN = "Hello there"
TOOLS = "think and use a tool"
COUNT = "/context"
ERROR = "demo:fault=400,message=the-mock-says-no"
PROMPTS = (PLAIN, TOOLS, COUNT, ERROR)


def asked(claude, rig, mode):
    """One run of the client in a mode; what it says of itself where that is wrong."""
    run = claude.converse(mode.environment(rig.url), PROMPTS, model=mode.model)
    texts = [result.get("result", "") for result in run.of_type("result")]
    wrong = []
    if len(texts) != len(PROMPTS):
        return [f"{len(texts)} results: {texts} {run.errors[-500:]}"]
    plain, tools, context, error = texts
    if f"You said: “{PLAIN}”" not in plain:
        wrong.append(f"plain: {plain}")
    if not tools.startswith("Done: 2 tool results"):
        wrong.append(f"tools: {tools}")
    if len(run.blocks("thinking")) != 1 or not run.blocks("thinking")[0]["signature"]:
        wrong.append(f"thinking: {run.blocks('thinking')}")
    if "Context Usage" not in context:
        wrong.append(f"count: {context}")
    if "400 the-mock-says-no" not in error:
        wrong.append(f"error: {error}")
    if run.retries:
        wrong.append(f"retries: {run.retries}")
    return wrong


@pytest.mark.parametrize("name", ROWS)
def test_every_mode_gets_its_answers(new_claude, open_rig, name):
    row = ROWS[name]
    rig = open_rig(row.config, cloud=row.cloud, environment=row.environment)
    with ThreadPoolExecutor(TOGETHER) as pool:
        found = list(pool.map(lambda mode: asked(new_claude(mode.name), rig, mode), MODES))
    wrong = {mode.name: said for mode, said in zip(MODES, found, strict=True) if said}
    assert wrong == {}, json.dumps(wrong, indent=1)
    assert rig.log().count('"event":"feature_refused"') == 0
