"""The credentials process: kept by the supervisor, real botocore in it, and of no consequence.

The source is a container's endpoint on loopback; workers are fake, and tell what they have.
"""

import itertools
import os
import signal
import sys
from pathlib import Path

import pytest

from ccrelay.config.model import Credential, Key, Provider
from tests.process.running import Running, eventually, is_alive, provider
from tests.unit.credentials.services import Answer, Asked, Service, container, in_s, serving

pytestmark = pytest.mark.process

SECRET = "test-secret-container-1"
FOREIGN = "test-secret-environment-1"


class Endpoint:
    """A container's endpoint whose session tokens are numbered."""

    def __init__(self) -> None:
        self.numbers = itertools.count(1)
        self.lives_s = 3600.0
        self.status = 200
        self.is_silent = False
        self.service: Service

    def __call__(self, asked: Asked) -> Answer:
        if self.is_silent:
            return Answer(wait=self.service.released)
        if self.status != 200:
            return Answer(b"no", self.status)
        token = f"test-session-{next(self.numbers):03}"
        return container(self.lives_s, ("ASIAEXAMPLE", SECRET, token))(asked)


@pytest.fixture
def endpoint():
    endpoint = Endpoint()
    with serving(endpoint) as service:
        endpoint.service = service
        yield endpoint


def cloud(name: str = "cloud", **members: object) -> Provider:
    keys = [Key(name="team", credential=Credential(source="container"))]
    return Provider(
        name=name,
        type="claude-aws",
        region="us-east-1",
        workspace="wrkspc_test1",
        keys=keys,
        **members,
    )


def environment(endpoint: Endpoint) -> dict[str, str]:
    return {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{endpoint.service.url}/creds",
        "AWS_SECRET_ACCESS_KEY": FOREIGN,
        "AWS_CONFIG_FILE": "/nonexistent",
        "NO_PROXY": "127.0.0.1",
    }


@pytest.fixture
def relay(start, endpoint):
    """Starts a supervisor before one cloud, and waits for the first credential."""

    def relay(**how) -> Running:
        how.setdefault("providers", [cloud()])
        how["env"] = {**environment(endpoint), **how.get("env", {})}
        running = start(**how)
        eventually(lambda: serial(running) > 0, "no credential")
        return running

    return relay


def credential(running: Running) -> tuple[int, str, str]:
    """What a worker has: serial, number of the token, error."""
    number, token, error = running.ask("credential").split("|")
    return int(number), token, error


def serial(running: Running) -> int:
    return credential(running)[0]


def pid_of(running: Running, count: int = 1) -> int:
    return int(running.await_event("credentials_started", count)["pid"])


def test_a_credential_reaches_all_workers_and_later_ones(relay):
    running = relay(workers=2)
    for pid in running.pids(2):
        eventually(lambda pid=pid: answers_with_a_credential(running, pid))
    victim = int(running.ask("pid"))
    os.kill(victim, signal.SIGKILL)
    running.await_event("worker_ready", 3)
    newest = running.events("worker_ready")[-1]["pid"]
    eventually(lambda: started_with(running, newest) == 1)


def answers_with_a_credential(running: Running, pid: int) -> bool:
    with running.connect("pid") as connection:
        if int(connection.recv(100)) != pid:
            return False
        connection.sendall(b"credential")
        return connection.recv(1000).startswith(b"1|001|")


def started_with(running: Running, pid: int) -> int | None:
    with running.connect("pid") as connection:
        if int(connection.recv(100)) != pid:
            return None
        connection.sendall(b"started")
        return int(connection.recv(100))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_process_that_dies_or_hangs_is_replaced_and_workers_keep_what_they_have(relay, number):
    running = relay()
    pid = pid_of(running)
    os.kill(pid, number)
    assert credential(running)[:2] == (1, "001")
    died = running.await_event("credentials_died")
    assert died["pid"] == pid
    assert ("hangs" in died["reason"]) == (number == signal.SIGSTOP)
    assert pid_of(running, 2) != pid
    eventually(lambda: credential(running)[:2] == (2, "002"), "no other credential")
    assert not is_alive(pid)
    assert running.events("worker_died") == []


