"""Machine identities, their login by universal auth, and its client secrets.

Names of identities are not unique, and anybody may create an identity. An identity belongs to this
project if the host remembers its id or its metadata say so; no other is ever changed.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from infisical_iac.agent.api import ApiClient, all_of, gather
from infisical_iac.agent.login import Organization

MARKER = {"key": "managed-by", "value": "infisical-iac"}
DEPLOYER = "infisical-iac-deployer"
DEPLOYER_SECRET = "infisical-iac: deployer"
_MARK = (MARKER["key"], MARKER["value"])
_organizations: WeakKeyDictionary[ApiClient, Organization] = WeakKeyDictionary()


@dataclass(frozen=True)
class Identity:
    """A machine identity of this project's own.

    Attributes:
        role: its role in the organization.
        auth_methods: the ways in which it can log in, such as `universal-auth`.
        metadata: keys and values; people may have added some.
        is_delete_protected: whether the server refuses to delete it.
    """

    id: str
    name: str
    role: str
    auth_methods: tuple[str, ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()
    is_delete_protected: bool = False

    @property
    def has_universal_auth(self) -> bool:
        """Return whether the identity can log in with a client secret."""
        return "universal-auth" in self.auth_methods

    @property
    def is_marked(self) -> bool:
        """Return whether the metadata say that the identity is this project's own."""
        return _MARK in self.metadata


def organization(client: ApiClient) -> Organization:
    """Return the organization of the machine identity whose token the client has.

    An identity never changes its organization, so each client is asked once.
    """
    if client not in _organizations:
        details = client.get("/api/v1/identities/details")["identityDetails"]
        found = details["organization"]
        _organizations[client] = Organization(str(found["id"]), str(found["name"]))
    return _organizations[client]


def organization_id(client: ApiClient) -> str:
    """Return the id of the organization of the client's machine identity."""
    return organization(client).id


def find(client: ApiClient, organization: str, name: str) -> Identity | None:
    """Return this project's own identity of a name; the oldest if there are several."""
    return find_all(client, organization, {name: ""}).get(name)


def find_all(
    client: ApiClient,
    organization: str,
    names: Mapping[str, str],
    known: Mapping[str, str] | None = None,
    listed: Sequence[Mapping[str, Any]] | None = None,
) -> dict[str, Identity]:
    """Return this project's own identities among `names`, by the name that each should have.

    Args:
        names: each with the former name of the identity, which is searched for if no identity has
            the new name; empty without a former name.
        known: the ids by name after the last run; such an identity is found by its id, whatever its
            name and metadata are now.
        listed: the result of `everybody`; None asks the server.
    """
    listed = everybody(client, organization) if listed is None else listed
    there = {each["id"] for each in listed}
    by_id = {id: name for name in names for id in _known_ids(name, names[name], known or {}, there)}
    missing = set(names) - set(by_id.values())
    before = {names[name]: name for name in missing if names[name]}
    candidates = [each["id"] for each in listed if each["name"] in {*missing, *before}]
    ids = [*by_id, *(id for id in candidates if id not in by_id)]
    read = sorted(_read_all(client, ids), key=_age, reverse=True)
    found = {each["identity"]["id"]: _identity(each) for each in read}
    marked = [each for id, each in found.items() if id not in by_id and each.is_marked]
    return {
        **{before[each.name]: each for each in marked if each.name in before},
        **{each.name: each for each in marked if each.name in missing},
        **{name: found[id] for id, name in by_id.items() if id in found},
    }


def _known_ids(
    name: str, former: str, known: Mapping[str, str], there: Collection[str]
) -> list[str]:
    """Return the known id of a name, or else of its former name, if that identity still exists."""
    return [id for each in (name, former) if (id := known.get(each, "")) in there][:1]


def everybody(client: ApiClient, organization: str) -> list[dict[str, Any]]:
    """Return all identities of an organization, as the server lists them."""
    return [each["identity"] for each in in_organization(client, organization)]


def in_organization(client: ApiClient, organization: str) -> list[dict[str, Any]]:
    """Return the memberships of an organization's identities, as the server lists them."""
    return all_of(client, "/api/v1/identities", "identities", {"orgId": organization})


