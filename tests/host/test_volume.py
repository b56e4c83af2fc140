"""Test that the data of all directories are on the volume of the settings."""

import pytest

from infisical_iac.agent.files import PathState
from infisical_iac.core.settings import Settings
from infisical_iac.host.deploy import DataVolume, volume_question
from tests.host.connection import Connection, Host

_DOCKER = "docker.service"
_UNIT = "infisical-data.service"
_PATHS = [
    f"/etc/systemd/system/{_UNIT}",
    "/etc/systemd/system/docker.service.d/infisical-data.conf",
]
_PLACES = {
    "/etc/infisical",
    "/var/backups/infisical",
    "/var/backups/infisical-iac",
    "/var/lib/docker/volumes",
    "/var/lib/infisical-access-log",
    "/var/lib/infisical-backup",
    "/var/lib/infisical-drill",
    "/var/lib/infisical-restore",
    "/var/lib/infisical-rotation",
    "/var/lib/infisical-scale",
    "/var/lib/infisical-share",
    "/var/lib/infisical-upgrade",
    "/var/log/infisical-access",
    "/var/log/infisical-iac",
}


@pytest.fixture(scope="session")
def data_volume(connection: Connection, settings: Settings) -> DataVolume:
    device = settings.host.data_volume or "/dev/null"
    return connection.inspect(volume_question(device=device, paths=_PATHS, names=[_UNIT]))


@pytest.fixture(scope="session")
def is_on(settings: Settings) -> bool:
    return bool(settings.host.data_volume)


def test_all_directories_are_on_the_volume_or_none(data_volume: DataVolume, is_on: bool) -> None:
    assert data_volume.volume.bound == (_PLACES if is_on else frozenset())


def test_the_mounted_volume_is_the_one_of_the_settings(
    data_volume: DataVolume, is_on: bool
) -> None:
    volume = data_volume.volume
    assert volume.mounted == (volume.uuid if is_on else "")
    assert bool(volume.uuid) is is_on


def test_the_file_system_fills_the_volume(data_volume: DataVolume, is_on: bool) -> None:
    _skip_without(is_on)
    assert data_volume.volume.larger is None


def test_the_mount_unit_is_enabled_and_active(data_volume: DataVolume, is_on: bool) -> None:
    unit = data_volume.units[_UNIT]
    assert (unit.enabled, unit.active, unit.outdated) == (is_on, is_on, False)


def test_the_files_of_the_mount_belong_to_root(data_volume: DataVolume, is_on: bool) -> None:
    assert set(data_volume.files) == (set(_PATHS) if is_on else set())
    assert all(_belongs_to_root(each) for each in data_volume.files.values())


def _belongs_to_root(file: PathState) -> bool:
    return (file.owner, file.mode) == ("root:root", "644")


def test_docker_does_not_start_without_the_volume(host: Host, is_on: bool) -> None:
    required = host.check_output("systemctl show --property=Requires --value %s", _DOCKER).split()
    assert (_UNIT in required) is is_on


def test_only_root_can_read_the_volume(host: Host, is_on: bool) -> None:
    _skip_without(is_on)
    assert host.file("/mnt/infisical-data").mode == 0o700


def _skip_without(is_on: bool) -> None:
    if not is_on:
        pytest.skip("setting 'data_volume' is empty: the data are on the host's own disk")
