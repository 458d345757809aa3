"""A provider as it runs: dialect, endpoint, credentials, and how requests to it are written."""

import random

from ccrelay._fast.http1 import RequestPlan
from ccrelay.config.fingerprint import fingerprint
from ccrelay.config.model import Health, Key, Provider
from ccrelay.fleet.endpoint import Endpoint
from ccrelay.providers.base import Dialect
from ccrelay.providers.registry import dialect_for


class Target:
    """One credential of one provider, with the plans by which its requests are written.

    `plan` is the usual one. A pass-through target has two more: a relay token that came in one of
    the client's two credential headers must not go on.
    """

    __slots__ = (
        "_decoded",
        "_secret",
        "fingerprint",
        "plan",
        "plan_no_bearer",
        "plan_no_key",
        "service",
        "weight",
    )

    def __init__(self, service: "Service", key: Key | None) -> None:
        self.service = service
        self.weight = key.weight if key else 1
        dialect = service.dialect
        if key is None:
            self.fingerprint = "client" if dialect.passes_client_credential else "none"
        else:
            self.fingerprint = fingerprint(key.key)
        secret = key.key if key else None
        self._secret = secret
        self._decoded: dict[int, RequestPlan] = {}
        self.plan = _plan(dialect, secret)
        self.plan_no_key = self.plan_no_bearer = self.plan
        if dialect.passes_client_credential:
            self.plan_no_key = _plan(dialect, None, drop=(b"x-api-key",))
            self.plan_no_bearer = _plan(dialect, None, drop=(b"authorization",))

    def decoded_plan(self, plan: RequestPlan) -> RequestPlan:
        """`plan`, one of this target's, for a body that came compressed and goes out plain."""
        found = self._decoded.get(id(plan))
        if found is None:
            drop = {id(self.plan_no_key): b"x-api-key", id(self.plan_no_bearer): b"authorization"}
            drop[id(self.plan)] = b""
            found = _plan(
                self.service.dialect, self._secret, drop=(b"content-encoding", drop[id(plan)])
            )
            self._decoded[id(plan)] = found
        return found

    def __repr__(self) -> str:
        return f"<Target {self.service.name} {self.fingerprint}>"


def _plan(dialect: Dialect, key: str | None, drop: tuple[bytes, ...] = ()) -> RequestPlan:
    return RequestPlan(
        prefix=dialect.prefix(),
        host=dialect.host(),
        lines=[*dialect.credential_lines(key), *dialect.static_headers],
        pass_credentials=dialect.passes_client_credential,
        drop_names=[*dialect.drop_names, *filter(None, drop)],
        drop_betas=dialect.drop_betas,
    )


class Service:
    """One enabled provider."""

    __slots__ = (
        "_total_weight",
        "config",
        "dialect",
        "endpoint",
        "name",
        "passes_client_credential",
        "targets",
        "weight",
    )

    def __init__(self, provider: Provider, health: Health) -> None:
        self.config = provider
        self.name = provider.name
        self.weight = provider.weight
        self.dialect = dialect_for(provider)
        self.endpoint = Endpoint(provider.name, rest_s=health.rest_s, rest_max_s=health.rest_max_s)
        keys = [key for key in provider.keys if key.enabled]
        self.targets = (
            [Target(self, key) for key in keys] if provider.keys else [Target(self, None)]
        )
        self.passes_client_credential = self.dialect.passes_client_credential
        self._total_weight = sum(target.weight for target in self.targets)

    def choose_target(self, rng: random.Random) -> Target:
        """One of the credentials, weighted random. Key pools with limits come in here later."""
        targets = self.targets
        if len(targets) == 1:
            return targets[0]
        point = rng.random() * self._total_weight
        for target in targets:
            point -= target.weight
            if point < 0.0:
                return target
        return targets[int(rng.random() * len(targets))]  # all weights are 0

    def usable(self, now: float) -> bool:
        """Whether a request could be sent to it now."""
        return bool(self.targets) and self.endpoint.available(now)

    def __repr__(self) -> str:
        return f"<Service {self.name} {len(self.targets)} targets {self.endpoint!r}>"
