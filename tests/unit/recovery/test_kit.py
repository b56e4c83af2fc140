"""A kit gives back what went into it, and refuses what is none without showing any of it."""

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infisical_iac.recovery.kit import KitError, check, pack, unpack
from tests.unit.recovery.kits import FILES, kit

_TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.dictionaries(_TEXT, _TEXT))
def test_any_files_are_given_back(files: dict[str, str]) -> None:
    assert unpack(pack(kit(files))) == kit(files)


def test_no_secret_is_in_what_is_shown_of_a_kit() -> None:
    assert "fake-" not in repr(kit())


@pytest.mark.parametrize("path", ["keys/encryption_key", "keys/restic_password", "admin.env"])
def test_a_kit_without_what_a_restore_needs_is_refused(path: str) -> None:
    check(kit())
    for files in ({**FILES, path: "\n"}, {key: FILES[key] for key in FILES if key != path}):
        with pytest.raises(KitError, match=f"no /etc/infisical/{path} on the host"):
            check(kit(files))


@pytest.mark.parametrize(
    "data", [b"", b"fake-secret", gzip.compress(b"[1]", mtime=0), pack(kit())[:-9]]
)
def test_other_bytes_are_no_kit(data: bytes) -> None:
    with pytest.raises(KitError, match="is no recovery kit") as refused:
        unpack(data)
    assert "fake" not in str(refused.value)


def _altered(**values: object) -> bytes:
    return gzip.compress(
        json.dumps({**json.loads(gzip.decompress(pack(kit()))), **values}).encode()
    )


def test_a_kit_of_another_format_names_the_revision_that_reads_it() -> None:
    with pytest.raises(KitError, match=r"format 2, and this version.* reads 1.* revision abc123"):
        unpack(_altered(kit=2))


def test_what_is_wrong_inside_is_named_without_its_value() -> None:
    with pytest.raises(KitError, match=r"not complete: files\.admin\.env is missing") as refused:
        unpack(_altered(files={"admin.env": ["fake-secret"]}))
    assert "fake" not in str(refused.value)
