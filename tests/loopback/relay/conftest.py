"""Each test here is a coroutine and runs on uvloop and on asyncio's own loop."""

import asyncio
import gc
import inspect
from collections.abc import Iterator

import pytest
import uvloop

from tests.loopback.relay.harness import Lab

LIMIT_S = 30.0
_LOOPS = {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


@pytest.fixture(scope="module", autouse=True)
def _known_objects() -> Iterator[None]:
    """What exists before is not looked through after every test."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(params=["uvloop", "asyncio"])
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=_LOOPS[request.param]) as runner:
        runner.get_loop()
        yield runner


@pytest.fixture
def lab(runner: asyncio.Runner) -> Iterator[Lab]:
    """What a test builds its relay with; nothing may be left when it is over."""
    lab = Lab()
    runner.get_loop().set_exception_handler(lambda _, context: lab.complaints.append(context))
    runner.run(lab.open())
    yield lab
    runner.run(asyncio.wait_for(lab.finish(), LIMIT_S))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run coroutine tests on the loop of their `runner`."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    runner = pyfuncitem.funcargs["runner"]
    runner.run(asyncio.wait_for(pyfuncitem.obj(**arguments), LIMIT_S))
    return True
