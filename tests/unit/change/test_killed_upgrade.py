"""Test that no data are lost if upgrade.sh is killed after any of its effects."""

import re
from pathlib import Path

import pytest

from infisical_iac.agent.releases import RELEASES
from tests.unit.fake_host import MAIN, FakeHost, make_host

_STATE = "/var/lib/infisical-upgrade/state"
_CLOSED = "/var/lib/infisical-upgrade/closed.yaml"
_RELEASE = "20261125T101112Z-v0.165.16"
_NEW = "infisical-upgrade_postgres"
_GIVEN_UP = f"{MAIN}_given_up_20261125T101112Z"
_FILES = {"/etc/infisical/compose.yaml": "old", "/etc/infisical/workspace.json": "old"}
_BEGIN = ("upgrade", "begin", _RELEASE, "infisical/infisical:v0.166.0")
_PAUSE, _SWAP = ("upgrade", "pause"), ("upgrade", "swap", _NEW, "data")
_BACK, _END = ("upgrade", "back"), ("upgrade", "end")
_END_CLOSED = ("upgrade", "end_closed")


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    """A host with an unfinished change, whose new data are loaded."""
    made = make_host(tmp_path)
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
def swapped_host(host: FakeHost) -> FakeHost:
    """The host with the new data in place."""
    host.ok(_PAUSE, _SWAP)
    return host


def _assert_old_state(host: FakeHost) -> None:
    volumes = host.volumes()
    assert volumes[MAIN] == {"base": "old"}
    assert volumes.keys() - {_NEW, _GIVEN_UP} == {MAIN, "infisical_redis"}
    assert {path: host.read(path) for path in _FILES} == _FILES
    assert host.read(_STATE) is None


def test_a_change_that_is_killed_is_undone(host: FakeHost) -> None:
    deaths = host.deaths(_PAUSE, _SWAP)
    assert (deaths[-1].read(_STATE) or "").split()[1] == "swapped"
    for each in deaths:
        each.ok(_BACK, _END)
        _assert_old_state(each)


def test_a_killed_rollback_is_completed(swapped_host: FakeHost) -> None:
    swapped_host.write(_CLOSED, "services: {}")
    for each in swapped_host.deaths(_BACK, _END_CLOSED, _END):
        if each.read(_STATE):
            each.ok(_BACK, _END_CLOSED, _END)
        _assert_old_state(each)
        assert each.read(_CLOSED) is None
        assert "a logged line" in (each.read(f"{RELEASES}/{_RELEASE}/failed.log") or "")


def _write(host: FakeHost) -> bool:
    """Write to the data in place, and return whether there were any data."""
    there = bool(host.volumes().get(MAIN))
    if there:
        host.volume(MAIN, written="acknowledged")
    return there


def test_every_acknowledged_write_is_served_or_in_a_reported_volume(
    host: FakeHost,
) -> None:
    for each in host.deaths(_PAUSE, _SWAP):
        wrote = _write(each)
        done = each.run(*_BACK)
        assert done.returncode == 0, done.stderr
        each.ok(_END)
        kept = {MAIN: each.volumes()[MAIN], **each.given_up()}
        assert kept[MAIN]["base"] == "old"
        if wrote:
            (where,) = (name for name, files in kept.items() if "written" in files)
            assert where == MAIN or f"given-up {where} " in done.stdout


def test_writes_during_the_rollback_are_kept_too(swapped_host: FakeHost) -> None:
    _write(swapped_host)
    for each in swapped_host.deaths(_BACK):
        again = _write(each)
        each.ok(_BACK, _END)
        found = (each.volumes()[MAIN], *each.given_up().values())
        written = [files["base"] for files in found if files.get("written")]
        assert "new" in written
        assert len(written) == len(set(written)), "each write is kept once"
        assert again or each.volumes()[MAIN] == {"base": "old"}


@pytest.mark.parametrize(
    ("started", "mute", "writes"),
    [
        ("2026-11-25T10:15:00Z", False, "42"),
        ("2026-11-25T10:15:00Z", True, "unknown"),
        ("2026-11-25T09:00:00Z", False, "42"),
        ("2026-11-25T10:00:00Z", True, "0"),
    ],
    ids=[
        "the database answers",
        "the database does not answer",
        "the clock was set back before the database started",
        "the database never ran",
    ],
)
def test_writes_since_the_swap_are_counted_where_possible(
    host: FakeHost, started: str, mute: bool, writes: str
) -> None:
    host.write("/started", "2026-11-25T10:00:00Z")
    host.ok(_PAUSE, _SWAP)
    host.write("/started", started)
    if mute:
        host.write("/mute", "")
    (said,) = host.run(*_BACK).stdout.splitlines()
    kind, name, since, *rest = said.split()
    assert (kind, name, rest) == ("given-up", _GIVEN_UP, [writes, "image", "image"])
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", since)
    # A repeated rollback reports the volume too.
    assert host.run(*_BACK).stdout.strip() == said.strip()


@pytest.mark.parametrize("phase", ["backing", "back"])
def test_a_rollback_begun_by_an_earlier_version_is_completed(
    swapped_host: FakeHost, phase: str
) -> None:
    _write(swapped_host)
    if phase == "back":
        swapped_host.ok(_BACK)
        swapped_host.remove("/var/lib/infisical-upgrade/writes")
    swapped_host.write(_STATE, f"{_RELEASE} {phase} infisical/infisical:v0.166.0\n")
    swapped_host.ok(_BACK, _END)
    _assert_old_state(swapped_host)
    assert swapped_host.given_up() == {_GIVEN_UP: {"base": "new", "written": "acknowledged"}}


def test_a_proven_change_has_no_rollback(swapped_host: FakeHost) -> None:
    swapped_host.write(_STATE, f"{_RELEASE} proven infisical/infisical:v0.166.0\n")
    done = swapped_host.run(*_BACK)
    assert (done.returncode, "can't be undone" in done.stderr) == (1, True)
    assert swapped_host.volumes()[MAIN] == {"base": "new"}


def test_a_proven_change_removes_data_without_writes(swapped_host: FakeHost) -> None:
    for name, writes in {"0": "0", "some": "3", "unknown": "unknown"}.items():
        swapped_host.volume(f"{MAIN}_given_up_{name}", base=name)
        swapped_host.write(f"/volumes/{MAIN}_given_up_{name}/labels", f"2026 {writes} image")
    done = swapped_host.run(*_END)
    assert done.returncode == 0, done.stderr
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["removed", f"{MAIN}_given_up_0"],
        ["given-up", f"{MAIN}_given_up_some", "2026", "3", "image"],
        ["given-up", f"{MAIN}_given_up_unknown", "2026", "unknown", "image"],
    ]
    assert swapped_host.given_up().keys() == {
        f"{MAIN}_given_up_{each}" for each in ("some", "unknown")
    }


def test_an_end_that_is_killed_keeps_the_new_data(swapped_host: FakeHost) -> None:
    for each in swapped_host.deaths(_END):
        if each.read(_STATE):
            each.ok(_END)
        volumes = each.volumes()
        assert volumes[MAIN] == {"base": "new"}
        assert volumes.keys() - {_NEW} == {MAIN, "infisical_redis"}
        assert {each.read(path) for path in _FILES} == {"new"}


def test_a_rollback_fails_while_docker_does_not_list_volumes(swapped_host: FakeHost) -> None:
    swapped_host.write("/failing", "volume\n")
    assert swapped_host.run(*_BACK).returncode == 1
    swapped_host.remove("/failing")
    swapped_host.ok(_BACK, _END)
    _assert_old_state(swapped_host)
