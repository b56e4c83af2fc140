"""Test that keys of age and SSH are parsed, and other texts refused without quoting them."""

import subprocess
from pathlib import Path

import pytest
from pyrage.x25519 import Identity

from infisical_iac.backup.kit_keys import identities, parse_lines, parse_recipient
from infisical_iac.core.errors import FileError


def ssh_key(directory: Path, *, kind: str = "ed25519", passphrase: str = "") -> Path:
    """Make an SSH key, and return the file of the private key; the public key is next to it."""
    file = directory / "id"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "ada@laptop", "-f", str(file)],
        check=True,
    )
    return file


def test_an_age_key_is_named_by_itself() -> None:
    public = str(Identity.generate().to_public())
    assert (parse_recipient(f" {public}\n").name, parse_recipient(public).stanza) == (
        public,
        "X25519",
    )


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_an_ssh_key_is_named_by_its_fingerprint(tmp_path: Path, kind: str) -> None:
    public = ssh_key(tmp_path, kind=kind).with_suffix(".pub")
    output = subprocess.run(
        ["ssh-keygen", "-l", "-f", str(public)], check=True, capture_output=True, text=True
    ).stdout
    recipient = parse_recipient(public.read_text())
    assert recipient.name == f"ssh-{kind} {output.split()[1]}"
    assert recipient.stanza == f"ssh-{kind}"


def test_a_file_of_keys_may_have_comments_and_empty_lines() -> None:
    public = str(Identity.generate().to_public())
    assert [each.name for each in parse_lines(["# of Ada", "", f"{public}\n"])] == [public]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "file.no_public_key"),
        pytest.param(str(Identity.generate()), "file.no_public_key", id="private"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "file.no_public_key"),
        ("ecdsa-sha2-nistp256 AAAA", "file.no_public_key"),
        ("ssh-ed25519", "file.no_public_key"),
        ("ssh-ed25519 AAAA", "file.incomplete_key"),
        ("ssh-ed25519 not!base64", "file.incomplete_key"),
        ("age1notakey", "file.incomplete_key"),
    ],
)
def test_another_text_is_refused_as_a_public_key_without_quoting_it(text: str, code: str) -> None:
    with pytest.raises(FileError) as refused:
        parse_recipient(text)
    assert refused.value.code == code
    assert "SECRET" not in str(refused.value)


def test_identities_are_read_of_age_and_of_ssh(tmp_path: Path) -> None:
    private = ssh_key(tmp_path).read_text()
    assert len(identities(f"# public key: age1…\n{Identity.generate()}\n{private}")) == 2


def test_an_identity_with_a_passphrase_is_refused_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="`ssh-keygen -p -f <copy>`") as refused:
        identities(ssh_key(tmp_path, passphrase="fake-passphrase").read_text())
    assert refused.value.code == "file.passphrase"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "file.no_private_key"),
        ("age1public", "file.no_private_key"),
        ("AGE-SECRET-KEY-1FAKE", "file.unsupported_key"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nfake\n-----END RSA PRIVATE KEY-----",
            "file.unsupported_key",
        ),
    ],
)
def test_another_text_is_refused_as_a_private_key_without_quoting_it(text: str, code: str) -> None:
    with pytest.raises(FileError) as refused:
        identities(text)
    assert refused.value.code == code
    assert "FAKE" not in str(refused.value)


def test_an_identity_that_age_cannot_use_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError) as refused:
        identities(ssh_key(tmp_path, kind="ecdsa").read_text())
    assert refused.value.code == "file.unsupported_key"
