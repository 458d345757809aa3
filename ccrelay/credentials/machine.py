"""On whose machine this runs, without asking a metadata address.

An address that does not answer costs seconds to minutes (botocore 2.5 s, google-auth 12.5 s,
azure-identity 90 s, measured): a default chain asks it only where the firmware or the environment
shows that there is one.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

DMI: Final = Path("/sys/class/dmi/id")
# Of every virtual machine of Azure, and of no other machine.
AZURE_ASSET_TAG: Final = "7783-7084-3265-9085-8269-3286-77"
# Set where a metadata server of Google is, which firmware does not show: Cloud Run, its jobs,
# Cloud Functions, App Engine; or set by hand.
GOOGLE_VARIABLES: Final = (
    *("K_SERVICE", "CLOUD_RUN_JOB", "FUNCTION_TARGET", "GAE_RUNTIME"),
    *("GCE_METADATA_HOST", "GCE_METADATA_ROOT"),
)
# App Service, Functions, Container Apps, Arc, Service Fabric; or set by hand.
AZURE_VARIABLES: Final = ("IDENTITY_ENDPOINT", "MSI_ENDPOINT", "AZURE_POD_IDENTITY_AUTHORITY_HOST")


def is_ec2(environ: Mapping[str, str], dmi: Path = DMI) -> bool:
    """Whether the metadata service of EC2 (IMDS) is there, and may be used."""
    if environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        return False
    if environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT"):
        return True
    return "amazon ec2" in (_read(dmi / "sys_vendor") + _read(dmi / "board_vendor")).lower()


def is_google(environ: Mapping[str, str], dmi: Path = DMI) -> bool:
    """Whether the metadata server of Google is there, and may be used."""
    if environ.get("NO_GCE_CHECK", "").lower() == "true":
        return False
    shown = any(environ.get(name) for name in GOOGLE_VARIABLES)
    return shown or _read(dmi / "product_name").startswith("Google")


def is_azure(environ: Mapping[str, str], dmi: Path = DMI) -> bool:
    """Whether a managed identity of Azure can be asked for."""
    shown = any(environ.get(name) for name in AZURE_VARIABLES)
    return shown or _read(dmi / "chassis_asset_tag") == AZURE_ASSET_TAG


def _read(file: Path) -> str:
    try:
        return file.read_text(errors="replace").strip()
    except OSError:  # no such firmware, or a container that does not show it
        return ""
