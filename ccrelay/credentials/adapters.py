"""The source of an entry: of which library, which is imported when it is needed first."""

from typing import Final

from ccrelay.credentials.source import ObtainFailed, Source
from ccrelay.runtime.credentials_link import Cloud, CredentialEntry

EXTRAS: Final[dict[Cloud, str]] = {"aws": "aws", "google": "gcp", "azure": "azure"}


def source_of(entry: CredentialEntry) -> Source:
    """Make the source of an entry; blocks while its library is imported.

    Raises ObtainFailed when the library is not installed.
    """
    try:
        match entry.cloud:
            case "aws":
                from ccrelay.credentials.aws import AwsSource

                return AwsSource(entry)
            case "google":
                from ccrelay.credentials.google import GoogleSource

                return GoogleSource(entry)
            case "azure":
                from ccrelay.credentials.azure import AzureSource

                return AzureSource(entry)
    except ImportError as error:
        extra = EXTRAS[entry.cloud]
        raise ObtainFailed(
            f"the library for credentials of this cloud cannot be imported: {error.name}",
            f"install it: pip install 'ccrelay-proxy[{extra}]', and restart the relay",
            is_final=True,
        ) from error
