"""Test that the old data and files come back after restore.sh is killed after any effect."""

from pathlib import Path

import pytest

from tests.unit.fake_host import MAIN, FakeHost, make_host

_STATE = "/var/lib/infisical-restore/state"
_STAMP = "20261125T101112Z"
_KEPT = f"/var/lib/infisical-restore/aside/{_STAMP}/files"
_NEW = "infisical-restore_postgres"
_GIVEN_UP = f"{MAIN}_given_up_{_STAMP}"
_KEY = "/etc/infisical/keys/encryption_key"
_FILES = {"/etc/infisical/compose.yaml": "old", "/etc/infisical/workspace.json": "old", _KEY: "old"}
_BEGIN, _ASIDE = ("restore", "begin", _STAMP), ("restore", "aside", "keys/encryption_key")
_SWAP, _END = ("restore", "swap", _NEW), ("restore", "end")
_BACK, _FORGET = ("restore", "back"), ("restore", "forget")


@pytest.fixture
def bare(tmp_path: Path) -> FakeHost:
    """A host with a kit's key and no data, on which a snapshot is loaded."""
    made = make_host(tmp_path)
    made.write(_KEY, "new")
    made.write("/var/lib/infisical-restore/fetched/workspace.json", "new")
    made.volume(_NEW, base="new")
    return made


@pytest.fixture
def host(bare: FakeHost) -> FakeHost:
    """The bare host with old data and files."""
    for path, text in _FILES.items():
        bare.write(path, text)
    bare.volume(MAIN, base="old")
    bare.volume("infisical_redis", queue="old")
    return bare


@pytest.fixture
def swapped_host(host: FakeHost) -> FakeHost:
    """The host with the kit's key and the new data in place."""
    host.ok(_BEGIN, _ASIDE)
    host.write(_KEY, "new")
    host.ok(_SWAP)
    host.write("/etc/infisical/compose.yaml", "new")
    return host


def _undo(host: FakeHost) -> None:
    if host.read(_STATE):
        host.ok(_BACK, _FORGET)
    assert host.read(_STATE) is None
    assert host.read(f"{_KEPT}/keys/encryption_key") is None


def _assert_old_state(host: FakeHost) -> None:
    volumes = host.volumes()
    assert volumes[MAIN] == {"base": "old"}
    assert volumes.keys() - {_NEW, _GIVEN_UP} == {MAIN, "infisical_redis"}
    assert {path: host.read(path) for path in _FILES} == _FILES


def test_a_restore_that_is_killed_is_undone(host: FakeHost) -> None:
    deaths = host.deaths(_BEGIN, _ASIDE, _SWAP)
    assert deaths[-1].volumes()[MAIN] == {"base": "new"}
    for each in deaths:
        _undo(each)
        _assert_old_state(each)


def test_a_restore_onto_a_bare_host_that_is_killed_is_undone(bare: FakeHost) -> None:
    for each in bare.deaths(_BEGIN, _SWAP):
        _undo(each)
        assert each.volumes().keys() - {_NEW, _GIVEN_UP} == set()
        assert each.read("/etc/infisical/workspace.json") is None


def test_a_restore_that_was_undone_is_remembered_until_the_next_one(bare: FakeHost) -> None:
    bare.ok(_BEGIN, _SWAP, _BACK)
    for each in (*bare.deaths(_FORGET), bare):
        _undo(each)
        assert each.read("/var/lib/infisical-restore/undone") == f"{_STAMP}\n"
    bare.ok(_BEGIN)
    assert bare.read("/var/lib/infisical-restore/undone") is None


def test_a_killed_rollback_is_completed(swapped_host: FakeHost) -> None:
    for each in swapped_host.deaths(_BACK, _FORGET):
        _undo(each)
        _assert_old_state(each)
        log = each.read(f"/var/lib/infisical-restore/failed-{_STAMP}.log") or ""
        assert "a logged line" in log


def _write(host: FakeHost) -> bool:
    """Write to the data in place, and return whether there were any data."""
    there = bool(host.volumes().get(MAIN))
    if there:
        host.volume(MAIN, written="acknowledged")
    return there


@pytest.mark.parametrize("data_before", [True, False])
def test_every_acknowledged_write_is_served_or_in_a_reported_volume(
    request: pytest.FixtureRequest, data_before: bool
) -> None:
    host: FakeHost = request.getfixturevalue("host" if data_before else "bare")
    for each in host.deaths(_BEGIN, _SWAP):
        wrote = _write(each)
        if not each.read(_STATE):
            continue
        done = each.run(*_BACK)
        assert done.returncode == 0, done.stderr
        kept = {MAIN: each.volumes().get(MAIN, {}), **each.given_up()}
        if wrote:
            (where,) = (name for name, files in kept.items() if "written" in files)
            assert where == MAIN or f"given-up {where} " in done.stdout
        assert kept[MAIN].get("base", "none") == ("old" if data_before else "none")


def test_writes_during_the_rollback_are_kept_too(swapped_host: FakeHost) -> None:
    _write(swapped_host)
    for each in swapped_host.deaths(_BACK):
        _write(each)
        _undo(each)
        found = (each.volumes()[MAIN], *each.given_up().values())
        assert "new" in [files["base"] for files in found if files.get("written")]


def test_a_proven_restore_removes_data_without_writes(swapped_host: FakeHost) -> None:
    for writes in ("0", "3"):
        swapped_host.volume(f"{MAIN}_given_up_{writes}", base="x")
        swapped_host.write(f"/volumes/{MAIN}_given_up_{writes}/labels", f"2026 {writes} image")
    assert [line.split() for line in swapped_host.run(*_END).stdout.splitlines()] == [
        ["removed", f"{MAIN}_given_up_0"],
        ["given-up", f"{MAIN}_given_up_3", "2026", "3", "image"],
        ["volume", f"{MAIN}_before_{_STAMP}"],
    ]


def test_an_undone_restore_keeps_its_state_until_the_old_data_are_served(
    swapped_host: FakeHost,
) -> None:
    swapped_host.ok(_BACK)
    assert swapped_host.read(_STATE) == f"{_STAMP} back\n"
    _assert_old_state(swapped_host)


def test_a_rollback_fails_while_docker_does_not_list_volumes(swapped_host: FakeHost) -> None:
    swapped_host.write("/failing", "volume\n")
    assert swapped_host.run(*_BACK).returncode == 1
    swapped_host.remove("/failing")
    _undo(swapped_host)
    _assert_old_state(swapped_host)


def test_the_old_data_stay_aside_at_the_end(swapped_host: FakeHost) -> None:
    volume = f"{MAIN}_before_{_STAMP}"
    assert swapped_host.run(*_END).stdout == f"volume {volume}\n"
    assert swapped_host.volumes()[volume] == {"base": "old"}
    assert swapped_host.read(f"{_KEPT}/keys/encryption_key") == "old"


@pytest.mark.parametrize(("program", "step"), [("find", _BACK), ("ls", _END)])
def test_unreadable_files_that_moved_aside_are_kept(
    swapped_host: FakeHost, program: str, step: tuple[str, ...]
) -> None:
    kept = swapped_host.read(f"{_KEPT}/keys/encryption_key")
    swapped_host.program(program, "echo 'Input/output error' >&2\nexit 2")
    swapped_host.run(*step)
    assert kept == swapped_host.read(f"{_KEPT}/keys/encryption_key") == "old"
    assert (swapped_host.read(_STATE) or "").split()[1:] != ["back"]
