"""Universal auth, the login of machine identities, and its client secrets."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from infisical_iac.api.client import Client

# How many characters of a client secret's value the server lists.
PREFIX = 4
ANY_ADDRESS = ("0.0.0.0/0", "::/0")
# All fields of a universal auth that can be set, with the values that this project desires.
_FIELDS: Mapping[str, Any] = {
    "accessTokenTTL": 0,
    "accessTokenMaxTTL": 0,
    # A token has no limit of uses, and no period within which it must be renewed.
    "accessTokenNumUsesLimit": 0,
    "accessTokenPeriod": 0,
    # A service that restarts with an old client secret would lock out all its instances, and so
    # could anybody who knows the client id. Nobody guesses 64 hexadecimal digits, and the ingress
    # limits the rate of tries.
    "lockoutEnabled": False,
    # The server's own defaults.
    "lockoutThreshold": 3,
    "lockoutDurationSeconds": 300,
    "lockoutCounterResetSeconds": 30,
    # Anything narrower takes a license of Infisical.
    "clientSecretTrustedIps": ANY_ADDRESS,
    "accessTokenTrustedIps": ANY_ADDRESS,
}


def auth_fields(ttl: int, max_ttl: int) -> dict[str, Any]:
    """Return all desired fields of the universal auth of an identity of this project."""
    return {**_FIELDS, "accessTokenTTL": ttl, "accessTokenMaxTTL": max_ttl}


def auth_body(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields of a universal auth as the server takes them."""
    return {
        key: [{"ipAddress": each} for each in value] if isinstance(value, tuple) else value
        for key, value in fields.items()
    }


@dataclass(frozen=True)
class UniversalAuth:
    """The universal auth of an identity; `fields` are all that can be set, times in seconds."""

    client_id: str
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class ClientSecret:
    """A client secret as the server lists it, without its value.

    Attributes:
        changed: when the server last wrote to it, which it does at each login.
        uses: how many logins there were, of `uses_limit` if that is not 0.
        ttl: how many seconds it lives; 0 for ever.
        prefix: the first characters of its value.
    """

    id: str
    description: str
    created: datetime
    changed: datetime
    uses: int = 0
    uses_limit: int = 0
    ttl: int = 0
    prefix: str = ""

    @property
    def last_login(self) -> datetime | None:
        """Return the time of the last login with the client secret; None if there was none."""
        return self.changed if self.uses else None

    @property
    def ends(self) -> datetime | None:
        """Return when the client secret expires; None if it never does."""
        return self.created + timedelta(seconds=self.ttl) if self.ttl else None

    def works(self, now: datetime) -> bool:
        """Return whether the client secret works at a moment, with no limit on its logins."""
        return self.uses_limit == 0 and (self.ends is None or now < self.ends)


@dataclass(frozen=True)
class NewSecret:
    """A client secret just created; the server never shows its value again."""

    listed: ClientSecret
    value: str = field(repr=False)

    @property
    def id(self) -> str:
        return self.listed.id


def universal_auth_path(id: str) -> str:
    """Return the path at which the universal auth of an identity is created, read and changed."""
    return f"/api/v1/auth/universal-auth/identities/{id}"


def universal_auth(
    client: Client, id: str, absent: Collection[int] = (404,)
) -> UniversalAuth | None:
    """Return the universal auth of an identity, None if the status is in `absent`."""
    found = client.find(universal_auth_path(id), absent=absent)
    return _auth(found) if found else None


def attach_universal_auth(client: Client, id: str, ttl: int, max_ttl: int) -> UniversalAuth:
    """Give an identity universal auth, which it must not have yet."""
    body = auth_body(auth_fields(ttl, max_ttl))
    return _auth(client.post(universal_auth_path(id), json=body))


def patch_universal_auth(client: Client, id: str, ttl: int, max_ttl: int) -> UniversalAuth:
    """Set all fields of the universal auth of an identity to the desired ones."""
    body = auth_body(auth_fields(ttl, max_ttl))
    return _auth(client.patch(universal_auth_path(id), json=body))


def _auth(answer: dict[str, Any]) -> UniversalAuth:
    auth = answer["identityUniversalAuth"]
    # A release that doesn't know a field leaves it out.
    fields = {key: read_field(auth[key]) for key in _FIELDS if key in auth}
    return UniversalAuth(auth["clientId"], fields)


def read_field(value: Any) -> Any:
    """Return a field of a login method in the form that is compared: address ranges as strings."""
    return tuple(sorted(map(_range, value))) if isinstance(value, list) else value


def _range(trusted: Mapping[str, Any]) -> str:
    prefix = trusted.get("prefix")
    return str(trusted["ipAddress"]) + ("" if prefix is None else f"/{prefix}")


def client_secrets(client: Client, id: str) -> list[ClientSecret]:
    """Return the client secrets of an identity with universal auth, without revoked ones."""
    answer = client.get(f"{universal_auth_path(id)}/client-secrets")
    return [
        _client_secret(each)
        for each in answer["clientSecretData"]
        if not each["isClientSecretRevoked"]
    ]


def _client_secret(data: dict[str, Any]) -> ClientSecret:
    return ClientSecret(
        data["id"],
        data["description"],
        datetime.fromisoformat(data["createdAt"]),
        datetime.fromisoformat(data["updatedAt"]),
        data["clientSecretNumUses"],
        data["clientSecretNumUsesLimit"],
        data["clientSecretTTL"],
        data.get("clientSecretPrefix", ""),
    )


def create_client_secret(client: Client, id: str, description: str, *, ttl: int = 0) -> NewSecret:
    """Make a client secret that is never used up, and lives for `ttl` seconds; 0 for ever."""
    answer = client.post(
        f"{universal_auth_path(id)}/client-secrets",
        json={"description": description, "ttl": ttl, "numUsesLimit": 0},
    )
    return NewSecret(_client_secret(answer["clientSecretData"]), answer["clientSecret"])


def revoke_client_secret(client: Client, id: str, secret_id: str) -> None:
    """Revoke a client secret, and with it the tokens that were issued for it."""
    client.post(f"{universal_auth_path(id)}/client-secrets/{secret_id}/revoke", json={})
