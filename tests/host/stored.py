"""Read the secrets in the files of the host."""

from base64 import b64decode

from tests.host.connection import Connection
from tests.host.secrecy import Secret

ROOT = "/etc/infisical"
# The keys that the containers start with, and the forms that their programs accept.
STACK_KEYS = {
    "encryption_key": "[A-Za-z0-9+/=._-]{32}",
    "auth_secret": "[A-Za-z0-9+/=._-]{16,}",
    "postgres_password": "[A-Za-z0-9._-]{16,}",
    "redis_password": "[A-Za-z0-9._-]{16,}",
}
# The two further keys encrypt the repositories of backups, and sign recovery kits.
KEYS = {
    **STACK_KEYS,
    "restic_password": "[A-Za-z0-9._-]{16,}",
    "kit_signing_key": "[0-9a-f]{64}",
}
# The key of a host whose Caddy is behind another proxy; its containers start with it too.
EDGE_KEY = "edge_secret"
# The prefix in the names of secrets that the user gave.
GIVEN = "keys: given_"
# The keys that only the nodes of a cluster have.
CLUSTER_KEYS = (
    *("replication_password", "patroni_password", "swarm_unlock_key", "cluster_ca_key"),
)

_READ = """
cd %s || exit 1
for key in keys/*; do printf 'keys\\t%%s\\t%%s\\n' "${key#keys/}" "$(base64 -w 0 "$key")"; done
for file in admin.env deployer.env credentials/*.env; do
    sed -n "s|^\\([A-Z_]*\\)=\\(.*\\)|$file\\t\\1\\t\\2|p" "$file"
done
"""
_PUBLIC = {"INFISICAL_ADMIN_EMAIL", "INFISICAL_ENVIRONMENT", "NODE_ENV"}
_SHORTEST = 8


def read_secrets(connection: Connection) -> dict[str, Secret]:
    """Return all secrets by file and name, such as `keys: auth_secret`.

    Client ids are included for logins, although they are not secret.
    """
    lines = connection.quietly(_READ % ROOT).splitlines()
    found = (line.split("\t", 2) for line in lines)
    return {
        f"{file}: {name}": Secret(_decode(value) if file == "keys" else value)
        for file, name, value in found
        if name not in _PUBLIC
    }


def _decode(key: str) -> str:
    # A secret that the user gave may have several lines.
    return b64decode(key).decode().rstrip("\n")


def confidential(secrets: dict[str, Secret]) -> list[Secret]:
    """Return the values that must be secret: all except client ids, each once.

    Very short ones, which only a user gives, are left out, because they may occur anywhere.
    """
    values = {
        secret.reveal(): secret
        for name, secret in secrets.items()
        if not name.endswith("CLIENT_ID") and len(secret) >= _SHORTEST
    }
    return list(values.values())
