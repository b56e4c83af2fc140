"""A certificate authority for the servers that tests start.

    python -m tests.certificates DIRECTORY mail.example.com github.com

makes an authority in the directory, or uses the existing one, and makes a certificate with the
given names: `ca.pem`, `mail.example.com.pem` and `mail.example.com.key`.
"""

from __future__ import annotations

import ipaddress
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_VALID_FOR = timedelta(days=30)


@dataclass(frozen=True)
class KeyPair:
    """The PEM files of a certificate and its key."""

    certificate: Path
    key: Path


class OwnAuthority:
    """A certificate authority in a directory; `ca` is the file to trust.

    Without a key usage, it is like an authority of `openssl req -x509`.
    """

    def __init__(self, directory: Path, *, has_key_usage: bool = True) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory, self.ca = directory, directory / "ca.pem"
        key_file = directory / "ca.key"
        if self.ca.exists():
            key = serialization.load_pem_private_key(key_file.read_bytes(), None)
            assert isinstance(key, ec.EllipticCurvePrivateKey)
            self._key = key
            self._root = x509.load_pem_x509_certificate(self.ca.read_bytes())
            return
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = _name("Obviously fake authority")
        signs = (False, False, False, False, False, True, True, False, False)
        root = (
            _builder(name, name, self._key)
            .add_extension(x509.BasicConstraints(True, 0 if has_key_usage else None), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False
            )
        )
        if has_key_usage:
            root = root.add_extension(x509.KeyUsage(*signs), critical=True)
        self._root = root.sign(self._key, hashes.SHA256())
        _write_key(key_file, self._key)
        self.ca.write_bytes(self._root.public_bytes(serialization.Encoding.PEM))

    def issue(self, *names: str) -> KeyPair:
        """Return a certificate for names and addresses, in files with the first one's name."""
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        certificate = (
            _builder(_name(names[0]), self._root.subject, key)
            .add_extension(x509.SubjectAlternativeName([_general(each) for each in names]), False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
            .add_extension(issuer, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        pair = KeyPair(self._directory / f"{names[0]}.pem", self._directory / f"{names[0]}.key")
        _write_key(pair.key, key)
        pair.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return pair


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + _VALID_FOR)
    )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _write_key(file: Path, key: ec.EllipticCurvePrivateKey) -> None:
    file.touch(0o600)
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


if __name__ == "__main__":
    OwnAuthority(Path(sys.argv[1])).issue(*sys.argv[2:])
