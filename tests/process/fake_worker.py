"""A real worker process around a fake Relay that understands four words.

pid: answer with the process id · hold SECONDS: answer later · die: SIGKILL itself · env: answer
with the names in its environment.
"""

import asyncio
import os
import signal
import socket
import sys

from ccrelay.runtime.worker import main


class FakeRelay:
    def __init__(self, config, loop, log, worker_id=0):
        self.loop = loop
        self.worker_id = worker_id
        self.listeners = []
        self.running = set()
        if config.providers and config.providers[0].name == "broken":
            raise RuntimeError("this relay cannot be built")

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
        self.running.add(task)
        task.add_done_callback(self.running.discard)

    async def answer(self, connection: socket.socket):
        with connection:
            words = (await self.loop.sock_recv(connection, 100)).decode().split()
            if words[0] == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if words[0] == "hold":
                await asyncio.sleep(float(words[1]))
            reply = ",".join(os.environ) if words[0] == "env" else str(os.getpid())
            await self.loop.sock_sendall(connection, reply.encode())

    def stop_listening(self):
        for sock in self.listeners:
            self.loop.remove_reader(sock)

    async def drain(self, limit_s):
        running = set(self.running)
        if not running:
            return 0
        _, pending = await asyncio.wait(running, timeout=limit_s)
        return len(pending)

    async def close(self):
        for task in self.running:
            task.cancel()

    def stats(self):
        return {"worker": self.worker_id, "running": len(self.running)}


if __name__ == "__main__":
    if sys.argv[1:] == ["--exit-at-once"]:
        sys.exit(7)
    main(FakeRelay)
