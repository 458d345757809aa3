"""The running form of one configuration: providers, routing, connection pools, authentication.

A reload builds a new one; exchanges in flight finish with the one they started with.
"""

import asyncio
import os
from collections.abc import Callable

from msgspec.structs import replace

from ccrelay._fast.body import BodyLimits
from ccrelay._fast.conn import Reactor
from ccrelay._fast.handlers import DownstreamLimits, UpstreamLimits
from ccrelay._fast.shared_memory import SharedMemory
from ccrelay._fast.token_guard import TokenGuard
from ccrelay.config.model import Config, Provider
from ccrelay.fleet.credential_store import CredentialStore
from ccrelay.fleet.endpoint import OnChange
from ccrelay.fleet.layout import Layout
from ccrelay.fleet.provider_state import ProviderState
from ccrelay.relay.client_auth import Authenticator
from ccrelay.relay.models_api import ModelsApi
from ccrelay.routing.route_table import RouteTable
from ccrelay.routing.router import Router
from ccrelay.routing.rules import CompiledRule, Rules, compile_rules
from ccrelay.routing.strategies import Strategy, strategy_for
from ccrelay.upstream.dial import Dialer
from ccrelay.upstream.origin import Origin
from ccrelay.upstream.pool import Pool
from ccrelay.upstream.proxy import proxy_for
from ccrelay.upstream.tasks import TaskSet

# Settings of a connection pool: a reload keeps pools with equal keys.
PoolKey = tuple[object, ...]


class RuntimeConfig:
    """Everything that a worker builds from its configuration."""

    __slots__ = (
        "affinity",
        "authenticator",
        "body_bytes_max",
        "by_slot",
        "config",
        "debug",
        "limits",
        "listen",
        "models_api",
        "only",
        "passthrough",
        "pool_keys",
        "pools",
        "providers",
        "queue_share",
        "router",
        "routes",
        "rules",
        "strategy",
        "token_guard",
    )

    def __init__(
        self,
        config: Config,
        providers: list[ProviderState],
        pools: dict[str, Pool],
        authenticator: Authenticator,
    ) -> None:
        routing = config.routing
        self.config = config
        self.listen = config.server.listen  # the address in use: a reload cannot change it
        self.providers = providers
        self.pools = pools
        self.pool_keys: dict[PoolKey, Pool] = {}
        self.authenticator = authenticator
        tokens = [token.encode() for token in config.server.auth.tokens]
        self.token_guard = TokenGuard(tokens) if tokens else None
        self.limits = downstream_limits(config)
        # Places of the pending queue that one client may take.
        room = routing.queue_max
        self.queue_share = room if authenticator.is_for_one else (room + 1) // 2
        self.router = Router(routing)
        self.strategy = strategy_for(routing)
        rules = compile_rules(routing)
        self.rules: Rules | None = None if rules.empty else rules
        strategies: dict[str, Strategy] = {routing.strategy: self.strategy}

        def strategy_for_rule(rule: CompiledRule | None) -> Strategy:
            name = (rule.strategy if rule is not None else None) or routing.strategy
            if name not in strategies:
                strategies[name] = strategy_for(routing, name)
            return strategies[name]

        self.routes = RouteTable(providers, strategy_for_rule)
        # Group of endpoints that are not routed -> the first provider that is told to serve it.
        self.passthrough: dict[str, ProviderState] = {}
        for provider in providers:
            if provider.config.type == "anthropic" and provider.targets:
                for group in provider.config.passthrough:
                    self.passthrough.setdefault(group, provider)
        self.affinity = routing.affinity.enabled
        self.debug = routing.debug
        self.body_bytes_max = config.server.limits.body_bytes_max
        self.models_api: ModelsApi | None = None
        self.by_slot = {t.slot: t for provider in providers for t in provider.targets}
        # The only target, if there is one: affinity has no choice then.
        self.only = next(iter(self.by_slot.values())) if len(self.by_slot) == 1 else None


