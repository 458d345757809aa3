"""What the clouds of a configuration take from this machine: variables, files, optional libraries.

Libraries are looked for, not imported: only the credentials process imports them.
"""

import os
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec

from ccrelay.config.cloud import (
    AWS_TYPES,
    GOOGLE_TYPES,
    is_cloud,
    needs_credential,
    with_environment,
)
from ccrelay.config.model import Config, Credential, Key, Provider
from ccrelay.config.problems import Path, Problem, Severity

_FILES = ("file", "certificate_file")


class Extra(NamedTuple):
    """An extra of the package, and the modules that it brings."""

    name: str
    modules: tuple[str, ...]


AWS = Extra("aws", ("botocore",))
GOOGLE = Extra("gcp", ("google.auth", "requests"))
AZURE = Extra("azure", ("azure.identity",))
EXTRAS = {extra.name: extra for extra in (AWS, GOOGLE, AZURE)}


def located(config: Config, env: Mapping[str, str], folder: str) -> Config:
    """Fill in regions and projects from variables, and make paths of files absolute.

    Args:
        config: not resolved.
        env: of the relay.
        folder: of the configuration file, which relative paths start from.
    """
    if not any(is_cloud(provider) for provider in config.providers):
        return config
    filled = with_environment(config, env)
    home = env.get("HOME", "")
    providers = [_with_paths(provider, folder, home) for provider in filled.providers]
    return msgspec.structs.replace(filled, providers=providers)


def missing_here(config: Config, severity: Severity = "error") -> list[Problem]:
    """Files that cannot be read, and libraries that are not installed, of enabled clouds.

    Args:
        config: located.
        severity: of the problems.
    """
    found = []
    for index, provider in enumerate(config.providers):
        if not needs_credential(provider):
            continue
        path: Path = ("providers", index)
        for place, file in _files(provider):
            reason = _unreadable(file)
            if reason:
                message = f"cannot read the file: {reason}"
                found.append(Problem(message=message, path=(*path, *place), severity=severity))
        extra = extra_of(provider)
        modules = lacking(extra)
        if modules:
            message = (
                f"credentials of type {provider.type} require {' and '.join(modules)}: "
                f"pip install 'ccrelay-proxy[{extra.name}]'"
            )
            found.append(Problem(message=message, path=(*path, "type"), severity=severity))
    return found


def extra_of(provider: Provider) -> Extra:
    """The extra that obtains the credentials of a cloud."""
    if provider.type in AWS_TYPES:
        return AWS
    return GOOGLE if provider.type in GOOGLE_TYPES else AZURE


def lacking(extra: Extra) -> list[str]:
    """The modules of an extra that are not installed."""
    return [name for name in extra.modules if not _is_installed(name)]


def _is_installed(module: str) -> bool:
    from importlib.util import find_spec  # where there is no cloud, not even this is loaded

    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # its parent is missing, or is no package
        return False


def _files(provider: Provider) -> Iterator[tuple[Path, str]]:
    for index, key in enumerate(provider.keys):
        if not key.enabled or key.credential is None:
            continue
        for name in _FILES:
            file = getattr(key.credential, name)
            if file:
                yield ("keys", index, "credential", name), file


def _unreadable(file: str) -> str:
    """Why a file cannot be read; empty: it can."""
    try:
        os.close(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError as error:
        return error.strerror or "unknown error"
    except ValueError:
        return "not a path"
    return "it is a folder" if os.path.isdir(file) else ""


def _with_paths(provider: Provider, folder: str, home: str) -> Provider:
    keys = [_key_with_paths(key, folder, home) for key in provider.keys]
    return msgspec.structs.replace(provider, keys=keys)


def _key_with_paths(key: Key, folder: str, home: str) -> Key:
    credential = key.credential
    if credential is None:
        return key
    changed = {
        name: _absolute(getattr(credential, name), folder, home)
        for name in _FILES
        if getattr(credential, name)
    }
    if not changed:
        return key
    replaced: Credential = msgspec.structs.replace(credential, **changed)
    return msgspec.structs.replace(key, credential=replaced)


def _absolute(file: str, folder: str, home: str) -> str:
    if home and file.startswith("~/"):
        file = home.rstrip("/") + file[1:]
    return os.path.normpath(os.path.join(folder, file))
