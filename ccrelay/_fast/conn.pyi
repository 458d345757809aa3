import asyncio
import ssl
from collections.abc import Callable
from typing import Any

from ccrelay._fast.libssl import Native
from ccrelay._fast.memory_account import Arena, MemoryAccount, Share

class Reactor:
    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...
    now: float
    @property
    def arena(self) -> Arena: ...
    @property
    def account(self) -> MemoryAccount: ...
    @property
    def connections(self) -> int: ...
    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_crash: Callable[[BaseException, Any], object],  # with the connection
    ) -> None: ...
    def clock(self) -> float: ...
    def stop(self) -> None: ...

class Conn:
    @property
    def reactor(self) -> Reactor: ...
    @property
    def fd(self) -> int: ...
    @property
    def share(self) -> Share: ...  # None: nobody's
    def is_closed(self) -> bool: ...
    @property
    def queued(self) -> int: ...
    def attach_tls(
        self,
        tls: ssl.SSLObject,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        native: Native | None = None,
    ) -> None: ...
