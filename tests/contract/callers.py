"""Find the token and the client secret of every recorded request.

The recording has no tokens; its labels name the caller. A token is named by the label of the
exchange that issued it.
"""

from __future__ import annotations

ADMIN = "select organization"
DEPLOYER = "universal auth login"
SERVICE = "universal auth login: service"
OUTSIDER = "universal auth login: outsider"
NO_ACCESS = "universal auth login: no-access-member"

_PUBLIC = (
    "status",
    "admin config, ",
    "bootstrap: ",
    "password login",
    "no token",
    "universal auth login",
    "token renew",
    "token revoke",
)
_BY_ADMIN = (
    "organizations of the user",
    "identity create: deployer",
    "identity create: same name again",
    "admin config patch by the admin user",
    "env overrides",
    # The labels of exchanges about the instance, and about people.
    "instance, ",
    "invite signup link by user",
    "user additional privilege create, by the admin user",
    "user additional privilege list, by the admin user",
)
_BY_OTHERS = {
    "bootstrap token used": "bootstrap",
    "select organization": "password login",
    "outsider reads": OUTSIDER,
    "member with role no-access reads": NO_ACCESS,
    "service with privilege": SERVICE,
    "revoked token used": SERVICE,
}
_EXACTLY_BY_ADMIN = {
    "universal auth attach",
    "universal auth attach: second time",
    "client secret create",
    "user additional privilege create",
}
CLIENT_SECRETS = {
    DEPLOYER: "client secret create",
    OUTSIDER: "client secret create: outsider",
    NO_ACCESS: "client secret create: no-access-member",
    "universal auth login with a revoked secret": "client secret create, second",
}


def caller_of(label: str) -> str | None:
    """Return the label of the exchange whose token is sent, or None for no token."""
    if label == "bootstrap" or label.startswith(_PUBLIC):
        return None
    if label in _EXACTLY_BY_ADMIN or label.startswith(_BY_ADMIN):
        return ADMIN
    for beginning, giver in _BY_OTHERS.items():
        if label.startswith(beginning):
            return giver
    return DEPLOYER


def client_secret_of(label: str) -> str:
    """Return the label of the exchange that made the client secret which is sent."""
    return CLIENT_SECRETS.get(label, "client secret create with ttl")
