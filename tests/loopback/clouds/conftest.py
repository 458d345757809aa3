"""The same relay, providers and clients as in tests/loopback/relay."""

from tests.loopback.relay.conftest import (  # noqa: F401
    _known_objects,
    lab,
    pytest_pyfunc_call,
    runner,
)
