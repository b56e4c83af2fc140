"""Seal and open the text of a kit's file: a head for people, then the encrypted kit."""

import base64
import binascii
import re
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import pyrage
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from infisical_iac.backup import signing
from infisical_iac.backup.kit import Kit, Opened, pack, unpack
from infisical_iac.backup.recipients import Identity, Recipient
from infisical_iac.core import atomic
from infisical_iac.core.errors import FileError

_BEGIN = "-----BEGIN AGE ENCRYPTED FILE-----"
_END = "-----END AGE ENCRYPTED FILE-----"
_STANZAS = ("X25519", "ssh-ed25519", "ssh-rsa")


def render(kit: Kit, armor: str, signer: str) -> str:
    """Return the file's text, which fits on a page with up to about ten credentials."""
    recipients = "\n".join(f"    {each}" for each in kit.recipients)
    return f"""\
RECOVERY KIT OF INFISICAL at {kit.site_url}, host {kit.host}
made {kit.at} by {kit.by}, for {kit.versions.infisical}
signed by {signer}

With the backups this is all that a new host needs: keys, passwords and credentials. Anyone
with this text and the private key of one of these recipients can read them:
{recipients}
Keep the kit away from the host and its backups. Make a new one when `infisical-iac status` says so.

restore    infisical-iac restore --kit FILE --identity PRIVATE-KEY
           which asks for the fingerprint above, as you noted it elsewhere
by hand    sed -n '/^-----BEGIN/,$p' FILE | age --decrypt --identity PRIVATE-KEY | gunzip
check      sed -n '/^-----BEGIN/,$p' FILE | sha256sum    begins with {_digest(armor)}

{armor}"""


def read(file: Path) -> str:
    """Return a file's text. Raises FileError if it can't be read."""
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise FileError(f"{file} can't be read: {reason}") from None


def refuse_existing(file: Path, *, force: bool) -> None:
    """Raise FileError for a file that exists, unless `force`."""
    if file.exists() and not force:
        raise FileError(f"{file} is there already: name another file, or give --force")


def save(file: Path, text: str, *, force: bool) -> None:
    """Write a kit's file, and read it back. Raises FileError."""
    refuse_existing(file, force=force)
    with atomic.explain_failure(file):
        atomic.write(file, text, mode=0o600)
        there = file.read_text()
    if there != text:
        raise FileError(f"{file} does not hold what was written to it: check the disk")


def wrap_armor(text: str) -> bytes:
    """Return the encrypted part of a file's text, repaired after printing or mailing.

    Raises FileError for a text without such a part, or with an incomplete or damaged one.
    """
    lines = [line.strip() for line in text.splitlines()]
    try:
        lines = lines[lines.index(_BEGIN) :]
        lines = lines[: lines.index(_END) + 1]
    except ValueError:
        raise FileError(
            "the file is not a recovery kit, or a part of it is missing: copy all lines from "
            "BEGIN AGE ENCRYPTED FILE to END AGE ENCRYPTED FILE",
            code="file.no_kit",
        ) from None
    whole = "\n".join(filter(None, lines)) + "\n"
    noted = re.search(r"sha256sum +begins with ([0-9a-f]{16})", text)
    if noted and noted[1] != _digest(whole):
        raise FileError(
            f"the kit was damaged, as its sum is {_digest(whole)} instead of {noted[1]}: compare "
            "each line from BEGIN to END with another copy",
            code="file.damaged_kit",
        )
    return whole.encode()


def compute_fingerprint(text: str) -> str:
    """Return the kit's fingerprint, as its file has it."""
    return _digest(wrap_armor(text).decode())


def stanzas(text: str) -> list[str]:
    """Return the types of the recipients' keys, sorted, one for each key."""
    try:
        data = base64.b64decode(b"".join(wrap_armor(text).splitlines()[1:-1]), validate=True)
    except binascii.Error:
        return []
    header = data.partition(b"\n--- ")[0].decode(errors="replace")
    words = [line.split(" ")[1] for line in header.splitlines() if line.startswith("-> ")]
    return sorted(word for word in words if word in _STANZAS)


def _digest(armor: str) -> str:
    return sha256(armor.encode()).hexdigest()[:16]


def seal(
    kit: Kit, to: Sequence[Recipient], key: Ed25519PrivateKey, known: Sequence[Identity] = ()
) -> str:
    """Return the sheet of a kit, signed by `key`, after opening it as a proof.

    The proof uses a temporary key, and the `known` identities of recipients, if there are any. The
    header must have a line for each recipient.

    Raises FileError if it can't be opened, or not by `known`.
    """
    proof = pyrage.x25519.Identity.generate()
    packed = pack(kit, key)
    signer = signing.compute_fingerprint(key.public_key())
    armor = pyrage.encrypt(packed, [*(each.key for each in to), proof.to_public()], armored=True)
    text = render(kit, armor.decode(), signer)
    desired = sorted([*(each.stanza for each in to), "X25519"])
    back = pyrage.decrypt(wrap_armor(text), [proof])
    if stanzas(text) != desired or back != packed or unpack(back) != Opened(kit, signer):
        raise FileError(
            "the kit can't be read back as it was encrypted: nothing was written",
            code="file.unproven_kit",
        )
    if known:
        _decrypt(text, known)
    return text


def open_sheet(text: str, identities: Sequence[Identity]) -> Opened:
    """Return the kit in the text of a file, and its signer.

    Raises a UserError if the text is not a sheet, was damaged or altered, is encrypted for others
    than `identities`, or has files that no kit has.
    """
    return unpack(_decrypt(text, identities))


def _decrypt(text: str, identities: Sequence[Identity]) -> bytes:
    armor = wrap_armor(text)
    try:
        return pyrage.decrypt(armor, identities)
    except pyrage.DecryptError as error:
        if "No matching keys" in str(error):
            raise FileError(
                "the kit is not encrypted for the key in the identity file: give the one "
                "of a recipient in its first lines",
                code="file.other_recipient",
            ) from None
        raise FileError(
            "the kit was damaged: compare each line from BEGIN to END with another copy",
            code="file.damaged_kit",
        ) from None
