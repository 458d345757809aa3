"""A real manager process around a fake App, which takes one command per connection.

A command is a JSON list over the Unix socket or the TCP listener; the answer is JSON.

`state`: what it knows · `env`: its environment · `reload ORIGIN`, `level LEVEL`, `overrides LIST`,
`stats`, `drain`, `stop`: as the commands of the link, answered with the Reply · `running`: what the
workers tell of exchanges under way · `hang`: block the loop · `eat`: run out of memory ·
`exit CODE`: exit at once.
"""

import asyncio
import json
import os
import resource
import socket
import sys
import time
from pathlib import Path

import msgspec

from ccrelay.config.fingerprint import fingerprint
from ccrelay.config.overrides import Override
from ccrelay.manager.main import main
from ccrelay.runtime import manager_link as link

HELD: list[bytearray] = []


class FakeApp:
    def __init__(self, start, link, log, memory_fd, unix_listener, tcp_listener, older_fds):
        self.start_message = start
        self.config = start.config
        self.workers = start.workers
        self.overrides = start.overrides
        self.problem = start.reload_problem
        self.origin, self.digest = start.origin, start.digest
        self.messages: list[str] = []
        self.link = link
        self.log = log
        self.memory_fd = memory_fd
        self.older_fds = older_fds
        self.listeners = [one for one in (unix_listener, tcp_listener) if one is not None]
        self.servers: list[asyncio.Server] = []

    async def start(self):
        names = [provider.name for provider in self.config.providers]
        if "startless" in names:
            raise RuntimeError("this manager cannot start")
        if "slow" in names:
            await asyncio.sleep(1000)
        assert os.fstat(self.memory_fd).st_size > 0
        for listener in self.listeners:
            is_unix = listener.family == socket.AF_UNIX
            serve = asyncio.start_unix_server if is_unix else asyncio.start_server
            self.servers.append(await serve(self.serve, sock=listener))
        self.log.event("info", "fake_manager_serves")

    def on_message(self, message):
        self.messages.append(type(message).__name__)
        match message:
            case link.ConfigChanged():
                self.config, self.overrides = message.config, message.overrides
                self.origin, self.digest, self.problem = message.origin, message.digest, ""
            case link.WorkersChanged():
                self.workers = message.workers
            case link.ReloadProblem():
                self.problem = message.problem

    async def serve(self, reader, writer):
        name, *arguments = json.loads(await reader.readline())
        answer = await self.answer(name, *arguments)
        writer.write(msgspec.json.encode(answer))
        writer.close()

    async def answer(self, name, *arguments):
        match name:
            case "state":
                return self.state()
            case "env":
                return dict(os.environ)
            case "reload":
                return await self.link.call(link.ReloadCommand(0, *arguments))
            case "level":
                return await self.link.call(link.LogLevelCommand(0, *arguments))
            case "overrides":
                wanted = [Override(*one, set_at_ms=1) for one in arguments]
                return await self.link.call(link.OverridesCommand(0, wanted))
            case "stats":
                return await self.link.call(link.StatsCommand(0))
            case "running":
                reply = await self.link.call(link.StatsCommand(0, running=500))
                return [msgspec.msgpack.decode(one) for one in reply.running]
            case "environment":
                return await self.link.call(link.EnvironmentCommand(0, list(arguments)))
            case "drain":
                return await self.link.call(link.DrainCommand(0))
            case "stop":
                return await self.link.call(link.StopCommand(0))
            case "hang":
                time.sleep(1000)
            case "eat":
                eat()
            case "exit":
                os._exit(*arguments)
        return None

    def state(self):
        start = self.start_message
        return {
            "pid": os.getpid(),
            "restarts": start.restarts,
            "listen": start.listen,
            "config_file": start.config_file,
            "supervisor": start.pid,
            "started_at_ms": start.started_at_ms,
            "socket": start.socket,
            "http_listen": start.http_listen,
            "workers": self.workers,
            "overrides": self.overrides,
            "origin": self.origin,
            "digest": self.digest,
            "problem": self.problem,
            "level": self.config.logging.level,
            "enabled": {one.name: one.enabled for one in self.config.providers},
            "keys": {p.name: [fingerprint(k.key) for k in p.keys] for p in self.config.providers},
            "weights": {p.name: [k.weight for k in p.keys] for p in self.config.providers},
            "messages": self.messages,
            "nice": os.nice(0),
            "older_memories": [os.fstat(fd).st_size > 0 for fd in self.older_fds],
            "oom_score_adj": oom_score_adjustment(),
        }

    async def close(self):
        for server in self.servers:
            server.close()
        names = [provider.name for provider in self.config.providers]
        if "clingy" in names:
            time.sleep(1000)
        if "mortal" in names and self.start_message.restarts == 0:
            os._exit(9)  # the first one, before it has written what there is
        if "curious" in names:  # as one whose faces watch to the end
            reply = await self.link.call(link.StatsCommand(0))
            assert (reply.stats, reply.error) == ([], "")
        self.log.event("info", "fake_manager_closed", workers=len(self.workers))


def eat() -> None:
    """Take memory until there is none. The limit is that of this process alone."""
    limit = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit += 32 << 20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    while True:
        HELD.append(bytearray(1 << 16))


def oom_score_adjustment() -> int:
    file = Path("/proc/self/oom_score_adj")
    return int(file.read_text()) if file.exists() else 0


if __name__ == "__main__":
    if sys.argv[1:] == ["--exit-at-once"]:
        sys.exit(7)
    main(FakeApp)
