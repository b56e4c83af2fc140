"""Parse the keys that kits are encrypted for, of age and SSH; sign kits, and verify signatures.

The deployment signs with the 32 bytes of an Ed25519 private key, in hexadecimal, in
keys/kit_signing_key. Its fingerprint is the one that `ssh-keygen -l` prints for the public key.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import pyrage
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

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


def parse_recipient(text: str) -> Recipient:
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
    return [
        parse_recipient(text)
        for line in lines
        if (text := line.strip()) and not text.startswith("#")
    ]


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


SIGNING_KEY = "keys/kit_signing_key"
FINGERPRINT = r"SHA256:[A-Za-z0-9+/]{43}"
# Makes sure that a signature for another purpose is not accepted for a kit.
_PURPOSE = b"infisical-iac recovery kit 2\n"
# The bytes before an Ed25519 key in the public keys of SSH.
_BLOB = b"\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20"


def parse_signing_key(text: str) -> Ed25519PrivateKey:
    """Return the private key in the text of its file. Raises FileError for any other text."""
    if not re.fullmatch(r"[0-9a-f]{64}\n?", text):
        raise FileError(
            f"/etc/infisical/{SIGNING_KEY} on the host holds no key: restore it from the recovery "
            "kit, or remove it and let `infisical-iac apply` make another"
        )
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(text.strip()))


def compute_fingerprint(key: Ed25519PublicKey) -> str:
    """Return the fingerprint of a public key, such as `SHA256:…`."""
    return fingerprint_of(_BLOB + key.public_bytes_raw())


def fingerprint_of(blob: bytes) -> str:
    """Return the fingerprint of an SSH public key, whose decoded second word is `blob`."""
    return f"SHA256:{_text(sha256(blob).digest()).rstrip('=')}"


def sign(content: Mapping[str, Any], key: Ed25519PrivateKey) -> dict[str, Any]:
    """Return the content with a signature, and the public key that verifies it."""
    return {
        **content,
        "signed_by": _text(key.public_key().public_bytes_raw()),
        "signature": _text(key.sign(_message(content))),
    }


def verify(found: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Return the signed content, and the fingerprint of the key that signed it.

    Raises FileError if the signature is missing or is not of this content.
    """
    content = {**found}
    try:
        key = Ed25519PublicKey.from_public_bytes(_bytes(content.pop("signed_by")))
        key.verify(_bytes(content.pop("signature")), _message(content))
    except (KeyError, TypeError, ValueError, InvalidSignature):
        raise FileError(
            "the kit's signature is missing or does not match its content: somebody has altered "
            "it; use another copy",
            code="file.altered_kit",
        ) from None
    return content, compute_fingerprint(key)


def _message(content: Mapping[str, Any]) -> bytes:
    return _PURPOSE + json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("no base64") from None


SETTING = "recovery_fingerprint"
_NOTED = (
    "its fingerprint was printed when the kit was made, and is on each kit that was made since; "
    "don't take it from the kit that you were given"
)


@dataclass(frozen=True)
class KnownFingerprints:
    """The known fingerprints of the deployment's signing key; each may be empty.

    Attributes:
        given: from the option `--fingerprint`.
        setting: from the setting `recovery_fingerprint`.
        own: of the host's own key.
        unsigned: whether a kit without a signature, of the earlier format, may be used.
    """

    given: str = ""
    setting: str = ""
    own: str = ""
    unsigned: bool = False


def check_signer(signer: str, known: KnownFingerprints) -> bool:
    """Raise FileError if `signer`, which may be empty, is not the deployment's key.

    Returns whether the operator has to be asked, since no fingerprint is known.
    """
    if not signer:
        _check_unsigned(known)
        return False
    for expected, whose in (
        (known.given, "--fingerprint is"),
        (known.setting, f"setting {SETTING!r} is"),
        (known.own, "the host's own key is"),
    ):
        if expected and expected != signer:
            raise FileError(
                f"the kit is signed by {signer}, and {whose} {expected}: somebody else may have "
                "made it, and nothing of it was used; if this deployment made it with another "
                "signing key, give that key's fingerprint with --fingerprint"
            )
        if expected:
            return False
    return True


def _check_unsigned(known: KnownFingerprints) -> None:
    if not known.unsigned:
        raise FileError(
            "the kit has no signature, because an earlier version made it, so nobody can verify "
            "who made it: make a new kit if the host still runs; if not, and nobody else had "
            "access to this one, use it with --accept-unsigned-kit"
        )
    if known.given:
        raise FileError(
            "the kit has no signature, so no fingerprint can be compared: leave out --fingerprint"
        )


def refuse_another(signer: str, *, setting: str) -> None:
    """Raise FileError if a restore with this setting would refuse a kit signed by `signer`."""
    if setting and setting != signer:
        raise FileError(
            f"the host signs kits by {signer}, and setting {SETTING!r} is {setting}: if you "
            "replaced the host's key on purpose, set the host's fingerprint there"
        )


def trust_question(signer: str) -> str:
    """Return the question whether to trust a key where no fingerprint is known."""
    return (
        f"The kit is signed by {signer}.\nCompare it: {_NOTED}.\n"
        "Is it the fingerprint of this deployment?"
    )


def refuse_unasked(signer: str) -> FileError:
    """Return the error for a kit signed by an unknown key when nobody can be asked."""
    return FileError(
        f"the kit is signed by {signer}, and nothing shows that this is the deployment's key: "
        f"give the fingerprint that was noted with --fingerprint, or as the setting {SETTING!r}; "
        f"{_NOTED}"
    )


def row_text(signer: str, setting: str) -> tuple[str, bool]:
    """Return a clause on the key that signed the last kit, and whether it is the expected one."""
    if not signer:
        return "", True
    if setting and setting != signer:
        return f", signed by {signer}, but setting {SETTING!r} is {setting}", False
    return f", signed by {signer}", True
