"""Test which files may be deleted, and that all others are kept."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from infisical_iac.migrate.cleaning import MovedFile, delete, examine_files, read_report
from tests.unit.migrate.cleanable import (
    BACKEND,
    HASH_KEY,
    PYTHON,
    SECRET,
    git,
    monorepo,
    moved_file,
    report,
    write,
)


def _code(root: Path, file: MovedFile, *, archived: bool = True) -> str:
    """Return the code of the only reason why the file is kept."""
    ready, [kept] = examine_files(root, [file], HASH_KEY, archived=archived)
    assert (ready, kept.path) == ([], file.path)
    return kept.code


def test_an_unchanged_verified_file_is_ready(tmp_path: Path) -> None:
    ready, kept = examine_files(tmp_path, monorepo(tmp_path), HASH_KEY, archived=True)
    assert kept == []
    assert [(each.file.path, each.is_tracked) for each in ready] == [
        (BACKEND, True),
        (PYTHON, False),
    ]
    assert ready[0].data == f"TOKEN={SECRET}\n".encode()
    assert SECRET not in repr(ready)


def test_a_missing_file_is_ignored(tmp_path: Path) -> None:
    file = moved_file(tmp_path, write(tmp_path, "a/.env").relative_to(tmp_path).as_posix())
    (tmp_path / "a" / ".env").unlink()
    assert examine_files(tmp_path, [file], HASH_KEY, archived=True) == ([], [])
    (tmp_path / "a").rmdir()
    assert examine_files(tmp_path, [file], HASH_KEY, archived=True) == ([], [])


def test_a_file_that_has_changed_is_kept(tmp_path: Path) -> None:
    write(tmp_path, ".env")
    file = moved_file(tmp_path, ".env")
    write(tmp_path, ".env", "TOKEN=obviously-fake-other\n")
    assert _code(tmp_path, file) == "file.changed"


def test_a_link_and_its_target_are_kept(tmp_path: Path) -> None:
    target = write(tmp_path, "shared.env")
    (tmp_path / ".env").symlink_to(target)
    assert _code(tmp_path, moved_file(tmp_path, ".env")) == "file.link"
    write(tmp_path, "real/.env")
    (tmp_path / "link").symlink_to("real")
    assert _code(tmp_path, moved_file(tmp_path, "link/.env")) == "file.linked_directory"


@pytest.mark.parametrize("path", ["../.env", "a/../../.env", "/etc/infisical/.env"])
def test_a_file_outside_the_root_is_kept(tmp_path: Path, path: str) -> None:
    write(tmp_path, ".env")
    (tmp_path / "root").mkdir()
    file = MovedFile(path, "0" * 64, "backend", "production", ())
    assert _code(tmp_path / "root", file) == "file.outside"
    assert (tmp_path / ".env").exists()


def test_a_directory_in_place_of_the_file_is_kept(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    file = MovedFile(".env", "0" * 64, "backend", "production", ())
    assert _code(tmp_path, file) == "file.not_regular"


def test_a_directory_that_cant_be_written_to_keeps_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, ".env")
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert _code(tmp_path, moved_file(tmp_path, ".env")) == "file.read_only"


def test_skipped_keys_keep_a_file_unless_it_is_archived(tmp_path: Path) -> None:
    write(tmp_path, ".env")
    file = moved_file(tmp_path, ".env", skipped=("PORT",))
    assert _code(tmp_path, file, archived=False) == "file.no_archive"
    _, (kept,) = examine_files(tmp_path, [file], HASH_KEY, archived=False)
    assert "PORT" in kept.reason
    assert examine_files(tmp_path, [file], HASH_KEY, archived=True).kept == []


def test_a_file_without_moved_keys_is_kept(tmp_path: Path) -> None:
    write(tmp_path, ".env.local", "INFISICAL_CLIENT_ID=obviously-fake\n")
    skipped = replace(moved_file(tmp_path, ".env.local"), keys=(), skipped=("INFISICAL_CLIENT_ID",))
    assert _code(tmp_path, skipped) == "file.not_migrated"


def test_a_file_is_deleted_from_the_disk_and_the_index(tmp_path: Path) -> None:
    ready, _ = examine_files(tmp_path, monorepo(tmp_path), HASH_KEY, archived=True)
    assert [delete(tmp_path, each, HASH_KEY) for each in ready] == [None, None]
    assert not (tmp_path / BACKEND).exists()
    assert not (tmp_path / PYTHON).exists()
    assert git(tmp_path, "ls-files", BACKEND) == ""
    assert [delete(tmp_path, each, HASH_KEY) for each in ready] == [None, None]


def test_a_name_with_brackets_is_not_a_pattern_to_git(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    write(tmp_path, ".env1")
    git(tmp_path, "add", ".env1")
    write(tmp_path, ".env[1]")
    [ready], _ = examine_files(tmp_path, [moved_file(tmp_path, ".env[1]")], HASH_KEY, archived=True)
    assert not ready.is_tracked
    assert delete(tmp_path, ready, HASH_KEY) is None
    assert git(tmp_path, "ls-files") == ".env1\n"


def test_a_file_that_changes_after_the_question_is_kept(tmp_path: Path) -> None:
    ready, _ = examine_files(tmp_path, monorepo(tmp_path), HASH_KEY, archived=True)
    changed = write(tmp_path, BACKEND, "TOKEN=obviously-fake-other\n")
    kept = delete(tmp_path, ready[0], HASH_KEY)
    assert kept is not None
    assert (kept.path, kept.code) == (BACKEND, "file.changed")
    assert changed.read_text() == "TOKEN=obviously-fake-other\n"
    assert git(tmp_path, "ls-files", BACKEND) == f"{BACKEND}\n"


def test_content_only_in_the_index_keeps_its_file(tmp_path: Path) -> None:
    files = monorepo(tmp_path)
    write(tmp_path, BACKEND, "TOKEN=obviously-fake-staged\n")
    git(tmp_path, "add", BACKEND)
    write(tmp_path, BACKEND, f"TOKEN={SECRET}\nMORE={SECRET}\n")
    ready, _ = examine_files(
        tmp_path, [moved_file(tmp_path, BACKEND), files[1]], HASH_KEY, archived=True
    )
    kept = delete(tmp_path, ready[0], HASH_KEY)
    assert kept is not None
    assert (kept.path, kept.code) == (BACKEND, "file.index")
    assert (tmp_path / BACKEND).exists()
    assert "obviously-fake-staged" in git(tmp_path, "show", f":{BACKEND}")


def test_a_file_that_cannot_be_deleted_is_kept_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, ".env")
    ready, _ = examine_files(tmp_path, [moved_file(tmp_path, ".env")], HASH_KEY, archived=True)

    def refuse(path: Path, missing_ok: bool) -> None:
        raise PermissionError(1, "Operation not permitted", str(path))

    monkeypatch.setattr(Path, "unlink", refuse)
    kept = delete(tmp_path, ready[0], HASH_KEY)
    assert kept is not None
    assert (kept.path, kept.code) == (".env", "file.not_deleted")
    assert "Operation not permitted" in kept.reason


def test_personal_overrides_are_kept(tmp_path: Path) -> None:
    """An earlier version moved `.env.override`, and lines below `# overrides`."""
    for name in (".env.override", ".env.local"):
        write(tmp_path, name, f"TOKEN={SECRET}\n# overrides\nOTHER={SECRET}\n")
    own, local = (moved_file(tmp_path, name) for name in (".env.override", ".env.local"))
    _, found = read_report(report(tmp_path, own, local))
    assert found.left_out_paths == [own.path]
    assert [each.path for each in found.verified_files] == [local.path]
    examined = examine_files(tmp_path, found.verified_files, HASH_KEY, archived=True)
    assert [each.code for each in examined.kept] == ["file.overrides"]
    assert examined.ready == []
