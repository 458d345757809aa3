"""The metadata server, asked by google-auth over a real socket."""

import asyncio
import json

import google.auth.compute_engine._metadata as metadata_client
import google.auth.transport.requests
import pytest
from google.auth import compute_engine

from ccrelay.demo.cloud import Accepted, Cloud
from ccrelay.demo.cloud_metadata import metadata
from ccrelay.demo.http1 import RequestHead
from ccrelay.demo.server import start_demo

FLAVOR = [("Metadata-Flavor", "Google")]
TOKEN = "/computeMetadata/v1/instance/service-accounts/default/token?scopes=a"


def test_google_auth_gets_a_token(monkeypatch):
    async def scenario():
        accepted = Accepted(tokens=("test-token-2",))
        server = await start_demo(cloud=Cloud(dialect="vertex", accepted=accepted))
        # Read from GCE_METADATA_HOST when the module is imported.
        monkeypatch.setattr(metadata_client, "_GCE_METADATA_HOST", f"127.0.0.1:{server.port}")
        monkeypatch.setenv("GCE_METADATA_IP", f"127.0.0.1:{server.port}")

        def fetch():
            request = google.auth.transport.requests.Request()
            assert metadata_client.ping(request, timeout=10)
            credentials = compute_engine.Credentials()
            credentials.refresh(request)
            return credentials.token, metadata_client.get_project_id(request)

        try:
            return await asyncio.to_thread(fetch)
        finally:
            await server.close()

    assert asyncio.run(scenario()) == ("test-token-2", "test-project-1")


def test_the_header_is_required_and_other_paths_are_unknown():
    assert metadata(RequestHead("GET", TOKEN, 1, []), Accepted()).status == 403
    other = RequestHead("GET", "/computeMetadata/v1/universe/universe-domain", 1, FLAVOR)
    assert metadata(other, Accepted()).status == 404


@pytest.mark.parametrize("expired", [(), ("test-token-1",)])
def test_an_expired_token_is_not_issued(expired):
    accepted = Accepted(tokens=("test-token-1", "test-token-2"), expired=expired)
    found = json.loads(metadata(RequestHead("GET", TOKEN, 1, FLAVOR), accepted).body)
    assert found["access_token"] == ("test-token-2" if expired else "test-token-1")
