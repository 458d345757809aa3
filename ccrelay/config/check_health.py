"""The semantic checks of `health`: rests, and what probes need."""

from ccrelay.config.check_names import check_model, is_glob
from ccrelay.config.findings import Findings
from ccrelay.config.model import Config, Model, Probe, Provider
from ccrelay.config.problems import Path, path_text
from ccrelay.config.resolve import service_of


def check_health(config: Config, findings: Findings) -> None:
    """Note everything that is wrong with how failing endpoints are avoided."""
    health = config.health
    if health.open_s > health.open_max_s:
        message = f"the first rest is longer than the longest, open_max_s: {health.open_max_s:g}"
        findings.error(("health", "open_s"), message)
    if health.probe_model is not None:
        check_model(("health", "probe_model"), health.probe_model, "the model", findings)
    elif health.probe in ("count_tokens", "message"):
        _check_probed(config, findings)
    if health.probe == "message":
        message = "every probe is paid for (one token); connect and count_tokens cost nothing"
        findings.warning(("health", "probe"), message)


def _check_probed(config: Config, findings: Findings) -> None:
    for index, provider in enumerate(config.providers):
        path: Path = ("providers", index)
        if _is_probed(provider, config.health.probe) and not _names_model(provider):
            findings.missing(
                ("health", "probe"),
                f"which model? {path_text(path)} names none: set health.probe_model, or list one "
                "without * and ? in its models",
                needs=("probe_model",),
                unless=((*path, "models"), (*path, "model_mapping"), ("health", "probe_model")),
            )
            return  # one model may mend them all


def _is_probed(provider: Provider, probe: Probe) -> bool:
    """Tell whether more than a connection can be tried: that takes a key, and a count to ask."""
    if not provider.enabled or (provider.type == "anthropic" and not provider.keys):
        return False
    counts = provider.count_tokens or service_of(provider).count_tokens
    return probe == "message" or counts == "forward"


def _names_model(provider: Provider) -> bool:
    """Tell whether at least one model that it serves is known by its full name."""
    own = [entry.id if isinstance(entry, Model) else entry for entry in provider.models or ()]
    return any(provider.model_mapping.values()) or any(name and not is_glob(name) for name in own)
