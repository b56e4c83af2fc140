"""Machine identities.

Names of identities are not unique, and anybody may make one. An identity is this project's
own if its metadata say so; no other is ever touched.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from infisical_iac.api.client import Client
from infisical_iac.api.failures import ApiError
from infisical_iac.api.pages import all_of
from infisical_iac.api.parallel import gather

MARKER = {"key": "managed-by", "value": "infisical-iac"}
DEPLOYER = "infisical-iac-deployer"


@dataclass(frozen=True)
class Identity:
    """A machine identity of this project's own; `role` is its role in the organization."""

    id: str
    name: str
    role: str
    has_universal_auth: bool


def organization_id(client: Client) -> str:
    """The organization of the machine identity whose token the client bears."""
    details = client.get("/api/v1/identities/details")["identityDetails"]
    return str(details["organization"]["id"])


def find(client: Client, organization: str, name: str) -> Identity | None:
    """This project's own identity of a name, the oldest should there be several."""
    return find_all(client, organization, {name}).get(name)


def find_all(client: Client, organization: str, names: set[str]) -> dict[str, Identity]:
    """This project's own identities among `names`, by name."""
    listed = all_of(client, "/api/v1/identities", "identities", {"orgId": organization})
    candidates = [each["identity"]["id"] for each in listed if each["identity"]["name"] in names]
    own = _marked(client, candidates)
    own.sort(key=lambda each: (each["createdAt"], each["identity"]["id"]), reverse=True)
    return {each["identity"]["name"]: _identity(each) for each in own}


def memberships(client: Client, project: str) -> list[dict[str, Any]]:
    """The identities in a project of Infisical, as the server lists them."""
    path = f"/api/v1/projects/{project}/memberships/identities"
    return all_of(client, path, "identityMemberships")


def find_members(client: Client, project: str, *, besides: set[str]) -> list[Identity]:
    """This project's own identities that are members of a project of Infisical, by name.

    An organization may have several such projects: what is no member belongs to another one,
    as far as anybody can tell. Identities with a name among `besides` are not looked at.
    """
    listed = [each["identity"] for each in memberships(client, project)]
    own = _marked(client, [each["id"] for each in listed if each["name"] not in besides])
    return sorted(map(_identity, own), key=lambda each: (each.name, each.id))


def _marked(client: Client, ids: Iterable[str]) -> list[dict[str, Any]]:
    read = gather([partial(_read, client, id) for id in ids])
    return [each for each in read if each is not None and _is_marked(each)]


def _read(client: Client, id: str) -> dict[str, Any] | None:
    try:
        return dict(client.get(f"/api/v1/identities/{id}")["identity"])
    except ApiError as error:
        if error.status == 404:  # deleted since it was listed
            return None
        raise


def _is_marked(read: dict[str, Any]) -> bool:
    return any(
        each["key"] == MARKER["key"] and each["value"] == MARKER["value"]
        for each in read.get("metadata") or ()
    )


def _identity(read: dict[str, Any]) -> Identity:
    inner = read["identity"]
    has_universal_auth = "universal-auth" in inner["authMethods"]
    return Identity(inner["id"], inner["name"], read["role"], has_universal_auth)


def creation(organization: str, name: str, role: str) -> dict[str, Any]:
    """The body of a request that creates an identity with this project's marker."""
    return {"name": name, "organizationId": organization, "role": role, "metadata": [MARKER]}


def create(client: Client, organization: str, name: str, role: str = "no-access") -> Identity:
    """Create an identity; look with `find` first, for names may repeat."""
    answer = client.post("/api/v1/identities", json=creation(organization, name, role))["identity"]
    return Identity(answer["id"], answer["name"], role, has_universal_auth=False)
