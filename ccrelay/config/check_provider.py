"""Semantic checks of a provider: service, credentials, URL, models, headers."""

import re
from urllib.parse import SplitResult, urlsplit

from ccrelay.config.address import is_host, is_loopback, is_private
from ccrelay.config.check_names import (
    TOKEN,
    check_label,
    check_model,
    check_pattern,
    check_patterns,
    is_glob,
)
from ccrelay.config.cloud import has_cloud_members, identity_of, is_cloud
from ccrelay.config.findings import Findings
from ccrelay.config.model import Key, Model, Provider
from ccrelay.config.problems import Path, quoted
from ccrelay.config.resolve import auth_of, defaults_of

_HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?\Z")
_AUTHORITY = re.compile(r"(\[[^\[\]]+\]|[^\[\]:]+)(:[0-9]{1,5})?\Z")

# Set by the relay: framing, hop-by-hop, content coding, credentials.
_RESERVED_HEADERS = frozenset(
    {
        "host",
        *("content-length", "transfer-encoding", "content-type", "content-encoding"),
        *("connection", "keep-alive", "te", "trailer", "upgrade", "expect"),
        *("proxy-connection", "proxy-authenticate", "proxy-authorization"),
        *("accept-encoding", "authorization", "x-api-key"),
    }
)


def check_provider(provider: Provider, path: Path, findings: Findings) -> None:
    """Check `provider` at `path`."""
    if not provider.name.isprintable():
        findings.wrong((*path, "name"), "the name contains control characters", provider.name)
    check_label((*path, "name"), provider.name, findings)
    if provider.preset is not None and provider.type != "compatible":
        message = f"a preset requires type compatible, not {provider.type}"
        findings.error((*path, "preset"), message)
    _check_cloud(provider, path, findings)
    if provider.base_url is not None:
        _check_base_url(provider, path, findings)
    elif provider.type == "compatible" and provider.preset is None:
        findings.missing(
            (*path, "base_url"),
            "type compatible requires a base_url or a preset",
            needs=("base_url", "preset"),
            unless=((*path, "type"), (*path, "preset")),
        )
    _check_credentials(provider, path, findings)
    _check_models(provider, path, findings)
    check_patterns((*path, "prices"), provider.prices, findings)
    _check_headers(provider.headers, (*path, "headers"), findings)
    for index, name in enumerate(provider.drop_headers):
        if not TOKEN.match(name):
            findings.wrong((*path, "drop_headers", index), "invalid header name", name)
    if provider.passthrough and provider.type != "anthropic":
        message = f"passthrough requires type anthropic, not {provider.type}"
        findings.error((*path, "passthrough"), message)
    for index, beta in enumerate(provider.drop_betas or ()):
        if not TOKEN.match(beta):
            findings.wrong((*path, "drop_betas", index), "invalid beta name", beta)


def _check_cloud(provider: Provider, path: Path, findings: Findings) -> None:
    if is_cloud(provider) or has_cloud_members(provider):
        from ccrelay.config.check_cloud import check_cloud  # most relays start without

        check_cloud(provider, path, findings)


def _check_base_url(provider: Provider, path: Path, findings: Findings) -> None:
    text = provider.base_url or ""
    path = (*path, "base_url")
    url = _split(text)
    if not text.isascii() or not text.isprintable() or " " in text or "\\" in text:
        findings.wrong(
            path, "invalid URL: a space, a backslash, a control or non-ASCII character", text
        )
        return
    if url is None:
        findings.wrong(path, "invalid URL: use http://HOST:PORT, or http://[IPV6]:PORT", text)
        return
    host = url.hostname or ""
    authority = url.netloc.rpartition("@")[2]
    is_complete = _AUTHORITY.match(authority) is not None and is_host(host)
    if url.scheme not in ("http", "https") or not is_complete:
        findings.wrong(path, "must be http://HOST or https://HOST, optionally with a path", text)
        return
    if url.port == 0:
        findings.wrong(path, "must not have port 0", text)
    if "@" in url.netloc:
        findings.wrong(path, "must not contain a user name or password; use keys", text)
    if "?" in text or "#" in text:
        findings.wrong(path, "must not contain a query or a fragment", text)
    tail = re.search(r"/v1(/messages(/count_tokens)?)?/*\Z", url.path)
    if re.search(r"/(chat/completions|completions|responses)/*\Z", url.path):
        message = (
            "a URL of OpenAI's API: use the service's Anthropic-compatible URL, the part before "
            "/v1/messages"
        )
        findings.wrong(path, message, text)
    elif tail and not (provider.type == "vertex" and tail[1] is None):
        findings.error(path, f"must be the URL before /v1/messages: remove {quoted(tail[0])}")
    if url.scheme == "http":
        _check_plain_http(provider, host, path, findings)


def _check_plain_http(provider: Provider, host: str, path: Path, findings: Findings) -> None:
    if is_loopback(host) or (provider.type == "anthropic" and not provider.keys):
        return  # pass-through has a stricter rule
    if is_cloud(provider) and not is_private(host):
        message = "plain http to a public host: credentials and prompts would travel unencrypted"
        findings.error(path, message)
    elif (provider.keys or is_cloud(provider)) and auth_of(provider) != "none":
        findings.warning(path, "plain http to another host: keys and prompts travel unencrypted")
    elif not is_private(host):
        findings.warning(path, "plain http to another host: prompts travel unencrypted")


