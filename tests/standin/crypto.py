"""Encryption at rest: a root key wrapped by ENCRYPTION_KEY encrypts every value."""

from __future__ import annotations

import hashlib
import secrets
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING

import bcrypt
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

if TYPE_CHECKING:
    from .store import Store

# The lowest cost of bcrypt: with Infisical's 10 and 12, tests would mostly wait for hashes.
BCRYPT_COST = 4
KEY_BYTES = 32
NONCE_BYTES = 12
ROOT_KEY_ID = "00000000-0000-0000-0000-000000000000"


class WrongKey(Exception):
    """ENCRYPTION_KEY does not decrypt this database; the text is that of the real server."""


class Cipher:
    """Encrypt texts with AES-256-GCM; each ciphertext begins with its nonce."""

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)

    def encrypt(self, text: str) -> str:
        return b64encode(self._seal(text.encode())).decode()

    def decrypt(self, sealed: str) -> str:
        """Return the text; raise WrongKey if it was encrypted with another key."""
        return self._open(b64decode(sealed)).decode()

    def _seal(self, plain: bytes) -> bytes:
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, plain, None)

    def _open(self, sealed: bytes) -> bytes:
        try:
            return self._aead.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], None)
        except InvalidTag:
            raise WrongKey("Unsupported state or unable to authenticate data") from None


def open_root_key(store: Store, encryption_key: str) -> Cipher:
    """Return the cipher of this database; make its root key on the first start.

    Raises WrongKey if the database was made with another key. Like the measured server, it checks
    the length of the key only then.
    """
    key = encryption_key.encode()
    existing = store.get("kms_root_config", ROOT_KEY_ID)
    if existing is None:
        usable = key if len(key) == KEY_BYTES else hashlib.sha256(key).digest()
        root_key = secrets.token_hex(KEY_BYTES)
        wrapped = Cipher(usable).encrypt(root_key)
        store.insert("kms_root_config", {"encryptedRootKey": wrapped}, ROOT_KEY_ID)
        return Cipher(bytes.fromhex(root_key))
    if len(key) != KEY_BYTES:
        raise WrongKey("Invalid key length")
    return Cipher(bytes.fromhex(Cipher(key).decrypt(existing["encryptedRootKey"])))


def hash_secret(secret: str) -> str:
    """Hash a password or client secret with bcrypt (which reads 72 bytes at most)."""
    return bcrypt.hashpw(secret.encode()[:72], bcrypt.gensalt(BCRYPT_COST)).decode()


def secret_matches(secret: str, hashed: str) -> bool:
    return bcrypt.checkpw(secret.encode()[:72], hashed.encode())