def _age(read: dict[str, Any]) -> tuple[str, str]:
    return read["createdAt"], read["identity"]["id"]


def memberships(client: ApiClient, project: str) -> list[dict[str, Any]]:
    """Return the identities in a project of Infisical, as the server lists them."""
    path = f"/api/v1/projects/{project}/memberships/identities"
    return all_of(client, path, "identityMemberships")


def roles_of(membership: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the roles of a membership in the server's answer, sorted, temporary ones marked."""
    return tuple(
        sorted(
            (each.get("customRoleSlug") or each["role"])
            + (" for a time" if each.get("isTemporary") else "")
            for each in membership["roles"]
        )
    )


def read_all(client: ApiClient, ids: Iterable[str]) -> list[Identity]:
    """Return identities, without those that were deleted since they were listed."""
    return [_identity(each) for each in _read_all(client, ids)]


def _read_all(client: ApiClient, ids: Iterable[str]) -> list[dict[str, Any]]:
    return [each for each in gather(partial(_read, client, id) for id in ids) if each]


def _read(client: ApiClient, id: str) -> dict[str, Any] | None:
    found = client.find(f"/api/v1/identities/{id}")  # it may be gone since it was listed
    return found and dict(found["identity"])


def _identity(read: dict[str, Any]) -> Identity:
    inner = read["identity"]
    return Identity(
        inner["id"],
        inner["name"],
        read["role"],
        tuple(inner["authMethods"]),
        tuple((each["key"], each["value"]) for each in read.get("metadata") or ()),
        bool(inner.get("hasDeleteProtection")),
    )


def creation(organization: str, name: str, role: str) -> dict[str, Any]:
    """Return the body of a request that creates an identity with this project's marker."""
    return {"name": name, "organizationId": organization, "role": role, "metadata": [MARKER]}


def marking(identity: Identity) -> list[dict[str, str]]:
    """Return the metadata of an identity with this project's marker, and all others as they are."""
    others = [(key, value) for key, value in identity.metadata if key != MARKER["key"]]
    return [MARKER, *({"key": key, "value": value} for key, value in others)]


def create(client: ApiClient, organization: str, name: str, role: str = "no-access") -> Identity:
    """Create an identity; call `find` first, since names are not unique."""
    answer = client.post("/api/v1/identities", json=creation(organization, name, role))["identity"]
    return Identity(answer["id"], answer["name"], role, metadata=(_MARK,))


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
        changed: when the server last changed the entry, as it does at each login.
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
        """Return whether the client secret has not expired and has no limit on its logins."""
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
    client: ApiClient, id: str, absent: Collection[int] = (404,)
) -> UniversalAuth | None:
    """Return the universal auth of an identity, None if the status is in `absent`."""
    found = client.find(universal_auth_path(id), absent=absent)
    return _auth(found) if found else None


def attach_universal_auth(client: ApiClient, id: str, ttl: int, max_ttl: int) -> UniversalAuth:
    """Give an identity universal auth, which it must not have yet."""
    body = auth_body(auth_fields(ttl, max_ttl))
    return _auth(client.post(universal_auth_path(id), json=body))


def patch_universal_auth(client: ApiClient, id: str, ttl: int, max_ttl: int) -> UniversalAuth:
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


def client_secrets(client: ApiClient, id: str) -> list[ClientSecret]:
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


def create_client_secret(
    client: ApiClient, id: str, description: str, *, ttl: int = 0
) -> NewSecret:
    """Make a client secret that is never used up, and lives for `ttl` seconds; 0 for ever."""
    answer = client.post(
        f"{universal_auth_path(id)}/client-secrets",
        json={"description": description, "ttl": ttl, "numUsesLimit": 0},
    )
    return NewSecret(_client_secret(answer["clientSecretData"]), answer["clientSecret"])


def revoke_client_secret(client: ApiClient, id: str, secret_id: str) -> None:
    """Revoke a client secret, and with it the tokens that were issued for it."""
    client.post(f"{universal_auth_path(id)}/client-secrets/{secret_id}/revoke", json={})