def _check_credentials(provider: Provider, path: Path, findings: Findings) -> None:
    auth = auth_of(provider)
    if provider.type == "anthropic" and not provider.keys:
        _check_pass_through(provider, path, findings)
    elif auth == "none" and provider.keys:
        findings.error((*path, "auth"), "auth none sends no key, but keys are configured")
    elif auth != "none" and not provider.keys and not is_cloud(provider):
        findings.missing(
            (*path, "keys"),
            f"auth {auth} requires at least one key",
            needs=("keys",),
            unless=tuple((*path, name) for name in ("auth", "type", "preset")),
        )
    _check_keys(provider, (*path, "keys"), findings)


def _check_pass_through(provider: Provider, path: Path, findings: Findings) -> None:
    """Check that a client's credential is passed through to Anthropic or loopback only."""
    if provider.auth is not None:
        findings.missing(
            (*path, "auth"),
            "without keys the client's credential is passed through: remove auth, or add keys",
            needs=("keys",),
            unless=((*path, "keys"),),
        )
    url = _split(provider.base_url or defaults_of(provider).base_url or "")
    host = ((url.hostname if url else None) or "").rstrip(".")
    if url is None or not host or is_loopback(host):
        return
    if host != "api.anthropic.com":
        findings.missing(
            (*path, "base_url"),
            "without keys the client's credential is passed through, which is allowed to "
            "api.anthropic.com and loopback only: add keys",
            needs=("keys",),
            unless=((*path, "keys"),),
        )
    elif url.scheme != "https":
        findings.error(
            (*path, "base_url"), "passing the client's credential through requires https"
        )


def _check_keys(provider: Provider, path: Path, findings: Findings) -> None:
    first: dict[str, int] = {}
    for index, key in enumerate(provider.keys):
        _check_key(key, (*path, index), findings)
        member, own = identity(key)
        if key.enabled and own:
            if own in first:
                message = (
                    f"duplicate of keys[{first[own]}]: its limits would be counted twice; "
                    "remove one"
                )
                findings.error((*path, index, member), message)
            first.setdefault(own, index)
    usable = [key for key in provider.keys if key.enabled]
    if not provider.enabled or not provider.keys:
        return
    if not usable:
        findings.warning(path, "all keys are disabled: this provider gets no requests")
    elif not any(key.weight for key in usable):
        message = "all keys have weight 0: give a weight to the keys to prefer"
        findings.warning(path, message)


def identity(key: Key) -> tuple[str, str]:
    """Return the member that tells an entry of `keys` apart, and what it says; "": nothing."""
    if key.credential is not None:
        return "credential", identity_of(key.credential)
    return "key", key.key


def _check_key(key: Key, path: Path, findings: Findings) -> None:
    if key.credential is None and not findings.is_invalid((*path, "credential")):
        findings.secret((*path, "key"), key.key, "the key")
    if key.name is not None and not (key.name.strip() and key.name.isprintable()):
        findings.error((*path, "name"), "must not be empty or contain control characters")
    check_label((*path, "name"), key.name or "", findings)
    for name in ("itpm_limit", "otpm_limit"):
        limit = getattr(key, name)
        if limit is not None and key.tpm_limit is not None and limit > key.tpm_limit:
            message = f"never reached: tpm_limit, which includes it, is {key.tpm_limit:,}"
            findings.warning((*path, name), message)


def _check_models(provider: Provider, path: Path, findings: Findings) -> None:
    check_patterns((*path, "model_mapping"), provider.model_mapping, findings)
    for pattern, model in provider.model_mapping.items():
        check_model((*path, "model_mapping", pattern), model, "the model sent", findings)
    for index, entry in enumerate(provider.models or ()):
        place = (*path, "models", index)
        if isinstance(entry, Model):
            if is_glob(entry.id) or entry.id != entry.id.strip():
                findings.wrong((*place, "id"), "must not contain *, ? or whitespace", entry.id)
        else:
            check_pattern(place, entry, findings)


def _check_headers(headers: dict[str, str], path: Path, findings: Findings) -> None:
    seen: set[str] = set()
    for name, value in headers.items():
        place = (*path, name)
        lower = name.lower()
        if not TOKEN.match(name):
            findings.error(place, "invalid header name")
        elif lower in _RESERVED_HEADERS:
            findings.error(place, "reserved header, set by the relay")
        elif lower in seen:
            findings.error(place, "duplicate header (names are case-insensitive)")
        elif value and not _HEADER_VALUE.match(value):
            message = (
                "invalid value: control or non-ASCII characters, or leading or trailing whitespace"
            )
            findings.error(place, message)
        seen.add(lower)


def _split(text: str) -> SplitResult | None:
    try:
        url = urlsplit(text)
        _ = url.port  # raises ValueError for an invalid port
    except ValueError:
        return None
    return url
