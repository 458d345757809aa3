import pytest

from tests.process.running import PATIENCE_S, Running, eventually, is_alive


@pytest.fixture
def start(tmp_path):
    """Starts supervisors with fake workers; all processes end with the test."""
    started: list[Running] = []

    def start(**how) -> Running:
        folder = tmp_path / f"relay-{len(started)}"
        folder.mkdir()
        started.append(Running(folder, **how))
        return started[-1]

    yield start
    for running in started:
        if running.process.poll() is None:
            running.process.kill()
        running.process.wait(PATIENCE_S)
        running.process.stdout.close()
        for event in running.events("worker_ready"):
            eventually(lambda pid=event["pid"]: not is_alive(pid))
