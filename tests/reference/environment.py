"""The environment variables of the inventory and of the commands."""

import ast
import re
from pathlib import Path
from typing import NamedTuple

_LINE = re.compile(r"([A-Z_]+) +(\w+) +(.+)")

# Those that the inventory does not read.
VARIABLES = {
    "INFISICAL_IAC_INVENTORY": "Inventory of every command, instead of `inventory/hetzner.py`; "
    "`-i` wins.",
    "INFISICAL_IAC_ACCEPT_HOST_KEY": "Fingerprints of unknown SSH host keys to accept, such as "
    "`SHA256:…`, with blanks or commas in between; `--accept-host-key` wins.",
    "HCLOUD_TOKEN": "API token of Hetzner Cloud that may read and write: for "
    "`infisical-iac server`, and for an inventory that names no host.",
    "HCLOUD_ENDPOINT": "Address of Hetzner Cloud's API, instead of Hetzner's own.",
    "INFISICAL_ADMIN_PASSWORD": "On the first deploy: password for the first administrator, at "
    "least 20 characters; without it one is made on the host. With INFISICAL_API_URL: password of "
    "the person in INFISICAL_ADMIN_EMAIL, needed if the project file names people.",
    "INFISICAL_BACKUP_<NAME>_ACCESS_KEY_ID": "Login of the S3 backup target NAME, for one run of "
    "`apply`, which stores it on the host; in NAME, write `_` for `-`.",
    "INFISICAL_BACKUP_<NAME>_SECRET_ACCESS_KEY": "The same.",
    "INFISICAL_BACKUP_<NAME>_REST_USERNAME": "The same for a rest-server.",
    "INFISICAL_BACKUP_<NAME>_REST_PASSWORD": "The same for a rest-server.",
    "INFISICAL_API_URL": "Address of an Infisical for `workspace`, `credentials`, `migrate` and "
    "`check`, instead of the inventory's host.",
    "INFISICAL_CLIENT_ID": "With INFISICAL_API_URL: credentials of a machine identity; "
    "`workspace` needs an admin of the organization.",
    "INFISICAL_CLIENT_SECRET": "The same.",
    "INFISICAL_MACHINE_IDENTITY_ID": "Instead of these two: the id of an identity that logs in by "
    "a token of the platform, which is in GitHub's own variables or in one of the next two.",
    "INFISICAL_JWT_FILE": "File with that token.",
    "INFISICAL_JWT": "The token itself.",
    "INFISICAL_JWT_AUDIENCE": "Audience to ask GitHub for; `infisical` by default.",
    "INFISICAL_ADMIN_EMAIL": "With INFISICAL_API_URL: the person who gets to see the project.",
    "INFISICAL_ALLOW_HTTP": "`1` allows an INFISICAL_API_URL without TLS, in a network that you "
    "trust as a whole.",
    "INFISICAL_IAC_WEBHOOK": "Address that `drift` posts to; `--webhook-file` wins.",
    "DOKPLOY_API_KEY": "API key of Dokploy, for delivering credentials to it.",
}

# Secrets that the user gives to Infisical, by the names of its own variables.
GIVEN = {
    "SMTP_PASSWORD": "Password of the mail server in `smtp`, for the run that stores it on the "
    "host, and for `keys rotate smtp`.",
    "CLIENT_SECRET_GOOGLE_LOGIN": "Client secret of a provider in `login`, in the same way; also "
    "CLIENT_SECRET_GITHUB_LOGIN and CLIENT_SECRET_GITLAB_LOGIN.",
    "LICENSE_KEY": 'Key of a license with `license_key = "online"`, in the same way; '
    'LICENSE_KEY_OFFLINE with `"offline"`.',
    "OUTBOUND_PROXY_PASSWORD": "Password of the user in `outbound_proxy`, in the same way; for "
    "`keys rotate proxy`.",
    "ALERT_<TARGET>": "Address of the webhook of a target in `alerts` that has no `to`, in the "
    "same way; ALERT_TEAM for the target `team`.",
    "HEARTBEAT_URL": 'Address for `heartbeat_url = "given"`, in the same way.',
    "<VARIABLE>": "Value of a variable in `infisical_secrets`, in the same way.",
    "<VARIABLE>_FILE": "File with such a value, or with one of those above; the variable itself "
    "wins.",
}


class InventoryVariable(NamedTuple):
    """A variable of the inventory, and the key of `group_data/hetzner.py` that it wins over."""

    name: str
    key: str
    meaning: str


def read_inventory() -> list[InventoryVariable]:
    """Return the variables that the docstring of the production inventory lists."""
    tree = ast.parse(Path("inventory/hetzner.py").read_text())
    # A line that is indented continues the one before.
    lines = re.sub(r"\n +", " ", ast.get_docstring(tree) or "").splitlines()
    return [InventoryVariable(*match.groups()) for match in map(_LINE.fullmatch, lines) if match]