class RuntimeConfigBuilder:
    """Builds runtime configs of one worker; keeps connection pools with unchanged settings."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        reactor: Reactor,
        memory: SharedMemory,
        tasks: TaskSet,
        on_change: OnChange,
        credentials: CredentialStore | None = None,
    ) -> None:
        self._loop = loop
        self._reactor = reactor
        self._board = memory
        self._tasks = tasks
        self._on_change = on_change
        self._credentials = credentials

    def make(
        self,
        config: Config,
        layout: Layout,
        old: RuntimeConfig | None,
        make_models_api: "MakeModelsApi",
    ) -> RuntimeConfig:
        """Build a runtime config; `old` is unchanged when this fails.

        Raises:
            ValueError: unresolved configuration, or a key that is not valid in a header.
        """
        providers = [
            ProviderState(
                provider,
                config.health,
                memory=self._board,
                slots=layout.targets[provider.name],
                endpoint_slot=layout.endpoints[provider.name],
                on_change=self._on_change,
                credentials=self._credentials,
            )
            for provider in config.providers
            if provider.enabled
        ]
        if old is not None:
            _keep_clocks(providers, old.providers)
        known = old.pool_keys if old is not None else {}
        keys: dict[PoolKey, Pool] = {}
        pools: dict[str, Pool] = {}
        for provider in providers:
            key = _pool_key(config, provider.config)
            pool = keys.get(key) or known.get(key) or self._pool(config, provider.config)
            keys[key] = pools[provider.name] = pool
        listen = old.listen if old is not None else config.server.listen
        authenticator = Authenticator(replace(config.server, listen=listen))
        made = RuntimeConfig(config, providers, pools, authenticator)
        made.listen = listen
        made.pool_keys = keys
        made.models_api = make_models_api(made)
        return made

    def _pool(self, config: Config, provider: Provider) -> Pool:
        assert provider.base_url is not None
        origin = Origin.parse(provider.base_url)
        routing = config.routing
        timeouts = provider.timeouts or routing.timeouts
        dialer = Dialer(
            origin,
            self._loop,
            connect_s=timeouts.connect_s,
            proxy=proxy_for(origin, os.environ),
            provider=provider.name,
            start_hint=_START_HINTS.get(provider.type or "", ""),
        )
        limits = UpstreamLimits(
            first_byte_s=timeouts.first_byte_s,
            idle_s=timeouts.idle_s,
            total_s=timeouts.total_s,
            pool_idle_s=routing.pool_idle_s,
            event_bytes_max=config.server.limits.event_bytes_max,
        )
        return Pool(self._reactor, dialer, limits, self._tasks, routing.pool_idle_max)


def _keep_clocks(providers: list[ProviderState], old: list[ProviderState]) -> None:
    """What was learned of an endpoint's clock outlives a reload."""
    known = {provider.config.base_url: provider.clock_skew_s for provider in old}
    for provider in providers:
        provider.clock_skew_s = known.get(provider.config.base_url, 0.0)


# What runs on the user's own machine, and how it is started.
_START_HINTS = {"ollama": "Ollama is not running: start it with `ollama serve`."}

MakeModelsApi = Callable[[RuntimeConfig], ModelsApi]


def _pool_key(config: Config, provider: Provider) -> PoolKey:
    routing = config.routing
    timeouts = provider.timeouts or routing.timeouts
    # With the name: providers have separate pools even for the same URL.
    return (
        provider.name,
        provider.base_url,
        timeouts.connect_s,
        timeouts.first_byte_s,
        timeouts.idle_s,
        timeouts.total_s,
        routing.pool_idle_s,
        routing.pool_idle_max,
        config.server.limits.event_bytes_max,
    )


def downstream_limits(config: Config) -> DownstreamLimits:
    """Limits of client connections."""
    limits, timeouts = config.server.limits, config.server.timeouts
    routing = config.routing
    return DownstreamLimits(
        head_bytes_max=limits.head_bytes_max,
        fields_max=limits.header_count_max,
        body=BodyLimits(
            body_bytes_max=limits.body_bytes_max, replay_bytes_max=limits.replay_bytes_max
        ),
        head_s=timeouts.head_s,
        body_idle_s=timeouts.body_idle_s,
        body_rate_min=limits.body_rate_min,
        body_slow_s=timeouts.body_slow_s,
        keepalive_s=timeouts.keepalive_s,
        write_stall_s=timeouts.write_stall_s,
        wait_s=min(routing.ping_s, routing.early_head_s, timeouts.write_stall_s),
    )
