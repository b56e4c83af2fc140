"""Recognize encrypted `.env` files by their bytes: no grammar can read them."""

import re

ENCRYPTED = "encrypted-file"
"""The kind of the note on an encrypted file."""

_LONGEST_HEAD = 4096
# The beginning of a file, or a line of it, as each program writes it.
_SIGNS: tuple[tuple[str, re.Pattern[bytes]], ...] = (
    ("age", re.compile(rb"age-encryption\.org/|-----BEGIN AGE ENCRYPTED FILE-----")),
    ("PGP", re.compile(rb"-----BEGIN PGP MESSAGE-----")),
    ("git-crypt", re.compile(rb"\0GITCRYPT\0")),
    ("Ansible Vault", re.compile(rb"\$ANSIBLE_VAULT;")),
    ("OpenSSL", re.compile(rb"Salted__|U2FsdGVkX1")),
    ("Laravel", re.compile(rb"eyJpdiI6")),
    ("SOPS", re.compile(rb"(?:.*\n)*?[^#\n=]*=[\"']?ENC\[AES256_GCM,")),
    ("dotenv-vault", re.compile(rb"(?:.*\n)*?DOTENV_VAULT(?:_[A-Z0-9]+)?=")),
    ("dotenvx", re.compile(rb"(?:.*\n)*?(?:export +)?\w+=[\"']?encrypted:[A-Za-z0-9+/]")),
)
_ENDINGS = (".age", ".gpg", ".pgp", ".asc", ".enc", ".encrypted", ".sops", ".vault")


def find_encryption(name: str, data: bytes) -> str:
    """Return the program that encrypted a file, or "" if it is not an encrypted file.

    The bytes decide, because a plain file may have such a name; a name such as `.env.gpg` decides
    only for bytes that are not text.
    """
    head = data[:_LONGEST_HEAD]
    for program, sign in _SIGNS:
        if sign.match(head):
            return program
    return "an unknown program" if is_encrypted_copy(name) and _is_binary(data) else ""


def is_encrypted_copy(name: str) -> bool:
    """Return whether the name is that of an encrypted copy, which no loader reads: `.env.age`."""
    return name.lower().endswith(_ENDINGS)


def _is_binary(data: bytes) -> bool:
    try:
        return "\0" in data.decode()
    except UnicodeDecodeError:
        return True
