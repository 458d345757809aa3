"""A provider as it runs: its dialect, its endpoint, its credentials, how requests to it are written."""

from ccrelay._fast.http1 import RequestPlan
from ccrelay.config.fingerprint import fingerprint
from ccrelay.config.model import Health, Key, Provider
from ccrelay.fleet.endpoint import Endpoint
from ccrelay.providers.base import Dialect
from ccrelay.providers.registry import dialect_for


class Target:
    """One credential of one provider, with the plans by which its requests are written.

    `plan` is used when the relay supplies the credential. A pass-through target has three more: a relay
    token that came in one of the client's two credential headers must not go on.
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
        self._decoded: RequestPlan | None = None
        self.plan = _plan(dialect, secret)
        self.plan_no_key = self.plan_no_bearer = self.plan
        if dialect.passes_client_credential:
            self.plan_no_key = _plan(dialect, None, drop=(b"x-api-key",))
            self.plan_no_bearer = _plan(dialect, None, drop=(b"authorization",))

    def decoded_plan(self) -> RequestPlan:
        """The plan for a body that came compressed and goes out plain."""
        if self._decoded is None:
            self._decoded = _plan(self.service.dialect, self._secret, drop=(b"content-encoding",))
        return self._decoded

    def __repr__(self) -> str:
        return f"<Target {self.service.name} {self.fingerprint}>"


def _plan(dialect: Dialect, key: str | None, drop: tuple[bytes, ...] = ()) -> RequestPlan:
    return RequestPlan(
        prefix=dialect.prefix(),
        host=dialect.host(),
        lines=[*dialect.credential_lines(key), *dialect.static_headers],
        pass_credentials=dialect.passes_client_credential,
        drop_names=[*dialect.drop_names, *drop],
        drop_betas=dialect.drop_betas,
    )


class Service:
    """One enabled provider."""

    __slots__ = ("config", "dialect", "endpoint", "name", "targets", "weight")

    def __init__(self, provider: Provider, health: Health) -> None:
        self.config = provider
        self.name = provider.name
        self.weight = provider.weight
        self.dialect = dialect_for(provider)
        self.endpoint = Endpoint(
            provider.name, rest_s=health.rest_s, rest_max_s=health.rest_max_s
        )
        keys = [key for key in provider.keys if key.enabled]
        self.targets = [Target(self, key) for key in keys] if provider.keys else [Target(self, None)]

    def usable(self, now: float) -> bool:
        """Whether a request could be sent to it now."""
        return bool(self.targets) and self.endpoint.available(now)

    def __repr__(self) -> str:
        return f"<Service {self.name} {len(self.targets)} targets {self.endpoint!r}>"
