"""Test the copy of PostgreSQL's data that is made while they are in use."""

import os
import shutil
import time
from pathlib import Path

import pytest

from infisical_iac.agent import volume_copy
from infisical_iac.agent.data import MAIN
from tests.unit.agent.fake_engine import FakeEngine

_NEW = "infisical-upgrade_postgres"
# Long before the test, so that nothing changes with the same time.
_LONG_AGO = 1_700_000_000


@pytest.fixture
def host(tmp_path: Path) -> FakeEngine:
    made = FakeEngine(tmp_path, {"sync": ""})
    made.volume(MAIN, PG_VERSION="17", control="first", gone="first")
    for each in _main(made).iterdir():
        os.utime(each, (_LONG_AGO, _LONG_AGO))
    return made


def _main(host: FakeEngine) -> Path:
    return host.path(f"/var/lib/docker/volumes/{MAIN}/_data")


def _copy(host: FakeEngine) -> Path:
    return host.path(f"/var/lib/docker/volumes/{_NEW}/_data")


def _content(folder: Path) -> dict[str, str]:
    return {
        str(each.relative_to(folder)): f"{each.stat().st_mode:o} {each.read_text()}"
        for each in folder.rglob("*")
        if each.is_file()
    }


def test_a_completed_copy_has_each_change_since_it_was_begun(host: FakeEngine) -> None:
    volume_copy.begin_copy(host, _NEW, "infisical-upgrade")
    main = _main(host)
    (main / "control").write_text("other")
    (main / "control").chmod(0o600)
    (main / "gone").unlink()
    (main / "base").mkdir(mode=0o700)
    (main / "base" / "16384").write_text("a table")
    (main / "link").symlink_to("base")
    volume_copy.complete_copy(host, _NEW)
    assert _content(_copy(host)) == _content(main)
    assert (_copy(host) / "link").readlink() == Path("base")
    assert (_copy(host) / "base").stat().st_mode == (main / "base").stat().st_mode


def test_only_files_that_have_changed_are_copied_twice(
    host: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: list[str] = []
    copyfile = shutil.copyfile

    def copy(source: os.DirEntry[str], target: Path) -> object:
        copied.append(source.name)
        return copyfile(source, target)

    monkeypatch.setattr(shutil, "copyfile", copy)
    volume_copy.begin_copy(host, _NEW, "infisical-upgrade")
    assert sorted(copied) == ["PG_VERSION", "control", "gone"]
    copied.clear()
    (_main(host) / "control").write_text("other")
    volume_copy.complete_copy(host, _NEW)
    assert copied == ["control"]


def test_a_file_that_changes_in_the_tick_of_its_copy_is_copied_again(host: FakeEngine) -> None:
    """Its size and its time are then those of the copy."""
    file, now = _main(host) / "control", time.time()
    os.utime(file, (now, now))
    volume_copy.begin_copy(host, _NEW, "infisical-upgrade")
    file.write_text("other")
    os.utime(file, (now, now))
    volume_copy.complete_copy(host, _NEW)
    assert (_copy(host) / "control").read_text() == "other"


def test_a_file_that_is_removed_while_it_is_copied_is_left_out(
    host: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    copyfile = shutil.copyfile

    def remove_first(source: os.DirEntry[str], target: Path) -> object:
        if source.name == "gone":
            Path(source).unlink()
        return copyfile(source, target)

    monkeypatch.setattr(shutil, "copyfile", remove_first)
    volume_copy.begin_copy(host, _NEW, "infisical-upgrade")
    monkeypatch.undo()
    volume_copy.complete_copy(host, _NEW)
    assert _content(_copy(host)) == _content(_main(host))


def test_a_name_that_becomes_a_folder_is_a_folder_in_the_copy(host: FakeEngine) -> None:
    volume_copy.begin_copy(host, _NEW, "infisical-upgrade")
    main = _main(host)
    (main / "gone").unlink()
    (main / "gone").mkdir()
    (main / "gone" / "inside").write_text("other")
    volume_copy.complete_copy(host, _NEW)
    assert _content(_copy(host)) == _content(main)


def test_a_copy_without_space_for_it_is_refused(
    host: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(volume_copy, "_SPARE_KIB", 1 << 40)
    with pytest.raises(RuntimeError, match="MB free"):
        volume_copy.begin_copy(host, _NEW, "infisical-upgrade")
    assert _NEW not in host.volumes()
