"""Test that a kit is packed and unpacked, and that other bytes are refused without quoting them."""

import base64
import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infisical_iac.backup.kit import Opened, check, pack, unpack
from infisical_iac.core.errors import FileError, UserError
from tests.unit.backup.kits import FILES, KEY, SIGNER, kit

# The characters that a password may have.
_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1)


@given(_TEXT)
def test_any_password_survives_packing(password: str) -> None:
    login = f"INFISICAL_ADMIN_EMAIL=admin@example.com\nINFISICAL_ADMIN_PASSWORD={password}\n"
    made = kit({**FILES, "admin.env": login})
    assert unpack(pack(made, KEY)) == Opened(made, SIGNER)


def test_the_repr_of_a_kit_holds_no_secret() -> None:
    assert "fake-" not in repr(kit())


@pytest.mark.parametrize("path", ["keys/encryption_key", "keys/restic_password", "admin.env"])
def test_a_kit_without_an_essential_file_is_refused(path: str) -> None:
    check(kit())
    for files in ({**FILES, path: "\n"}, {key: FILES[key] for key in FILES if key != path}):
        with pytest.raises(FileError, match=f" /etc/infisical/{path} ") as refused:
            check(kit(files))
        assert refused.value.code == "file.missing_in_kit"


@pytest.mark.parametrize(
    "data", [b"", b"fake-secret", gzip.compress(b"[1]", mtime=0), pack(kit(), KEY)[:-9]]
)
def test_bytes_that_are_no_kit_are_refused_without_quoting_them(data: bytes) -> None:
    with pytest.raises(FileError) as refused:
        unpack(data)
    assert refused.value.code == "file.no_kit"
    assert "fake" not in str(refused.value)


def _alter(**values: object) -> bytes:
    found = json.loads(gzip.decompress(pack(kit(), KEY)))
    return gzip.compress(json.dumps({**found, **values}).encode())


def test_a_kit_of_another_format_names_the_revision_that_reads_it() -> None:
    with pytest.raises(FileError, match=r"format '3', .* 2: .* revision abc123") as refused:
        unpack(_alter(kit=3))
    assert refused.value.code == "file.kit_format"


def test_an_invalid_field_is_named_without_its_value() -> None:
    with pytest.raises(FileError, match=r" files\.admin\.env ") as refused:
        unpack(_pack_unsigned(files={"admin.env": ["fake-secret"]}))
    assert refused.value.code == "file.incomplete_kit"
    assert "fake" not in str(refused.value)


def _pack_unsigned(**values: object) -> bytes:
    """Return the bytes of a kit in the earlier format, which has no signature."""
    return gzip.compress(json.dumps({**kit().model_dump(mode="json"), "kit": 1, **values}).encode())


def test_a_kit_of_the_earlier_format_is_unsigned() -> None:
    opened = unpack(_pack_unsigned())
    assert (opened.kit.files, opened.signer) == (FILES, "")


@pytest.mark.parametrize(
    "values",
    [
        {"host": "another"},
        {"files": {**FILES, "keys/auth_secret": "fake-auth-secret-of-a-forger"}},
        {"signature": ""},
        {"signature": None},
        {"signed_by": "AAAA"},
        {"signed_by": base64.b64encode(b"0" * 32).decode()},
    ],
)
def test_a_kit_that_was_altered_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(FileError) as refused:
        unpack(_alter(**values))
    assert refused.value.code == "file.altered_kit"


def test_a_signed_kit_with_the_unsigned_format_is_refused() -> None:
    """Otherwise a forger could drop the signature by changing the number of the format."""
    with pytest.raises(FileError, match=" signed_by ") as refused:
        unpack(_alter(kit=1))
    assert refused.value.code == "file.incomplete_kit"


def test_control_characters_of_a_kit_are_not_printed() -> None:
    for data in (
        _pack_unsigned(kit=3, versions={"revision": "\x1b[2J"}),
        _pack_unsigned(**{"\x1b[2J": 1}),
        _pack_unsigned(files={"\x1b[2J": "text"}),
    ):
        with pytest.raises(UserError) as refused:
            unpack(data)
        assert "\x1b" not in str(refused.value)


def test_a_kit_that_unpacks_to_too_much_is_refused() -> None:
    with pytest.raises(FileError) as refused:
        unpack(_pack_unsigned(host="x" * (1 << 22)))
    assert refused.value.code == "file.no_kit"
