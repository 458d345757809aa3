"""Requests to one provider, each over a connection of its own."""

import asyncio
from collections.abc import Mapping

from ccrelay.config.model import Provider
from ccrelay.probing.verdict import Asked, Question
from ccrelay.providers.base import Dialect
from ccrelay.providers.probe import ProbeRequest, keyed_list, keyed_probe
from ccrelay.providers.registry import dialect_for
from ccrelay.upstream.dial import Dialed, Dialer
from ccrelay.upstream.origin import Origin
from ccrelay.upstream.proxy import proxy_for
from ccrelay.upstream.request import Response, send_request

LIST_BYTES_MAX = 4 << 20
ANSWER_BYTES_MAX = 65_536
# A model takes its time for the first token, whatever the limit of other questions. With a list
# before it this stays below the minute that faces give a call: then they get the reason, and not
# only that a minute has passed.
MESSAGE_LIMIT_S = 45.0


class Asker:
    """Asks a provider, with one key.

    Args:
        provider: resolved.
        key: its secret; None: there is none.
        env: variables that name proxies.
        connect_s: time limit of a connection, seconds.
        who: what sentences call the provider; empty: its host.

    Raises:
        ValueError: the provider cannot be asked; one clause says why.
    """

    def __init__(
        self,
        provider: Provider,
        key: str | None,
        env: Mapping[str, str],
        *,
        connect_s: float,
        who: str = "",
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.provider = provider
        self.key = key
        self.dialect: Dialect = dialect_for(provider)
        self.who = who or self.dialect.host().decode("latin-1")
        origin = Origin.parse(provider.base_url or "")
        self._dialer = Dialer(
            origin,
            self.loop,
            connect_s=connect_s,
            proxy=proxy_for(origin, env),
            provider=provider.name,
        )

    async def close(self) -> None:
        """Forget what the dialer keeps."""
        await self._dialer.close()

    async def connect(self) -> Dialed:
        """Open a connection, and close it. Raises UpstreamFailed."""
        dialed = await self._dialer.dial()
        dialed.sock.close()
        return dialed

    async def list_models(self, key: str | None) -> Response:
        """Ask for the list of models, with a key or without. Raises UpstreamFailed, ValueError."""
        path, fields, body = keyed_list(self.dialect, key)
        return await self._send(b"GET", path, fields, body, LIST_BYTES_MAX)

    async def get(self, path: bytes, fields: list[tuple[bytes, bytes]]) -> Response:
        """Ask for the head of an answer. Raises UpstreamFailed."""
        return await self._send(b"GET", path, fields, b"", 0)

    async def probe(self, kind: ProbeRequest, model: str) -> Response:
        """Send a probe. Raises UpstreamFailed, BadRequest, ValueError: it cannot be sent."""
        path, fields, body = keyed_probe(self.dialect, kind, model, self.key)
        return await self._send(b"POST", path, fields, body, ANSWER_BYTES_MAX)

    def asked(self, question: Question, model: str = "") -> Asked:
        """What was sent, for the verdict."""
        return Asked(self.dialect, self.who, question, model, self.key)

    async def _send(
        self,
        method: bytes,
        path: bytes,
        fields: list[tuple[bytes, bytes]],
        body: bytes,
        bytes_max: int,
    ) -> Response:
        return await send_request(
            self._dialer, self.loop, method, path, fields, body, bytes_max=bytes_max
        )
