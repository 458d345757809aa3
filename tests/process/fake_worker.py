"""A real worker process around a fake Relay, which takes one-word commands over a connection.

`pid`: reply with the process id · `hold SECONDS`: reply later · `die`: SIGKILL to itself · `env`:
names of the environment variables · `names`: configured providers · `drain`: arguments of the last
drain · `column`: its column of the shared memory · `cool`: put the first target into cooldown ·
`cooling`: whether it is · `linger`: exit two seconds after closing the channel · `credential`: the
serial, the token's end and the error of the first cloud credential · `started`: the serial that it
started with · `reject`: the cloud has refused the credential.
"""

import asyncio
import atexit
import os
import signal
import socket
import sys
import time

import msgspec

from ccrelay._fast.rate_limits import Cooldown, TargetLimits
from ccrelay.fleet.credential_store import CredentialStore
from ccrelay.runtime.worker import main


class FakeRelay:
    def __init__(self, config, loop, log, worker_id=0, memory=None, layout=None):
        self.config = config
        self.layout = layout
        self.memory = memory
        self.loop = loop
        self.worker_id = worker_id
        self.listeners = []
        self.held = set()
        self.drained = None
        self.answered = 0
        self.credentials = CredentialStore()
        self.started_with = 0
        if config.providers[0].name == "broken":
            raise RuntimeError("this relay cannot be built")

    def reload(self, config, layout):
        names = [provider.name for provider in config.providers]
        if names[0] == "unloadable" or f"unloadable-{self.worker_id}" in names:
            raise RuntimeError("this configuration cannot be built")
        assert layout.targets.keys() == set(names)
        self.config = config
        self.layout = layout

    def take_credentials(self, issued):
        self.credentials.update(issued)
        if not self.listeners:
            self.started_with = self.credential().issued.serial

    def credential(self):
        provider = self.config.providers[0]
        return self.credentials.of(provider.name, provider.keys[0].key)

    def listen(self, sockets):
        self.listeners = sockets
        for sock in sockets:
            self.loop.add_reader(sock, self.accept, sock)

    def accept(self, listener):
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            return
        connection.setblocking(False)
        task = self.loop.create_task(self.answer(connection))
        self.held.add(task)
        task.add_done_callback(self.held.discard)

    async def answer(self, connection: socket.socket):
        with connection:
            while words := (await self.loop.sock_recv(connection, 100)).decode().split():
                if words[0] == "hold":
                    await asyncio.sleep(float(words[1]))
                self.answered += 1
                await self.loop.sock_sendall(connection, self.reply(words[0]).encode())

    def reply(self, word: str) -> str:
        match word:
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "linger":
                atexit.register(time.sleep, 2.0)
            case "env":
                return ",".join(os.environ)
            case "names":
                return ",".join(f"{name}:{slots}" for name, slots in self.layout.targets.items())
            case "drain":
                return repr(self.drained)
            case "cool":
                TargetLimits(self.memory, 0).start_cooldown(
                    time.monotonic() + 1000.0, Cooldown.RATE
                )
            case "cooling":
                return str(TargetLimits(self.memory, 0).cooldown_until() > 0.0)
            case "credential":
                issued = self.credential().issued
                secret = getattr(issued.secret, "session_token", "")[-3:]
                return f"{issued.serial}|{secret}|{issued.error}"
            case "started":
                return str(self.started_with)
            case "reject":
                self.credential().reject()
            case "column":
                return str(self.memory.worker)
        return str(os.getpid())

    def stop_listening(self):
        for sock in self.listeners:
            self.loop.remove_reader(sock)

    async def drain(self, limit_s, gentle):
        self.drained = (limit_s, gentle)
        running = set(self.held)
        if not running:
            return 0
        _, pending = await asyncio.wait(running, timeout=limit_s)
        return len(pending)

    async def close(self):
        for task in self.held:
            task.cancel()

    def stats(self):
        return {"worker": self.worker_id, "active": len(self.held)}

    def running(self, limit):
        return msgspec.msgpack.encode([len(self.held), []])

    def totals(self):
        return {"exchanges": self.answered, "lost": 0}


if __name__ == "__main__":
    if sys.argv[1:] == ["--exit-at-once"]:
        sys.exit(7)
    main(FakeRelay)
