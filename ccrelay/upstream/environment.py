"""Checks the variables that connections to providers depend on: proxies, trusted certificates.

Done by the supervisor, before it listens and before a reload: a worker could only die of them.
Imports no `ssl`, as the supervisor uses no TLS.
"""

from collections.abc import Mapping

from ccrelay.config.model import Config
from ccrelay.config.problems import Problem
from ccrelay.upstream.origin import Origin
from ccrelay.upstream.proxy import Proxy, proxy_variable
from ccrelay.upstream.trust import trust_problems

SOCKS_LIBRARY_MAJOR = 3  # as in the extra; others have other arguments
SOCKS_EXTRA = "pip install 'ccrelay-proxy[socks]'"


def environment_problems(config: Config, env: Mapping[str, str]) -> list[Problem]:
    """Return errors and warnings about the variables that apply to the enabled providers.

    A proxy that cannot be used is an error, once for each variable; certificates that cannot be
    found are a warning, because those of the system may do. Never quotes a proxy URL.

    Args:
        config: resolved.
        env: environment variables.
    """
    problems: list[Problem] = []
    users: dict[tuple[str, str], list[str]] = {}  # variable and URL -> providers
    needs_trust = False
    for index, provider in enumerate(config.providers):
        if not provider.enabled or provider.base_url is None:
            continue
        try:
            origin = Origin.parse(provider.base_url)
        except ValueError as error:
            path = ("providers", index, "base_url")
            problems.append(Problem(message=str(error), path=path))
            continue
        needs_trust |= origin.scheme == "https"
        found = proxy_variable(origin, env)
        if found is not None:
            users.setdefault(found, []).append(provider.name)
    for (variable, url), providers in users.items():
        proxy, reason = _usable(url)
        needs_trust |= proxy is not None and proxy.scheme == "https"
        if reason:
            text = f"{reason}. Used for: {', '.join(providers)}; NO_PROXY exempts hosts"
            problems.append(Problem(message=text, source=_source(variable)))
    if needs_trust:
        problems += [
            Problem(message=problem, source=_source(variable), severity="warning")
            for variable, problem in trust_problems(env)
        ]
    return problems


def _usable(url: str) -> tuple[Proxy | None, str]:
    """Return the proxy, or why it cannot be used."""
    try:
        proxy = Proxy.parse(url)
    except ValueError as error:
        return None, f"the proxy URL {error}"
    if proxy.is_socks and not _has_socks():
        return None, f"a SOCKS proxy needs the extra `socks`: {SOCKS_EXTRA}"
    return proxy, ""


def _has_socks() -> bool:
    try:
        import python_socks

        return int(python_socks.__version__.partition(".")[0]) == SOCKS_LIBRARY_MAJOR
    except (ImportError, AttributeError, ValueError):
        return False


def _source(variable: str) -> str:
    return f"environment variable {variable}"
