"""The variables that Claude Code needs for a relay, each with its reason. Pure: facts in, list out.

Variables hold for the whole process, routes differ. So a feature is switched on only where every
provider that requests may go to is known to bear it; where one is not, the reason names it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import urlsplit

from ccrelay.cli.client_facts import Facts, RouteProvider
from ccrelay.cli.client_project import HEADERS, with_header, with_project

BASE_URL = "ANTHROPIC_BASE_URL"
AUTH_TOKEN = "ANTHROPIC_AUTH_TOKEN"
API_KEY = "ANTHROPIC_API_KEY"
MODEL = "ANTHROPIC_MODEL"
FAMILIES = tuple(f"ANTHROPIC_DEFAULT_{name}_MODEL" for name in ("OPUS", "SONNET", "HAIKU"))
FIRST_PARTY = "_CLAUDE_CODE_ASSUME_FIRST_PARTY_BASE_URL"
TOOL_SEARCH = "ENABLE_TOOL_SEARCH"
FINE_GRAINED = "CLAUDE_CODE_ENABLE_FINE_GRAINED_TOOL_STREAMING"
ATTRIBUTION = "CLAUDE_CODE_ATTRIBUTION_HEADER"
DISCOVERY = "CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY"
UNKNOWN_WINDOW = "CLAUDE_CODE_MAX_CONTEXT_TOKENS"
COMPACT_WINDOW = "CLAUDE_CODE_AUTO_COMPACT_WINDOW"
PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
SECRETS = frozenset({AUTH_TOKEN, HEADERS})

YOURS_STAY = "; yours stay"
ANY_TOKEN = "ccrelay"  # no secret: the relay takes any credential, the client wants to send one
COMPACT_MIN = 100_000  # Claude Code takes a smaller auto-compact window for this one
WINDOW_MAX = 1_000_000  # what Claude Code assumes of newer models, and of names it does not know
ADVANCED_TOOL_USE = "advanced-tool-use-2025-11-20"
FINE_GRAINED_BETA = "fine-grained-tool-streaming-2025-05-14"
# By the table of docs/dialects.md; a test compares them.
SEARCH_TYPES = frozenset({"anthropic", "azure", "claude-aws", "claude-google", "bedrock", "vertex"})
EAGER_TYPES = frozenset({"anthropic", "azure", "claude-aws", "claude-google", "vertex"})
EAGER_APIS = frozenset({"mantle", "invoke"})


class Variable(NamedTuple):
    """A variable of Claude Code.

    Args:
        name: of the variable.
        value: what it is set to; None: it is not set.
        reason: one sentence: why, or why not.
        is_given: whether the user has set it, which stays.
        source: settings file of Claude Code in which the user has; empty: the environment.
    """

    name: str
    value: str | None
    reason: str
    is_given: bool = False
    source: str = ""


def decide(
    facts: Facts,
    given: Mapping[str, str],
    project: str = "",
    sources: Mapping[str, str] = MappingProxyType({}),
) -> list[Variable]:
    """Return all variables that are considered, in a fixed order.

    Args:
        facts: of the relay.
        given: variables that the user has set. All but the base URL win.
        project: for `x-ccrelay-project`; empty: none.
        sources: settings files of Claude Code that set some of them: the environment does not
            change those.
    """
    found = [
        Variable(BASE_URL, facts.url, "the relay's address"),
        *_credential(facts, given),
        _first_party(facts),
        *(_tool_search(facts), _fine_grained(facts)),
        *(_attribution(facts), _discovery(facts)),
        *_windows(facts),
        *_models(facts),
    ]
    kept = [_kept(variable, given) for variable in found]
    added = [_headers(facts, given, project), *_no_proxy(facts, given)]
    kept += [_not_added(one, given) if one.name in sources else one for one in added]
    return [one._replace(source=sources.get(one.name, "")) for one in kept]


def environment(variables: Iterable[Variable]) -> dict[str, str]:
    """Return what is to be set."""
    return {
        variable.name: variable.value
        for variable in variables
        if variable.value is not None and not variable.is_given
    }


def _kept(variable: Variable, given: Mapping[str, str]) -> Variable:
    own = given.get(variable.name)
    if own is None or variable.name == BASE_URL or own == variable.value:
        return variable
    wanted = "unset" if variable.value is None else _shown(variable)
    reason = f"yours; ccrelay would leave it {wanted}" if variable.value is None else (
        f"yours; ccrelay would set {wanted}"
    )  # fmt: skip
    return Variable(variable.name, own, reason, is_given=True)


def _not_added(variable: Variable, given: Mapping[str, str]) -> Variable:
    """What is to be added to a value that the environment does not change."""
    if variable.is_given:
        return variable
    reason = f"yours; ccrelay would add to it: {variable.reason.removesuffix(YOURS_STAY)}"
    return Variable(variable.name, given[variable.name], reason, is_given=True)


def _shown(variable: Variable) -> str:
    return "a relay token" if variable.name in SECRETS else str(variable.value)


def _credential(facts: Facts, given: Mapping[str, str]) -> list[Variable]:
    has_own = any(given.get(name) for name in (AUTH_TOKEN, API_KEY))
    passing = _names(one for one in facts.providers if one.passes_through)
    if facts.wants_token:
        if passing and not given.get(API_KEY):
            reason = f"your login goes through to {passing}; the relay token is a custom header"
            return [Variable(AUTH_TOKEN, None, reason)]
        if facts.token is None:
            reason = "the relay wants a token, which is not known here: set it yourself"
            return [Variable(AUTH_TOKEN, None, reason)]
        return [Variable(AUTH_TOKEN, facts.token, "the relay wants one of its tokens")]
    if passing:
        reason = f"your own login or key goes through to {passing}"
        return [Variable(AUTH_TOKEN, None, reason)]
    if has_own:
        reason = "the relay takes any credential, and you have one"
        return [Variable(AUTH_TOKEN, given.get(AUTH_TOKEN), reason, bool(given.get(AUTH_TOKEN)))]
    reason = "the relay takes any credential; without one Claude Code asks for a login"
    return [Variable(AUTH_TOKEN, ANY_TOKEN, reason)]


def _first_party(facts: Facts) -> Variable:
    others = [one for one in facts.providers if not one.is_anthropic]
    if others:
        reason = f"{_names(others)}: not api.anthropic.com"
        return Variable(FIRST_PARTY, None, reason)
    altered = [one for one in facts.providers if one.drop_betas or one.drops_headers]
    if altered or not facts.providers:
        reason = f"{_names(altered) or 'no provider'}: betas or headers are left out"
        return Variable(FIRST_PARTY, None, reason)
    reason = "every route ends at api.anthropic.com, and request-id comes through unchanged"
    return Variable(FIRST_PARTY, "1", reason)


def _is_first_party(facts: Facts) -> bool:
    return _first_party(facts).value is not None


def _tool_search(facts: Facts) -> Variable:
    without = [one for one in facts.providers if one.drops(ADVANCED_TOOL_USE)]
    if without:
        reason = f"{_names(without)}: its beta is left out, so deferred tools cannot be found"
        return Variable(TOOL_SEARCH, "false", reason)
    return _where_all(
        TOOL_SEARCH,
        "true",
        facts,
        lambda one: one.type in SEARCH_TYPES,
        "every provider understands deferred tools",
    )


def _fine_grained(facts: Facts) -> Variable:
    if _is_first_party(facts):
        return Variable(FINE_GRAINED, None, "Claude Code decides, as without a relay")
    return _where_all(
        FINE_GRAINED,
        "1",
        facts,
        _is_eager,
        "every provider streams a tool's arguments",
    )


def _is_eager(provider: RouteProvider) -> bool:
    if provider.drops(FINE_GRAINED_BETA):
        return False
    return provider.type in EAGER_TYPES or provider.api in EAGER_APIS


def _where_all(
    name: str,
    value: str,
    facts: Facts,
    bears: Callable[[RouteProvider], bool],
    reason: str,
) -> Variable:
    others = [one for one in facts.providers if not bears(one)]
    if others or not facts.providers:
        return Variable(name, None, f"{_names(others) or 'no provider'}: not known to bear it")
    return Variable(name, value, reason)


def _attribution(facts: Facts) -> Variable:
    anthropic = [one for one in facts.providers if one.type == "anthropic"]
    if anthropic:
        reason = f"{_names(anthropic)} reads it; it stays the same over a session"
        if _is_first_party(facts):
            reason = "Anthropic reads it"
        return Variable(ATTRIBUTION, None, reason)
    reason = "no provider is Anthropic: a line that changes would spoil its prompt cache"
    return Variable(ATTRIBUTION, "0", reason)


def _discovery(facts: Facts) -> Variable:
    if _is_first_party(facts):
        reason = f"Claude Code does not ask where {FIRST_PARTY} is set"
        return Variable(DISCOVERY, None, reason)
    names = [name for one in facts.providers for name in _exact_names(one)]
    shown = [name for name in names if "claude" in name.lower() or "anthropic" in name.lower()]
    if shown or any(one.discovers for one in facts.providers):
        return Variable(DISCOVERY, "1", "the relay has a list of models for /model")
    return Variable(DISCOVERY, None, "the relay names no Claude model, so its list would be empty")


def _exact_names(provider: RouteProvider) -> list[str]:
    """The names that clients may ask for, without globs."""
    return [name for name in (*provider.mapping, *provider.models) if not _is_glob(name)]


def _is_glob(name: str) -> bool:
    return "*" in name or "?" in name


def _windows(facts: Facts) -> list[Variable]:
    """Windows of models that Claude Code cannot know: its own names, and those it takes for 1M."""
    unknown: dict[str, int] = {}
    known: dict[str, int] = {}
    for provider in facts.providers:
        for asked, window in _route_windows(provider).items():
            group = known if asked.startswith(("claude-", "anthropic")) else unknown
            group[asked] = min(window, group.get(asked, window))
    return [
        _smallest(UNKNOWN_WINDOW, unknown, "no max_input_tokens is set for a name that is not "
                  "Claude's"),
        _smallest(
            COMPACT_WINDOW,
            {name: window for name, window in known.items() if window < WINDOW_MAX},
            "no Claude model is served with a smaller window",
        ),
    ]  # fmt: skip


def _route_windows(provider: RouteProvider) -> dict[str, int]:
    """The windows of the models that clients ask for: of the name itself, else of what is sent."""
    found = dict(provider.windows)
    for asked, sent in provider.mapping.items():
        window = provider.windows.get(asked) or provider.windows.get(sent)
        if window:
            found[asked] = window
    return found


def _smallest(name: str, windows: Mapping[str, int], otherwise: str) -> Variable:
    if not windows:
        return Variable(name, None, otherwise)
    asked, window = min(windows.items(), key=lambda entry: entry[1])
    reason = f"the window of {asked}"
    if name == COMPACT_WINDOW and window < COMPACT_MIN:
        reason += f"; Claude Code takes {COMPACT_MIN} at least, so its prompts may grow too large"
    return Variable(name, str(window), reason)


def _models(facts: Facts) -> list[Variable]:
    """A model to begin with, where none of Claude Code's own names is served."""
    if not facts.providers or any(_serves_claude(one) for one in facts.providers):
        return [Variable(MODEL, None, "Claude models are served")]
    name = next((name for one in facts.providers for name in _exact_names(one)), None)
    if name is None:
        return [Variable(MODEL, None, "no Claude model is served, and none by an exact name")]
    reason = "no Claude model is served"
    return [Variable(variable, name, reason) for variable in (MODEL, *FAMILIES)]


