"""Lists of models: how long they are kept, who waits for them, and whose they are."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any, TypeVar

import pytest

from ccrelay._fast.http1 import Head, parse_request
from ccrelay.config.model import Health, Key, Model, Provider
from ccrelay.config.resolve import resolve_provider
from ccrelay.errors import UpstreamFailed
from ccrelay.fleet.service import Service
from ccrelay.relay.discovery import FAILURE_KEPT_S, HOLD_S, KEPT_S, Discovery
from ccrelay.relay.fetch import Fields
from ccrelay.relay.gate import Pass
from ccrelay.relay.tasks import TaskSet
from ccrelay.wire.models import ModelEntry
