"""Test the wording of messages. Other tests assert codes and facts."""

import pytest

from infisical_iac.agent.volume import VolumeState
from infisical_iac.core.errors import SettingsError
from infisical_iac.host.deploy import refuse_volume
from infisical_iac.host.machine import absence
from infisical_iac.host.model import MachineState
from infisical_iac.host.shared import not_ours
from tests.unit.settings_of import settings_of


def test_wording_of_an_engine_that_others_manage() -> None:
    assert not_ours(settings_of(ingress="none"), MachineState(swarm=True)) == (
        "Docker on the host is in a Swarm, so it stays unchanged"
    )


def test_wording_of_a_single_host_in_the_inventory_of_a_cluster() -> None:
    hosts = {"a": MachineState(), "b": MachineState(deployed=True)}
    assert absence(hosts, topology="swarm") == (
        "b runs Infisical on its own, and there is no cluster: name an inventory with only that "
        "host, or make a cluster of it by `infisical-iac scale-out`"
    )


def test_wording_of_a_volume_that_holds_something_else() -> None:
    with pytest.raises(SettingsError) as refused:
        refuse_volume("/dev/sdb", VolumeState(True, "LVM2_member"), of_host="", deployed=False)
    assert str(refused.value) == (
        "setting 'data_volume': /dev/sdb holds LVM2_member, which is never overwritten: use an "
        "empty volume, or one with an empty ext4 file system"
    )


def test_wording_of_a_number_below_the_minimum() -> None:
    with pytest.raises(SettingsError) as refused:
        settings_of(login_attempts=2)
    assert str(refused.value) == (
        "setting 'login_attempts': 2 bans people who mistype a password; allow at least 3"
    )
