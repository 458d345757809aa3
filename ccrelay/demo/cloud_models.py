"""The models of the mock clouds: their ids on each surface, and what each generation refuses.

Ids as in the documentation of the clouds; capabilities as in the model map of LiteLLM and in what
Claude Code sends for each model.
"""

import re

import msgspec

from ccrelay.demo.cloud import Surface
from ccrelay.demo.cloud_errors import CloudError


class Model(msgspec.Struct, frozen=True):
    """A model: its names, and what it accepts.

    Args:
        name: first-party, without date.
        date: of its dated ids; empty: it has none.
        base: its id on Bedrock, without a profile's prefix.
        is_old: up to 4.6: no display of thinking, no streamed updates.
        budget, adaptive: forms of `thinking` that it accepts.
        effort: accepts `output_config.effort`.
        system_turns: accepts role `system` in messages.
        forced_tools: accepts tool_choice `any` and `tool`.
        single_region: served by a single region of Vertex, too.
    """

    name: str
    date: str = ""
    base: str = ""
    is_old: bool = False
    budget: bool = False
    adaptive: bool = True
    effort: bool = True
    system_turns: bool = True
    forced_tools: bool = True
    single_region: bool = False

    @property
    def vertex(self) -> str:
        """Its id on Vertex."""
        return f"{self.name}@{self.date}" if self.date else self.name

    @property
    def first_party(self) -> str:
        """Its id at Anthropic."""
        return f"{self.name}-{self.date}" if self.date else self.name

    @property
    def is_v1_0(self) -> bool:
        """Whether its Bedrock id is one of those that only InvokeModel serves."""
        return self.base.endswith("-v1:0")


def _old(name: str, date: str, base: str, *, effort: bool, system: bool = False) -> Model:
    return Model(
        name,
        date,
        base,
        is_old=True,
        budget=True,
        adaptive=not date,
        effort=effort,
        system_turns=system,
        single_region=True,
    )


def _new(name: str, *, system: bool = True, forced: bool = True) -> Model:
    return Model(name, base=f"anthropic.{name}", system_turns=system, forced_tools=forced)


_TABLE = (
    _new("claude-opus-5-5", forced=False),
    _new("claude-opus-5"),
    _new("claude-opus-4-8"),
    _new("claude-opus-4-7", system=False),
    _old("claude-opus-4-6", "", "anthropic.claude-opus-4-6-v1", effort=True),
    _old("claude-opus-4-5", "20251101", "anthropic.claude-opus-4-5-20251101-v1:0", effort=True),
    _old("claude-opus-4-1", "20250805", "anthropic.claude-opus-4-1-20250805-v1:0", effort=False),
    _new("claude-sonnet-5-5", forced=False),
    _new("claude-sonnet-5"),
    _old("claude-sonnet-4-6", "", "anthropic.claude-sonnet-4-6", effort=True),
    _old(
        "claude-sonnet-4-5", "20250929", "anthropic.claude-sonnet-4-5-20250929-v1:0", effort=False
    ),
    _new("claude-haiku-5-5"),
    _old("claude-haiku-4-5", "20251001", "anthropic.claude-haiku-4-5-20251001-v1:0", effort=False),
    _new("claude-fable-5"),
    _new("claude-fable-5-1", forced=False),
    _new("claude-mythos-5"),
    _new("claude-mythos-5-1", forced=False),
    _new("claude-mythos-preview"),
)
MODELS: dict[str, Model] = {model.name: model for model in _TABLE}
# What stands behind a name that does not say it (a deployment, an application's profile).
UNKNOWN = Model("unknown", budget=True)

# Prefix of an inference profile -> regions that have it, by their beginning.
PREFIXES: dict[str, tuple[str, ...]] = {
    "global": ("us-", "eu-", "ap-", "ca-", "sa-"),
    "us": ("us-east-", "us-west-", "ca-"),
    "eu": ("eu-",),
    "apac": ("ap-",),
    "jp": ("ap-northeast-1", "ap-northeast-3"),
    "au": ("ap-southeast-2", "ap-southeast-4", "ap-southeast-6"),
    "us-gov": ("us-gov-",),
}
_ARN = re.compile(
    r"arn:aws[a-z-]*:bedrock:([a-z0-9-]+):\d*:"
    r"(foundation-model|inference-profile|application-inference-profile|provisioned-model|"
    r"custom-model-deployment)/(.+)"
)
MULTI_REGIONS = ("global", "us", "eu")


