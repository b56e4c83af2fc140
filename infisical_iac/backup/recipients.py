"""Parse keys of age and SSH: public keys to encrypt for, and private keys to decrypt with."""

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass

import pyrage

from infisical_iac.backup.signing import fingerprint_of
from infisical_iac.core.errors import FileError

_PRIVATE = re.compile(
    r"AGE-SECRET-KEY-1[A-Z0-9]+"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----",
    re.DOTALL,
)

Public = pyrage.x25519.Recipient | pyrage.ssh.Recipient
Identity = pyrage.x25519.Identity | pyrage.ssh.Identity


@dataclass(frozen=True)
class Recipient:
    """A public key.

    Attributes:
        name: an age key itself, or the type and fingerprint of an SSH key (`ssh-keygen -l`).
        stanza: the first word of the recipient's line in the encrypted header.
    """

    name: str
    stanza: str
    key: Public


def parse(text: str) -> Recipient:
    """Return the key in a line such as `age1…` or `ssh-ed25519 AAAA… comment`.

    Raises FileError, which quotes only a line that begins like a public key.
    """
    words = text.split()
    kind = words[0] if words else ""
    try:
        if kind.startswith("age1") and len(words) == 1:
            return Recipient(kind, "X25519", pyrage.x25519.Recipient.from_str(kind))
        if kind in ("ssh-ed25519", "ssh-rsa") and len(words) > 1:
            return Recipient(
                f"{kind} {fingerprint_of(base64.b64decode(words[1], validate=True))}",
                kind,
                pyrage.ssh.Recipient.from_str(" ".join(words[:2])),
            )
    except (pyrage.RecipientError, binascii.Error):
        raise FileError(
            f"{words[0][:16]}… is not a complete public key: copy the whole line",
            code="file.incomplete_key",
        ) from None
    if text.startswith("-----BEGIN PGP"):
        raise FileError(
            "age can't use a key of GPG: give a public key of SSH, such as ~/.ssh/id_ed25519.pub, "
            "or one that `age-keygen` makes",
            code="file.no_public_key",
        )
    raise FileError(
        "a recipient is not a public key: give a whole line that begins with age1, ssh-ed25519 or "
        "ssh-rsa, such as the one in ~/.ssh/id_ed25519.pub or the one that `age-keygen -y` prints",
        code="file.no_public_key",
    )


def parse_lines(lines: Iterable[str]) -> list[Recipient]:
    """Return the keys in lines, without empty lines and comments."""
    return [parse(text) for line in lines if (text := line.strip()) and not text.startswith("#")]


def identities(text: str) -> list[Identity]:
    """Return the private keys in a file's text, as `age-keygen` or `ssh-keygen` writes it.

    Raises FileError if there is none, or one that can't be used. The error quotes no key.
    """
    found = [_identity(match.group()) for match in _PRIVATE.finditer(text)]
    if not found:
        raise FileError(
            "the identity file holds no private key: give the one that age-keygen or ssh-keygen "
            "wrote",
            code="file.no_private_key",
        )
    return found


def _identity(text: str) -> Identity:
    try:
        if text.startswith("AGE"):
            return pyrage.x25519.Identity.from_str(text)
        return pyrage.ssh.Identity.from_buffer(f"{text}\n".encode())
    except pyrage.IdentityError as error:
        if "decrypted" in str(error):
            raise FileError(
                "the identity file has a passphrase: copy it to a directory in memory, such as "
                "/dev/shm, take the passphrase off there by `ssh-keygen -p -f <copy>`, and remove "
                "the copy afterwards",
                code="file.passphrase",
            ) from None
        raise FileError(
            "the identity file has a private key that age can't use: give one of age, ssh-ed25519 "
            "or ssh-rsa",
            code="file.unsupported_key",
        ) from None
