import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from ccrelay._fast.shared_memory import SharedMemory
from ccrelay.config.model import Config, Management, Provider
from ccrelay.config.resolve import resolve
from ccrelay.fleet.layout import Layout
from ccrelay.manager.clock import Clock
from ccrelay.manager.errors import Refused
from ccrelay.manager.sign_in import SignInLinks
from ccrelay.manager.state import RelayState
from ccrelay.runtime.manager_link import ManagerStart, SignInCode
from ccrelay.v1 import relay_pb2
from tests.loopback.control.harness import Log

TOKEN = "t" * 43
TLS = Management(tls_cert="c", tls_key="k", allowed_hosts=["*", "relay.example.com"])


class Making:
    """Makes links of relays that differ."""

    def __init__(self, folder: Path) -> None:
        self.env = {"XDG_STATE_HOME": str(folder)}
        self.fd = os.memfd_create("test", os.MFD_CLOEXEC)
        SharedMemory.format(self.fd, workers=1, targets=8, endpoints=8, bindings=8)
        self.state: RelayState

    def __call__(self, management: Management | None = None, **start: object) -> SignInLinks:
        provider = Provider(name="a", type="anthropic")
        config = resolve(Config(providers=[provider], management=management or Management()))
        message = ManagerStart(
            config=config,
            layout=Layout.of(config),
            listen=["127.0.0.1:8787"],
            config_file="",
            pid=1,
            started_at_ms=1,
            restarts=0,
            fingerprint_key=b"",
            socket="",
            http_listen="127.0.0.1:8789",
            workers=[],
            overrides=[],
        )
        message = msgspec.structs.replace(message, **start)
        memory = SharedMemory(self.fd)
        facts = None  # not asked
        self.state = RelayState(message, memory, Clock(), facts, relay_pb2.Ledger)  # type: ignore[arg-type]
        links = SignInLinks(self.state, self.env, Log())
        links.page.sessions.use_token(TOKEN)
        return links


@pytest.fixture
def making(tmp_path: Path) -> Iterator[Making]:
    made = Making(tmp_path)
    yield made
    os.close(made.fd)


@pytest.mark.parametrize("is_read_only", [True, False])
def test_a_link_has_a_code_that_signs_in(making: Making, is_read_only: bool) -> None:
    links = making()
    url, expires_at_ms = links.link(is_read_only=is_read_only)
    page, _, code = url.partition("/#k=")
    assert page == "http://127.0.0.1:8789"
    assert expires_at_ms > Clock().now_ms() + 200_000
    made = links.page.sessions.sign_in(code)
    assert made is not None
    assert made.session.is_read_only == is_read_only


@pytest.mark.parametrize(
    ("listen", "management", "url"),
    [
        ("0.0.0.0:9000", TLS, "https://relay.example.com:9000"),
        ("[::]:9000", Management(), "http://[::1]:9000"),
        ("localhost:9000", Management(allowed_hosts=["x.example"]), "http://localhost:9000"),
    ],
)
def test_a_link_leads_to_where_a_browser_finds_it(
    making: Making, listen: str, management: Management, url: str
) -> None:
    links = making(management, http_listen=listen)
    assert links.link(is_read_only=False)[0].startswith(f"{url}/#k=")


def test_cookies_of_two_relays_have_two_names(making: Making) -> None:
    assert making().page.cookie == "ccrelay-8789"
    assert making(http_listen="127.0.0.1:9000").page.cookie == "ccrelay-9000"
    assert making(TLS).page.cookie == "__Host-ccrelay-8789"


def test_the_code_of_the_banner_signs_in_once_over_managers(making: Making) -> None:
    banner = SignInCode("of-the-banner", Clock().now_ms() + 60_000)
    assert making(sign_in=banner).page.sessions.sign_in(banner.code)
    assert making(sign_in=banner).page.sessions.sign_in(banner.code) is None


def test_where_no_page_is_served_it_says_why(making: Making) -> None:
    with pytest.raises(Refused, match="No page is served"):
        making(http_listen="").link(is_read_only=False)
    links = making()
    making.state.token_problem = "the token is not ours alone"
    with pytest.raises(Refused, match="not ours alone") as refused:
        links.link(is_read_only=False)
    assert refused.value.code.name == "FAILED_PRECONDITION"
