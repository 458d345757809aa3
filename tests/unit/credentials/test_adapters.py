"""Which library an entry is obtained with, and what is said when it is missing."""

import sys

import pytest

from ccrelay.credentials.adapters import source_of
from ccrelay.credentials.source import ObtainFailed
from tests.unit.credentials.services import entry


@pytest.mark.parametrize(
    ("cloud", "name"), [("aws", "AwsSource"), ("google", "GoogleSource"), ("azure", "AzureSource")]
)
def test_each_cloud_has_its_source(cloud, name):
    assert type(source_of(entry(cloud))).__name__ == name


@pytest.mark.parametrize(
    ("cloud", "library", "extra"),
    [("aws", "botocore", "aws"), ("google", "google.auth", "gcp"), ("azure", "azure", "azure")],
)
def test_a_missing_library_is_named_with_its_extra(monkeypatch, cloud, library, extra):
    monkeypatch.delitem(sys.modules, f"ccrelay.credentials.{cloud}", raising=False)
    for name in list(sys.modules):
        if name == library or name.startswith(f"{library}."):
            monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ObtainFailed) as raised:
        source_of(entry(cloud))
    assert raised.value.is_final
    assert f"pip install 'ccrelay-proxy[{extra}]'" in raised.value.hint
