"""Whose machine it is, by its firmware and its environment."""

import pytest

from ccrelay.credentials.machine import AZURE_ASSET_TAG, is_azure, is_ec2, is_google


@pytest.fixture
def dmi(tmp_path):
    def dmi(**files):
        for name, text in files.items():
            (tmp_path / name).write_text(text)
        return tmp_path

    return dmi


def test_a_machine_at_home_is_nobodys(dmi):
    home = dmi(sys_vendor="LENOVO\n", product_name="20XW\n", chassis_asset_tag="No Asset Tag\n")
    assert not is_ec2({}, home)
    assert not is_google({}, home)
    assert not is_azure({}, home)


def test_firmware_that_cannot_be_read_shows_nothing(tmp_path):
    assert not any(asked({}, tmp_path / "none") for asked in (is_ec2, is_google, is_azure))


def test_firmware_shows_the_cloud(dmi):
    assert is_ec2({}, dmi(sys_vendor="Amazon EC2\n"))
    assert is_google({}, dmi(product_name="Google Compute Engine\n"))
    assert is_azure({}, dmi(chassis_asset_tag=f"{AZURE_ASSET_TAG}\n"))


def test_the_environment_shows_it(tmp_path):
    assert is_ec2({"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1"}, tmp_path)
    assert is_google({"K_SERVICE": "relay"}, tmp_path)
    assert is_google({"GCE_METADATA_HOST": "127.0.0.1"}, tmp_path)
    assert is_azure({"IDENTITY_ENDPOINT": "http://127.0.0.1"}, tmp_path)
    assert not is_azure({"IDENTITY_ENDPOINT": ""}, tmp_path)


def test_it_can_be_turned_off(dmi):
    assert not is_ec2({"AWS_EC2_METADATA_DISABLED": "TRUE"}, dmi(sys_vendor="Amazon EC2\n"))
    assert not is_google({"NO_GCE_CHECK": "true"}, dmi(product_name="Google\n"))
