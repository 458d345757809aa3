"""A metadata server of Google, so that the mock clouds of Google can be tried without an account.

`GCE_METADATA_HOST` and `GCE_METADATA_IP` send google-auth here; paths and fields are those that
it asks for.
"""

import msgspec

from ccrelay.demo.cloud import Accepted
from ccrelay.demo.http1 import RequestHead
from ccrelay.demo.plan import Document

PREFIX = "/computeMetadata/v1/"
EMAIL = "demo@test-project-1.iam.gserviceaccount.com"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
EXPIRES_S = 3599
_FLAVOR = (("metadata-flavor", "Google"),)
_TEXT = "application/text"


def is_metadata(head: RequestHead) -> bool:
    """Whether a request is for a metadata server."""
    return head.method == "GET" and (head.path == "/" or head.path.startswith(PREFIX))


def metadata(head: RequestHead, accepted: Accepted) -> Document:
    """Return what a metadata server answers; the token is the first that the mock accepts."""
    if head.get("metadata-flavor") != "Google":
        return Document(403, b"Missing Metadata-Flavor:Google header.", _TEXT, _FLAVOR)
    account = {"aliases": ["default"], "email": EMAIL, "scopes": [SCOPE]}
    token = next((token for token in accepted.tokens if token not in accepted.expired), "")
    issued = {"access_token": token, "expires_in": EXPIRES_S, "token_type": "Bearer"}
    match head.path.removeprefix(PREFIX).rstrip("/"):
        case "":
            return Document(200, b"computeMetadata/\n", _TEXT, _FLAVOR)
        case "instance/service-accounts/default":
            return Document(200, msgspec.json.encode(account), headers=_FLAVOR)
        case "project/project-id":
            return Document(200, b"test-project-1", _TEXT, _FLAVOR)
        case path if path.startswith("instance/service-accounts/") and path.endswith("/token"):
            return Document(200, msgspec.json.encode(issued), headers=_FLAVOR)
        case _:
            return Document(404, b"Not Found", _TEXT, _FLAVOR)