def invoke_model(model_id: str, region: str | None) -> Model:
    """Return the model of an id or ARN in the path of InvokeModel. Raises CloudError."""
    arn = _ARN.fullmatch(model_id)
    if arn is None:
        return _profile(model_id, region)
    if region is not None and arn[1] != region:
        raise CloudError(name="ValidationException")
    if arn[2] == "inference-profile":
        return _profile(arn[3], region)
    return UNKNOWN


def runtime_model(model_id: str, region: str | None) -> Model:
    """Return the model of the Messages API of bedrock-runtime. Raises CloudError."""
    model = _profile(model_id, region)
    if model.is_v1_0:
        raise CloudError(name="ValidationException")
    return model


def base_model(model_id: str) -> Model:
    """Return the model of CountTokens, which knows ids without prefix only. Raises CloudError."""
    arn = _ARN.fullmatch(model_id)
    wanted = arn[3] if arn is not None and arn[2] == "foundation-model" else model_id
    for model in _TABLE:
        if model.base == wanted:
            return model
    known = model_id.partition(".")[0] in PREFIXES or arn is not None
    text = "The provided model doesn't support counting tokens." if known else ""
    raise CloudError(text, name="ValidationException")


def _profile(model_id: str, region: str | None) -> Model:
    prefix, _, base = model_id.partition(".")
    for model in _TABLE:
        if model.base == model_id:
            problem = (
                f"Invocation of model ID {model_id} with on-demand throughput isn’t supported. "
                "Retry your request with the ID or ARN of an inference profile that contains this "
                "model."
            )
            raise CloudError(problem, name="ValidationException")
        if model.base == base and prefix in PREFIXES:
            if region is not None and not region.startswith(PREFIXES[prefix]):
                break
            if prefix == "us" and region is not None and region.startswith("us-gov-"):
                break
            return model
    raise CloudError(name="ValidationException")


def mantle_model(model_id: str) -> Model:
    """Return the model of bedrock-mantle: neither prefix nor version. Raises CloudError."""
    model = MODELS.get(model_id.removeprefix("anthropic."))
    if model is None or not model_id.startswith("anthropic."):
        raise CloudError(f"The model '{model_id}' does not exist", status=404)
    return model


def vertex_model(model_id: str, location: str) -> Model:
    """Return the model of a Vertex path. Raises CloudError."""
    for model in _TABLE:
        is_there = location in MULTI_REGIONS or model.single_region
        if is_there and model_id in (model.vertex, f"{model.name}@default"):
            return model
    name = f"locations/{location}/publishers/anthropic/models/{model_id}"
    problem = (
        f"Publisher Model `{name}` was not found or your project does not have access to it. "
        "Please ensure you are using a valid model version."
    )
    raise CloudError(problem, name="NOT_FOUND")


def first_party_model(model_id: str) -> Model:
    """Return the model of a first-party id. Raises CloudError."""
    for model in _TABLE:
        if model_id in (model.name, model.first_party):
            return model
    raise CloudError(f"model: {model_id}", status=404)


def deployed_model(deployment: str, deployments: tuple[str, ...]) -> Model:
    """Return the model of a deployment, by its name where that is a model's. Raises CloudError."""
    if deployments and deployment not in deployments:
        raise CloudError(name="DeploymentNotFound")
    for model in _TABLE:
        if deployment in (model.name, model.first_party):
            return model
    return UNKNOWN


def model_in_body(
    surface: Surface, model_id: str, region: str | None, deployments: tuple[str, ...]
) -> Model:
    """Return the model that a body names, on a surface that takes it there. Raises CloudError."""
    match surface:
        case Surface.MANTLE:
            return mantle_model(model_id)
        case Surface.RUNTIME:
            return runtime_model(model_id, region)
        case Surface.AZURE:
            return deployed_model(model_id, deployments)
        case Surface.VERTEX:  # counts: the location is not looked at
            return vertex_model(model_id, "global")
        case _:
            return first_party_model(model_id)
