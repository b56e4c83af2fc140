"""Test the hashes that distinguish values, and the key of these hashes."""

from pathlib import Path

import pytest

from infisical_iac.core.errors import FileError
from infisical_iac.migrate.plan_file import digest, load_or_make


def test_the_key_of_the_hashes_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    file = tmp_path / "migration.key"
    key = load_or_make(file)
    assert len(key) == 32
    assert file.stat().st_mode & 0o777 == 0o600
    assert load_or_make(file) == key
    assert [each.name for each in tmp_path.iterdir()] == ["migration.key"]


def test_a_hash_depends_on_key_and_value() -> None:
    hashes = {digest(bytes([n]) * 32, value) for n in (1, 2) for value in ("fake", "other")}
    assert len(hashes) == 4
    assert all(len(each) == 12 and int(each, 16) >= 0 for each in hashes)


@pytest.mark.parametrize(
    ("content", "mode", "code", "fact"),
    [
        (b"short", 0o600, "file.plan_key_size", "32 bytes"),
        (b"x" * 32, 0o644, "file.plan_key_mode", "`chmod 600 "),
    ],
)
def test_a_key_of_another_size_or_that_others_can_read_is_refused(
    content: bytes, mode: int, code: str, fact: str, tmp_path: Path
) -> None:
    file = tmp_path / "migration.key"
    file.write_bytes(content)
    file.chmod(mode)
    with pytest.raises(FileError, match=fact) as raised:
        load_or_make(file)
    assert raised.value.code == code
    assert str(file) in str(raised.value)


def test_a_hash_key_that_cannot_be_written_is_an_error_with_its_path(tmp_path: Path) -> None:
    file = tmp_path / "none" / "migration.key"
    with pytest.raises(FileError, match="No such file") as raised:
        load_or_make(file)
    assert raised.value.code == "file.plan_key"
    assert str(file) in str(raised.value)
