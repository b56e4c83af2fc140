"""Kits for tests, with obviously fake secrets."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from infisical_iac.backup import kit_keys
from infisical_iac.backup.kit import Kit, Versions

_KEY = "0123456789abcdef" * 4
_ID = "00000000-0000-0000-0000-000000000001"
FILES = {
    "keys/encryption_key": "fake-encryption-key-of-32-chars-",
    "keys/restic_password": "fake-restic-password",
    "keys/kit_signing_key": _KEY,
    "admin.env": "INFISICAL_ADMIN_EMAIL=admin@example.com\nINFISICAL_ADMIN_PASSWORD=fake-login\n",
    "deployer.env": "INFISICAL_CLIENT_ID=1\nINFISICAL_CLIENT_SECRET=fake-client-secret\n",
    "credentials/backend.production.env": (
        f"# client secret {_ID} sha256 0123456789abcdef\nINFISICAL_CLIENT_ID={_ID}\n"
        "INFISICAL_CLIENT_SECRET=fake-service-secret\nNODE_ENV=production\n"
    ),
}
KEY = kit_keys.parse_signing_key(_KEY)
SIGNER = kit_keys.compute_fingerprint(KEY.public_key())
# The key of a forger, who can replace a kit and knows its recipients.
FORGER = Ed25519PrivateKey.from_private_bytes(b"obviously fake, and of a forger.")


def kit(files: dict[str, str] | None = None, recipients: tuple[str, ...] = ("age1fake",)) -> Kit:
    """Return a kit of `files`, by default of FILES."""
    return Kit(
        at="2026-11-25T14:00:00Z",
        by="ada@laptop",
        host="secrets",
        site_url="https://secrets.example.com",
        versions=Versions(
            infisical="infisical/infisical:v0.165.16",
            postgres="postgres:17.11",
            redis="redis:8.2.3",
            migrations=473,
            revision="abc123",
        ),
        backup_targets=({"name": "local", "repository": "/var/backups/infisical"},),
        workspace="0" * 64,
        recipients=recipients,
        files=FILES if files is None else files,
    )
