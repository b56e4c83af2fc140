"""upgrade.sh killed after each of its effects: the data are in one place or in the other."""

from pathlib import Path

import pytest

from infisical_iac.upgrade import RELEASES
from tests.unit.played_host import MAIN, PlayedHost, played

_STATE = "/var/lib/infisical-upgrade/state"
_RELEASE = "20261125T101112Z-v0.165.16"
_NEW = "infisical-upgrade_postgres"
_FILES = {"/etc/infisical/compose.yaml": "old", "/etc/infisical/workspace.json": "old"}
_BEGIN = ("upgrade", "begin", _RELEASE, "infisical/infisical:v0.166.0")
_PAUSE, _SWAP = ("upgrade", "pause"), ("upgrade", "swap", _NEW, "data")
_BACK, _END = ("upgrade", "back"), ("upgrade", "end")


@pytest.fixture
def host(tmp_path: Path) -> PlayedHost:
    """A host on which a change has begun whose data are loaded."""
    made = played(tmp_path)
    for path, text in _FILES.items():
        made.write(path, text)
        made.write(f"{RELEASES}/{_RELEASE}/{Path(path).name}", text)
    made.write("/etc/infisical/keys/auth_secret", "obviously-fake")
    made.write(f"{RELEASES}/{_RELEASE}/images", "infisical infisical/infisical:v0.165.16 sha\n")
    made.write("/var/lib/infisical-upgrade/compose.yaml", "new")
    made.write("/var/lib/infisical-upgrade/fetched/workspace.json", "new")
    made.volume(MAIN, base="old")
    made.volume("infisical_redis", queue="old")
    made.volume(_NEW, base="new")
    made.ok(_BEGIN)
    return made


@pytest.fixture
def swapped(host: PlayedHost) -> PlayedHost:
    """The same with the new data in place."""
    host.ok(_PAUSE, _SWAP)
    return host


def _is_as_before(host: PlayedHost) -> None:
    volumes = host.volumes()
    assert volumes[MAIN] == {"base": "old"}
    assert volumes.keys() - {_NEW} == {MAIN, "infisical_redis"}
    assert {path: host.read(path) for path in _FILES} == _FILES
    assert host.read(_STATE) is None


def test_a_change_that_is_killed_is_undone(host: PlayedHost) -> None:
    deaths = host.deaths(_PAUSE, _SWAP)
    assert (deaths[-1].read(_STATE) or "").split()[1] == "swapped"
    for each in deaths:
        each.ok(_BACK, _END)
        _is_as_before(each)


def test_a_way_back_that_is_killed_is_gone_to_its_end(swapped: PlayedHost) -> None:
    for each in swapped.deaths(_BACK, _END):
        if each.read(_STATE):
            each.ok(_BACK, _END)
        _is_as_before(each)
        assert "a line of its log" in (each.read(f"{RELEASES}/{_RELEASE}/failed.log") or "")


def test_an_end_that_is_killed_keeps_the_new_data(swapped: PlayedHost) -> None:
    for each in swapped.deaths(_END):
        if each.read(_STATE):
            each.ok(_END)
        volumes = each.volumes()
        assert volumes[MAIN] == {"base": "new"}
        assert volumes.keys() - {_NEW} == {MAIN, "infisical_redis"}
        assert {each.read(path) for path in _FILES} == {"new"}


def test_a_docker_that_does_not_answer_is_no_volume_that_is_gone(swapped: PlayedHost) -> None:
    swapped.write("/silent", "")
    assert swapped.run(*_BACK).returncode == 1
    swapped.remove("/silent")
    swapped.ok(_BACK, _END)
    _is_as_before(swapped)
