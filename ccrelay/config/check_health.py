"""Semantic checks of `health`: open times, and the model of probes."""

from ccrelay.config.check_names import check_model, is_glob
from ccrelay.config.findings import Findings
from ccrelay.config.model import Config, Model, Probe, Provider
from ccrelay.config.problems import Path, path_text
from ccrelay.config.resolve import defaults_of


def check_health(config: Config, findings: Findings) -> None:
    """Check the health section."""
    health = config.health
    if health.open_s > health.open_max_s:
        message = f"must not be greater than open_max_s ({health.open_max_s:g})"
        findings.error(("health", "open_s"), message)
    if health.probe_model is not None:
        check_model(("health", "probe_model"), health.probe_model, "the model", findings)
    elif health.probe in ("count_tokens", "message"):
        _check_probed(config, findings)
    if health.probe == "message":
        message = "every probe is billed (one output token); connect and count_tokens are free"
        findings.warning(("health", "probe"), message)


def _check_probed(config: Config, findings: Findings) -> None:
    for index, provider in enumerate(config.providers):
        path: Path = ("providers", index)
        if _is_probed(provider, config.health.probe) and not _names_model(provider):
            findings.missing(
                ("health", "probe"),
                f"{path_text(path)} has no model to probe with: set health.probe_model, or list a "
                "model without wildcards",
                needs=("probe_model",),
                unless=((*path, "models"), (*path, "model_mapping"), ("health", "probe_model")),
            )
            return  # one probe_model may fix all


def _is_probed(provider: Provider, probe: Probe) -> bool:
    """Whether requests can be sent as probes: this needs a key and a supported endpoint."""
    if not provider.enabled or (provider.type == "anthropic" and not provider.keys):
        return False
    counts = provider.count_tokens or defaults_of(provider).count_tokens
    return probe == "message" or counts == "forward"


def _names_model(provider: Provider) -> bool:
    """Whether at least one of its models is given without wildcards."""
    own = [entry.id if isinstance(entry, Model) else entry for entry in provider.models or ()]
    return any(provider.model_mapping.values()) or any(name and not is_glob(name) for name in own)
