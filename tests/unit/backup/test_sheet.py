"""Test that a sheet is a readable text, and opens for its recipients after printing or mail."""

import subprocess
from pathlib import Path

import pytest
from pyrage.x25519 import Identity

from infisical_iac.backup.kit import Kit, Opened, compute_sheet_digest, open_sheet, seal, stanzas
from infisical_iac.backup.kit_keys import identities, parse_recipient
from infisical_iac.core.errors import FileError
from tests.unit.backup.kits import FILES, KEY, SIGNER, kit
from tests.unit.backup.test_recipients import ssh_key


@pytest.fixture
def ada() -> Identity:
    """The identity of a recipient."""
    return Identity.generate()


def _seal(*to: Identity, of: Kit | None = None) -> str:
    return seal(of or kit(), [parse_recipient(str(each.to_public())) for each in to], KEY)


def test_each_recipient_opens_the_sheet(ada: Identity, tmp_path: Path) -> None:
    key = ssh_key(tmp_path)
    to = [
        parse_recipient(str(ada.to_public())),
        parse_recipient(key.with_suffix(".pub").read_text()),
    ]
    known = identities(key.read_text())
    text = seal(kit(), to, KEY, known)
    assert open_sheet(text, [ada]) == open_sheet(text, known) == Opened(kit(), SIGNER)
    assert stanzas(text) == ["X25519", "X25519", "ssh-ed25519"]


def test_an_identity_of_no_recipient_does_not_open_the_sheet(ada: Identity) -> None:
    with pytest.raises(FileError) as refused:
        open_sheet(_seal(ada), [Identity.generate()])
    assert refused.value.code == "file.other_recipient"


def test_an_identity_of_no_recipient_is_refused_before_writing(
    ada: Identity,
) -> None:
    with pytest.raises(FileError) as refused:
        seal(kit(), [parse_recipient(str(ada.to_public()))], KEY, [Identity.generate()])
    assert refused.value.code == "file.other_recipient"


def test_a_kit_that_cannot_be_read_back_is_never_written(
    ada: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infisical_iac.backup.kit.pack", lambda *_: b"right")
    monkeypatch.setattr("pyrage.decrypt", lambda *_: b"wrong")
    with pytest.raises(FileError) as refused:
        _seal(ada)
    assert refused.value.code == "file.unproven_kit"


def test_the_head_describes_the_kit_without_any_secret(ada: Identity) -> None:
    of = kit(recipients=(str(ada.to_public()),))
    text = _seal(ada, of=of)
    head = text.partition("-----BEGIN")[0]
    for output in ("https://secrets.example.com", "2026-11-25T14:00:00Z", str(ada.to_public())):
        assert output in head
    assert f"signed by {SIGNER}" in head
    assert "fake-" not in text
    assert max(map(len, head.splitlines())) <= 100


def test_a_sheet_fits_on_a_page(ada: Identity) -> None:
    services = {
        f"credentials/service-{number}.production.env": (
            f"# client secret 00000000-0000-0000-0000-{number:012} sha256 {number:016x}\n"
            f"INFISICAL_CLIENT_ID=11111111-1111-1111-1111-{number:012}\n"
            f"INFISICAL_CLIENT_SECRET={Identity.generate()}\nNODE_ENV=production\n"
        )
        for number in range(6)
    }
    text = _seal(ada, of=kit({**FILES, **services}))
    assert len(text.splitlines()) <= 60


@pytest.mark.parametrize(
    "travelled",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "".join(f"  {line} \n\n" for line in text.splitlines()),
        lambda text: f"From: ada\n\n{text}\n-- \nAda\n",
        lambda text: text.removesuffix("\n"),
        lambda text: text[text.index("-----BEGIN") :],
    ],
)
def test_a_sheet_survives_mail_and_typing(travelled: object, ada: Identity) -> None:
    assert callable(travelled)
    text = _seal(ada)
    assert open_sheet(travelled(text), [ada]).kit == kit()
    assert compute_sheet_digest(travelled(text)) == compute_sheet_digest(text)


def test_a_damaged_line_is_reported(ada: Identity) -> None:
    text = _seal(ada)
    lines = text.splitlines()
    lines[-4] = lines[-4][::-1]
    # The checksum in the head shows damage; without a head, the encryption shows it.
    with pytest.raises(FileError, match=f"sum .* {compute_sheet_digest(text)}") as by_sum:
        open_sheet("\n".join(lines), [ada])
    armor = lines[lines.index("-----BEGIN AGE ENCRYPTED FILE-----") :]
    with pytest.raises(FileError) as by_encryption:
        open_sheet("\n".join(armor), [ada])
    assert "sum" not in str(by_encryption.value)
    assert {by_sum.value.code, by_encryption.value.code} == {"file.damaged_kit"}


@pytest.mark.parametrize("text", ["", "RECOVERY KIT", "-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n"])
def test_a_part_of_a_sheet_is_refused(text: str, ada: Identity) -> None:
    with pytest.raises(FileError, match="BEGIN AGE ENCRYPTED FILE") as refused:
        open_sheet(text, [ada])
    assert refused.value.code == "file.no_kit"


def test_the_sum_equals_the_output_of_the_printed_command(ada: Identity, tmp_path: Path) -> None:
    file = tmp_path / "kit.txt"
    file.write_text(_seal(ada))
    command = "sed -n '/^-----BEGIN/,$p' kit.txt | sha256sum"
    assert command.replace("kit.txt", "FILE") in file.read_text()
    output = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert output.stdout[:16] == compute_sheet_digest(file.read_text())
    assert f"begins with {output.stdout[:16]}" in file.read_text()
