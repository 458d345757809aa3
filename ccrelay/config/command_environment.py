"""The environment of `${cmd:...}`: what programs that keep secrets need, and nothing else.

Keys of other services, relay tokens and whatever else stands in the relay's environment is not for
a program that is asked for one secret.
"""

from collections.abc import Collection, Mapping

# Names of further variables, separated by commas: set by who starts the relay.
VARIABLE = "CCRELAY_CMD_ENV"

# Tell who runs where; never withheld.
_PLAIN = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "TMPDIR", "TZ", "LANG", "LANGUAGE"),
        *("LC_ALL", "LC_COLLATE", "LC_CTYPE", "LC_MESSAGES", "LC_MONETARY", "LC_NUMERIC"),
        *("LC_TIME", "LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_LIBRARY_PATH"),
    }
)
_PASSED = _PLAIN | frozenset(
    {
        # agents, and the windows in which they ask for a password
        *("GNUPGHOME", "GPG_TTY", "GPG_AGENT_INFO", "SSH_AUTH_SOCK", "KRB5CCNAME"),
        *("DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "DBUS_SESSION_BUS_ADDRESS"),
        *("XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"),
        *("XDG_STATE_HOME", "XDG_SESSION_TYPE", "XDG_CURRENT_DESKTOP"),
        "CREDENTIALS_DIRECTORY",  # systemd's LoadCredential=
        # the way to a service
        *("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"),
        *("ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"),
        "NIX_SSL_CERT_FILE",
        # which account of a cloud; its access keys are in files, or named in CCRELAY_CMD_ENV
        *("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_CONFIG_FILE", "AWS_ROLE_ARN"),
        *("AWS_SHARED_CREDENTIALS_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CA_BUNDLE"),
        *("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
        *("GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_CONFIG", "CLOUDSDK_CORE_PROJECT"),
        *("AZURE_CONFIG_DIR", "SOPS_AGE_KEY_FILE"),
    }
)
# Settings and sessions of password managers: pass, gopass, 1Password, Bitwarden, Vault, LastPass.
_PREFIXES = (
    "PASSWORD_STORE_",
    "GOPASS_",
    "OP_",
    "BW_",
    "BWS_",
    "BITWARDENCLI_",
    "VAULT_",
    "LPASS_",
)


def command_environment(env: Mapping[str, str], withheld: Collection[str]) -> dict[str, str]:
    """The environment of a command.

    Args:
        env: that of this process.
        withheld: names that the configuration refers to by `${NAME}`: they have their use.
    """
    named = {name.strip() for name in env.get(VARIABLE, "").split(",")}
    return {name: value for name, value in env.items() if name in named or _is(name, withheld)}


def _is(name: str, withheld: Collection[str]) -> bool:
    if name in _PLAIN:
        return True
    return name not in withheld and (name in _PASSED or name.startswith(_PREFIXES))


def keychain_environment(env: Mapping[str, str], withheld: Collection[str] = ()) -> dict[str, str]:
    """The environment of the process that asks the keychain: that of a command, and the settings of
    its library. Arguments as of `command_environment`."""
    own = {name: value for name, value in env.items() if name.startswith("PYTHON_KEYRING_")}
    if "CCRELAY_DUMPABLE" in env:
        own["CCRELAY_DUMPABLE"] = env["CCRELAY_DUMPABLE"]
    return command_environment(env, withheld) | own
