"""Check, sign and serialize the content of a recovery kit; seal it in a sheet; open a sheet.

A sheet is the text of the kit's file: a head for people, then the encrypted kit.
"""

import base64
import binascii
import gzip
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyrage
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infisical_iac.agent.keys import form_of, has_form
from infisical_iac.backup import kit_keys
from infisical_iac.backup.kit_keys import Identity, Recipient
from infisical_iac.core import atomic
from infisical_iac.core.errors import FileError


def check_forms(files: Mapping[str, str], *, where: str) -> None:
    """Check that each text, by path under /etc/infisical, has the form of such a file in a kit.

    Raises FileError for other paths and forms. The error begins with `where` and names the path,
    but holds nothing of the text.
    """
    for path, text in files.items():
        if form_of(path) is None:
            raise FileError(
                f"{where} has a file {path[:80]!a}, which does not belong in a recovery kit",
                code="file.foreign_in_kit",
            )
        if not has_form(path, text):
            raise FileError(
                f"the text of {path} in {where} does not have the form that `infisical-iac` "
                "writes: take the file from another recovery kit",
                code="file.malformed_in_kit",
            )


FORMAT = 2
# The earlier format, which has no signature.
_UNSIGNED = 1
# A kit for a hundred services takes less than a twentieth of it.
_MOST_BYTES = 1 << 21
# Without these nothing can be restored.
ESSENTIAL = ("keys/encryption_key", "keys/restic_password", "admin.env")


class Versions(BaseModel):
    """The versions that ran on the host; empty where they could not be read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    infisical: str
    postgres: str
    redis: str
    infisical_id: str = ""
    migrations: int = 0
    revision: str = ""


class Kit(BaseModel):
    """A kit; the package's docstring describes each field."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kit: int = FORMAT
    at: str
    by: str
    host: str
    site_url: str
    versions: Versions
    backup_targets: tuple[Mapping[str, Any], ...]
    workspace: str
    recipients: tuple[str, ...]
    files: Mapping[str, str] = Field(repr=False)


@dataclass(frozen=True)
class Opened:
    """A kit that was opened, and the fingerprint of the key that signed it.

    A kit in the earlier format has no signature, and an empty `signer`.
    """

    kit: Kit
    signer: str


def check(kit: Kit) -> None:
    """Check that a restore can use the kit.

    Raises a UserError if an essential file is missing, or a file does not have its form.
    """
    missing = [path for path in ESSENTIAL if not kit.files.get(path, "").strip()]
    if missing:
        raise FileError(
            f"there is no /etc/infisical/{missing[0]} on the host, and a kit is useless without "
            "it: run `infisical-iac apply` to its end first",
            code="file.missing_in_kit",
        )
    check_forms(kit.files, where="/etc/infisical")


def pack(kit: Kit, key: Ed25519PrivateKey) -> bytes:
    """Return the kit as bytes, signed by `key`."""
    signed = kit_keys.sign(kit.model_dump(mode="json"), key)
    text = json.dumps(signed, indent=1, ensure_ascii=False)
    return gzip.compress(f"{text}\n".encode(), mtime=0)


def unpack(data: bytes) -> Opened:
    """Return the kit in `data`, with its signature and its files checked.

    Raises a UserError that holds nothing of its content.
    """
    found = _decompress(data)
    version = found["kit"]
    if version == FORMAT:
        content, signer = kit_keys.verify(found)
    elif version == _UNSIGNED:
        content, signer = found, ""
    else:
        raise FileError(
            f"the kit has format {str(version)[:20]!a}, and this version of infisical-iac reads "
            f"{FORMAT}: use the version that made it, revision {_revision(found)}",
            code="file.kit_format",
        )
    try:
        kit = Kit.model_validate(content)
    except ValidationError as error:
        place = ".".join(map(str, error.errors(include_input=False)[0]["loc"]))
        raise FileError(
            f"the kit is not complete, as {ascii(place)[1:-1][:80]} is missing or unusable: use "
            "another copy",
            code="file.incomplete_kit",
        ) from None
    check_forms(kit.files, where="the kit")
    return Opened(kit, signer)


def _decompress(data: bytes) -> dict[str, Any]:
    decompressing = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        text = decompressing.decompress(data, _MOST_BYTES)
        found = json.loads(text) if decompressing.eof else None
        if isinstance(found, dict) and type(found["kit"]) is int:
            return found
    except (zlib.error, ValueError, KeyError, RecursionError):
        pass
    raise FileError("the file is not a recovery kit: give another one", code="file.no_kit")


def _revision(found: Mapping[str, Any]) -> str:
    versions = found.get("versions")
    revision = str(versions.get("revision")) if isinstance(versions, dict) else ""
    return revision if re.fullmatch(r"[A-Za-z0-9+.-]{1,60}", revision) else "unknown"


_BEGIN = "-----BEGIN AGE ENCRYPTED FILE-----"
_END = "-----END AGE ENCRYPTED FILE-----"
_STANZAS = ("X25519", "ssh-ed25519", "ssh-rsa")


def render_sheet(kit: Kit, armor: str, signer: str) -> str:
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


def read_text(file: Path) -> str:
    """Return a file's text. Raises FileError if it can't be read."""
    try:
        return file.read_text()
    except FileNotFoundError:
        raise FileError(f"there is no file {file}: check its path", code="file.missing") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise FileError(
            f"{file} can't be read ({reason}): check its path", code="file.not_readable"
        ) from None


def refuse_existing(file: Path, *, force: bool) -> None:
    """Raise FileError for a file that exists, unless `force`."""
    if file.exists() and not force:
        raise FileError(f"{file} is there already: name another file, or give --force")


def save_sheet(file: Path, text: str, *, force: bool) -> None:
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
            f"the kit was damaged, as its checksum is {_digest(whole)} instead of {noted[1]}: "
            "compare each line from BEGIN to END with another copy",
            code="file.damaged_kit",
        )
    return whole.encode()


def compute_sheet_digest(text: str) -> str:
    """Return the kit's fingerprint, as its sheet shows it."""
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
    signer = kit_keys.compute_fingerprint(key.public_key())
    armor = pyrage.encrypt(packed, [*(each.key for each in to), proof.to_public()], armored=True)
    text = render_sheet(kit, armor.decode(), signer)
    desired = sorted([*(each.stanza for each in to), "X25519"])
    back = pyrage.decrypt(wrap_armor(text), [proof])
    if stanzas(text) != desired or back != packed or unpack(back) != Opened(kit, signer):
        raise FileError(
            "the encrypted kit did not decrypt to the same content, and nothing was written: run "
            "again",
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
                "the kit is not encrypted for the key in the identity file: give the private key "
                "of one of the recipients that the kit's first lines name",
                code="file.other_recipient",
            ) from None
        raise FileError(
            "the kit was damaged: compare each line from BEGIN to END with another copy",
            code="file.damaged_kit",
        ) from None