def test_what_a_cloud_refuses_is_obtained_again(relay):
    running = relay()
    running.ask("reject")
    eventually(lambda: credential(running)[:2] == (2, "002"))
    assert running.await_event("credential_refused")["serial"] == 1


def test_a_source_that_fails_is_said_with_what_to_do_and_mended_it_is_said_too(start, endpoint):
    endpoint.status = 404
    running = start(providers=[cloud()], env=environment(endpoint))
    failed = running.await_event("credential_failed")
    assert (failed["level"], failed["provider"], failed["key"]) == ("error", "cloud", "team")
    assert failed["reason"]
    assert failed["hint"]
    eventually(lambda: credential(running)[2], "the worker was not told why")
    endpoint.status = 200
    running.await_event("credential_recovered")
    eventually(lambda: serial(running) == 1)


def test_an_address_that_is_silent_holds_up_nothing(start, endpoint):
    endpoint.is_silent = True
    running = start(providers=[cloud()], env=environment(endpoint))
    pid_of(running)
    assert credential(running) == (0, "", "")
    running.send(signal.SIGTERM)
    assert running.wait() == 0
    assert running.events("credentials_died") == []


def test_without_a_cloud_there_is_no_process(start, endpoint):
    running = start(providers=[provider()], env=environment(endpoint))
    running.pids(1)
    assert children(running.process.pid) == set(running.pids(1))
    running.change(providers=[cloud()])
    running.await_event("reloaded")
    pid = pid_of(running)
    eventually(lambda: serial(running) == 1)
    running.change(providers=[provider()])
    running.await_event("reloaded", 2)
    eventually(lambda: not is_alive(pid), "the process goes on")
    running.change(providers=[cloud()])
    running.await_event("reloaded", 3)
    assert pid_of(running, 2) != pid
    assert running.events("credentials_died") == []


def test_a_provider_that_is_off_needs_no_process(start, endpoint):
    running = start(providers=[provider(), cloud(enabled=False)], env=environment(endpoint))
    running.pids(1)
    assert children(running.process.pid) == set(running.pids(1))


def children(pid: int) -> set[int]:
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.add(int(stat.parent.name))
    return found


def test_an_upgrade_hands_over_what_was_issued(relay, endpoint):
    running = relay()
    first = pid_of(running)
    endpoint.is_silent = True  # the process of the new image obtains nothing
    running.send(signal.SIGUSR2)
    running.await_event("upgraded")
    newest = running.events("worker_ready")[-1]["pid"]
    eventually(lambda: started_with(running, newest) == 1)
    assert pid_of(running, 2) != first
    assert not is_alive(first)
    assert running.events("credentials_died") == []


def test_a_credential_is_renewed_before_it_expires(relay, endpoint):
    endpoint.lives_s = 4.0
    running = relay()
    eventually(lambda: serial(running) >= 3, "it was not renewed")
    assert credential(running)[2] == ""


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_secrets_are_in_no_log_no_environment_and_no_command_line(relay, endpoint):
    running = relay(workers=2)
    endpoint.status = 500
    running.ask("reject")
    running.await_event("credential_failed")
    secrets = [SECRET.encode(), FOREIGN.encode(), b"test-session-"]
    log = running.log.read_bytes()
    assert not any(secret in log for secret in secrets)
    process = pid_of(running)
    for pid in (*running.pids(2), process, running.process.pid):
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
        assert not any(secret in line for secret in secrets)
    for pid in running.pids(2):
        environ = Path(f"/proc/{pid}/environ").read_bytes()
        assert not any(secret in environ for secret in secrets)
        assert b"AWS_" not in environ
    # It has no file of its own but its channel and what libraries keep open.
    assert b"AWS_SECRET_ACCESS_KEY" in Path(f"/proc/{process}/environ").read_bytes()


def test_the_process_ends_with_its_supervisor(relay):
    running = relay()
    pid = pid_of(running)
    running.process.kill()
    running.wait()
    eventually(lambda: not is_alive(pid), "it outlived its supervisor")


def test_an_instant_is_written_as_aws_does():
    assert in_s(0.0).endswith("Z")