def _serves_claude(provider: RouteProvider) -> bool:
    names = (*provider.mapping, *provider.models)
    return any(name.startswith(("claude", "anthropic", "*", "?")) for name in names) or not names


def _headers(facts: Facts, given: Mapping[str, str], project: str) -> Variable:
    own = given.get(HEADERS, "")
    headers = with_project(own, project)
    reason = f"costs are told by project: {project}" if headers != own else "none is needed"
    passing = any(one.passes_through for one in facts.providers)
    if facts.wants_token and facts.token and passing and not given.get(API_KEY):
        headers = with_header(headers, "x-api-key", facts.token)
        reason += "; the relay token, beside your login"
    if headers == own:
        return Variable(HEADERS, own or None, reason, is_given=bool(own))
    return Variable(HEADERS, headers, reason + (YOURS_STAY if own else ""))


def _no_proxy(facts: Facts, given: Mapping[str, str]) -> list[Variable]:
    """Keep a proxy of the user from what goes to the relay on this machine."""
    proxies = [name for name in PROXIES if given.get(name)]
    host = urlsplit(facts.url).hostname or ""
    name = "no_proxy" if given.get("no_proxy") else "NO_PROXY"
    own = given.get(name, "")
    entries = [entry.strip() for entry in own.split(",") if entry.strip()]
    if not proxies or host in entries or "*" in entries:
        return []
    reason = f"{proxies[0]} is set, and the relay is on this machine"
    return [Variable(name, ",".join([*entries, host]), reason)]


def _names(providers: Iterable[RouteProvider]) -> str:
    names: Sequence[str] = [one.name for one in providers]
    return " and ".join(names) if len(names) < 3 else f"{', '.join(names[:2])} and others"
