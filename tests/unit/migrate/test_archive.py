"""Test that recipients of an archive, and nobody else, can restore each file unchanged."""

import errno
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyrage.x25519 import Identity

from infisical_iac.core.errors import FileError
from infisical_iac.migrate import archive
from tests.unit.migrate.cleanable import read_archive

_AT = datetime(2026, 11, 25, 14, 30, 5, tzinfo=UTC)
_CONTENTS = {"backend/.env": b"TOKEN=obviously-fake-secret\n", ".env.production": b"\xff\r\n\0"}


def test_a_recipient_gets_back_every_byte(tmp_path: Path) -> None:
    ada, ben = Identity.generate(), Identity.generate()
    file = archive.path(tmp_path, _AT)
    archive.write(file, _CONTENTS, [ada.to_public(), ben.to_public()], [ben])
    assert file.name == ".env-archive-20261125T143005Z.tar.age"
    assert file.stat().st_mode & 0o777 == 0o600
    assert read_archive(file, ada) == read_archive(file, ben) == _CONTENTS
    assert b"obviously-fake-secret" not in file.read_bytes()
    assert list(tmp_path.iterdir()) == [file]


@given(st.dictionaries(st.from_regex(r"[a-zé]{1,130}/\.env", fullmatch=True), st.binary()))
def test_files_with_any_names_and_bytes_are_restored(contents: dict[str, bytes]) -> None:
    assert archive._untar(archive._tar(contents)) == contents


def test_an_identity_that_cannot_open_the_archive_leaves_no_archive(tmp_path: Path) -> None:
    recipient, other = Identity.generate().to_public(), Identity.generate()
    with pytest.raises(FileError) as raised:
        archive.write(archive.path(tmp_path, _AT), _CONTENTS, [recipient], [other])
    assert raised.value.code == "file.archive_key"
    assert list(tmp_path.iterdir()) == []


def test_an_archive_that_is_read_back_differently_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, wrong = archive._tar(_CONTENTS), archive._tar({**_CONTENTS, "backend/.env": b""})
    assert right != wrong
    monkeypatch.setattr(archive, "_tar", lambda _: wrong)
    with pytest.raises(FileError, match="check the disk") as raised:
        archive.write(archive.path(tmp_path, _AT), _CONTENTS, [Identity.generate().to_public()])
    assert raised.value.code == "file.archive_differs"
    assert list(tmp_path.iterdir()) == []


def test_an_archive_is_never_replaced(tmp_path: Path) -> None:
    file = archive.path(tmp_path, _AT)
    file.write_bytes(b"of the run before")
    with pytest.raises(FileError, match="it exists already"):
        archive.write(file, _CONTENTS, [Identity.generate().to_public()])
    assert file.read_bytes() == b"of the run before"


def test_a_second_archive_of_the_same_second_gets_another_name(tmp_path: Path) -> None:
    names = []
    for part in ("", "", ".part", ""):
        file = archive.path(tmp_path, _AT)
        file.with_name(file.name + part).touch()
        names.append(file.name.removeprefix(".env-archive-20261125T143005Z"))
    assert names == [".tar.age", "-2.tar.age", "-3.tar.age", "-4.tar.age"]


def test_the_partial_archive_of_a_killed_run_is_removed_and_nothing_else(
    tmp_path: Path,
) -> None:
    file, env = archive.path(tmp_path, _AT), tmp_path / ".env.part"
    for each in (file, env, tmp_path / f"{file.name}.part", tmp_path / ".env-archive-x.part"):
        each.touch()
    archive.remove_unfinished(tmp_path)
    assert {*tmp_path.iterdir()} == {file, env}


def test_an_unfinished_archive_that_cannot_be_removed_is_an_error(tmp_path: Path) -> None:
    part = archive.path(tmp_path, _AT).with_suffix(".age.part")
    part.mkdir()
    with pytest.raises(FileError) as raised:
        archive.remove_unfinished(tmp_path)
    assert raised.value.code == "file.unfinished_archive"
    assert str(part) in str(raised.value)


def test_a_full_disk_is_an_error_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = os.strerror(errno.ENOSPC)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, reason)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileError, match=rf"can't be written: {reason}$"):
        archive.write(archive.path(tmp_path, _AT), _CONTENTS, [Identity.generate().to_public()])
    assert list(tmp_path.iterdir()) == []
