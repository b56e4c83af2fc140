"""Kits as tests make them, of obviously fake secrets."""

from infisical_iac.recovery.kit import Kit, Versions

FILES = {
    "keys/encryption_key": "fake-encryption-key-of-32-chars-",
    "keys/restic_password": "fake-restic-password",
    "admin.env": "INFISICAL_ADMIN_EMAIL=admin@example.com\nINFISICAL_ADMIN_PASSWORD=fake-login\n",
    "deployer.env": "INFISICAL_CLIENT_ID=1\nINFISICAL_CLIENT_SECRET=fake-client-secret\n",
    "credentials/backend.production.env": "INFISICAL_CLIENT_SECRET=fake-service-secret\n",
}


def kit(files: dict[str, str] | None = None, recipients: tuple[str, ...] = ("age1fake",)) -> Kit:
    """A kit of `files`, which are FILES unless others are given."""
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
