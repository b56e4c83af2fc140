"""Prove that Infisical keeps a machine identity to its grants, and refuses everything else.

In the edition without a license this depends on additional privileges, which a release may drop.
The proof uses a temporary identity in a temporary project, and touches no other data.
"""

import re
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from infisical_iac.agent import contents, identities, login
from infisical_iac.agent.answers import AnswerError
from infisical_iac.agent.api import ApiClient
from infisical_iac.agent.identities import attach_universal_auth, create_client_secret
from infisical_iac.agent.privileges import (
    OF_IDENTITIES,
    PRIVILEGE,
    are_equal,
    grant,
    list_privileges,
    reading_of,
    seat,
)
from infisical_iac.agent.runner import explain, join_names, make_failure

NAME = "infisical-iac-proof"
NOT_ISOLATED = "checks.isolation"

_SLUG = re.compile(rf"{NAME}-[0-9a-f]{{8}}")
_DESCRIPTION = (
    "Shows infisical-iac that an identity reads what it was granted and nothing else. It is "
    "deleted at once, or else by the next deploy."
)
_KEY, _TEXT = "PROOF", "public"
_GRANTED, _OTHER = ("granted", "/granted"), "other"
_TTL = 600
# The statuses for a client without rights or membership, and for a missing object.
_REFUSALS = (403, 404)
_CHOICES = {
    "privilege": (
        "each service would read nothing, or more than its folders: set infisical_version back to "
        "the running release, run `infisical-iac isolation apply --to projects`, which gives each "
        "service a project of its own, then upgrade"
    ),
    "viewer": "stay on the release that runs: set infisical_version back",
    "projects": "stay on the release that runs: set infisical_version back",
}


@dataclass(frozen=True)
class IsolationPlace:
    """A folder of an environment, by the project's id."""

    project: str
    environment: str
    folder: str

    def __str__(self) -> str:
        return f"{self.environment} {self.folder}"


@dataclass(frozen=True)
class Generation:
    """A generation of the secrets API.

    Attributes:
        path: the path of the list of secrets; a single secret is below it.
        project, imports: its names for the project's id and for the switch of imports.
    """

    name: str
    path: str
    project: str
    imports: str

    def query(self, place: IsolationPlace) -> dict[str, str]:
        return {
            self.project: place.project,
            "environment": place.environment,
            "secretPath": place.folder,
            "expandSecretReferences": "false",
            self.imports: "false",
        }

    def serves(self, client: ApiClient, place: IsolationPlace) -> bool:
        """Return whether the server has this API; the client must be allowed to read `place`."""
        return _answer(client, self.path, self.query(place))[0] != 404

    def list_secrets(
        self,
        client: ApiClient,
        place: IsolationPlace,
        *,
        recursive: bool = False,
        values: bool = True,
    ) -> list[dict[str, Any]]:
        """Return the secrets that a client is shown in a folder; none if it is refused."""
        query = {
            **self.query(place),
            "recursive": str(recursive).lower(),
            "viewSecretValue": str(values).lower(),
        }
        found: list[dict[str, Any]] = _answer(client, self.path, query)[1].get("secrets", [])
        return found

    def ways(self, client: ApiClient, place: IsolationPlace, key: str) -> list[str]:
        """Return the ways in which a client is shown a secret; none if it is refused."""
        root = IsolationPlace(place.project, place.environment, "/")
        found = self.list_secrets(client, root, recursive=True)
        named, _ = _answer(client, f"{self.path}/{key}", self.query(place))
        answers = {
            "in the list of its folder": any(
                each["secretKey"] == key for each in self.list_secrets(client, place)
            ),
            "in the list of all folders": any(
                (each["secretPath"], each["secretKey"]) == (place.folder, key) for each in found
            ),
            "by its name": named == 200,
        }
        return [way for way, is_shown in answers.items() if is_shown]


GENERATIONS = (
    Generation("v4", "/api/v4/secrets", "projectId", "includeImports"),
    Generation("v3", "/api/v3/secrets/raw", "workspaceId", "include_imports"),
)


def _answer(client: ApiClient, path: str, query: dict[str, str]) -> tuple[int, dict[str, Any]]:
    """Return status and body of an answer or a refusal; raise AnswerError for others."""
    try:
        return 200, client.get(path, params=query)
    except AnswerError as error:
        if error.status in _REFUSALS:
            return error.status, {}
        raise


def prove(client: ApiClient, isolation: str) -> str:
    """Prove that a temporary identity reads only the folder granted to it; return a sentence on it.

    Args:
        client: with the deployer's token. Everything that the proof makes is deleted.
        isolation: with `viewer`, the role is granted, and another project must be refused.

    Raises RuntimeError with a Failure. If services are not isolated, its code is NOT_ISOLATED, and
    it names the operator's choices; it has another code if the proof can't be made.
    """
    sweep(client)
    try:
        return _prove(client, isolation)
    finally:
        # The next deploy removes the rest; the result of the proof matters more.
        with suppress(RuntimeError):
            sweep(client)


def _prove(client: ApiClient, isolation: str) -> str:
    project = _project(client)
    own = _store(client, project, *_GRANTED)
    if isolation == "privilege":
        beyond = {
            "another folder": _store(client, project, own.environment, f"/{_OTHER}"),
            "another environment": _store(client, project, _OTHER, own.folder),
        }
    else:
        beyond = {"another project": _store(client, _project(client), *_GRANTED)}
    identity = identities.create(client, _organization(client), NAME).id
    role = "no-access" if isolation == "privilege" else "viewer"
    seats = f"/api/v1/projects/{project}/memberships/identities"
    client.post(f"{seats}/{identity}", json=seat(role))
    if isolation == "privilege":
        _grant(client, identity, own)
    auth = attach_universal_auth(client, identity, _TTL, _TTL)
    secret = create_client_secret(client, identity, NAME, ttl=_TTL)
    reader = login.universal(client, auth.client_id, secret.value)
    served = [each for each in GENERATIONS if each.serves(reader, own)]
    if not served:
        raise _isolation_refused(isolation, "no version of the secrets API shows what was granted")
    for generation in served:
        _refuse_leak(reader, generation, own, beyond, isolation)
    names = join_names(each.name for each in served)
    return (
        f"A temporary identity read what it was granted and was refused {join_names(beyond)}, "
        f"by {names} of the secrets API."
    )


def _project(client: ApiClient) -> str:
    body = {
        "projectName": NAME,
        "projectDescription": _DESCRIPTION,
        "slug": f"{NAME}-{secrets.token_hex(4)}",
        "type": "secret-manager",
        "shouldCreateDefaultEnvs": False,
    }
    return str(client.post("/api/v1/projects", json=body)["project"]["id"])


def _store(client: ApiClient, project: str, environment: str, folder: str) -> IsolationPlace:
    """Store the public text in a folder, which may be the first of its environment."""
    found = client.get(f"/api/v1/projects/{project}")["project"]["environments"]
    if environment not in {each["slug"] for each in found}:
        client.post(
            f"/api/v1/projects/{project}/environments",
            json={"name": environment, "slug": environment},
        )
    at = {"projectId": project, "environment": environment}
    client.post("/api/v2/folders", json={**at, "name": folder.strip("/"), "path": "/"})
    stored = {"mode": "upsert", "secrets": [{"secretKey": _KEY, "secretValue": _TEXT}]}
    client.patch("/api/v4/secrets/batch", json={**at, "secretPath": folder, **stored})
    return IsolationPlace(project, environment, folder)


def _grant(client: ApiClient, identity: str, own: IsolationPlace) -> None:
    grants = reading_of(own.environment, [own.folder])
    holder = {"identityId": identity, "projectId": own.project}
    try:
        client.post(OF_IDENTITIES, json={**holder, **grant(PRIVILEGE, grants)})
        kept = list_privileges(client, OF_IDENTITIES, holder)
    except AnswerError as error:
        if error.status not in (400, *_REFUSALS):  # An outage says nothing about the release.
            raise
        reason = f"no privilege can be granted ({error.status}: {error.message})"
        raise _isolation_refused("privilege", reason) from None
    if len(kept) != 1 or not are_equal(kept[0]["permissions"], grants):
        raise _isolation_refused("privilege", "a privilege is not kept as it was granted")


def _refuse_leak(
    reader: ApiClient,
    generation: Generation,
    own: IsolationPlace,
    beyond: dict[str, IsolationPlace],
    isolation: str,
) -> None:
    """Raise a Failure unless a reader is shown only its own place, and can write nothing."""
    shown = generation.ways(reader, own, _KEY)
    if len(shown) < 3:
        how = (
            f"shows what was granted only {join_names(shown)}"
            if shown
            else "does not show what was granted"
        )
        reason = f"{generation.name} of the secrets API {how}"
        raise _isolation_refused(isolation, reason)
    if _TEXT not in {each["secretValue"] for each in generation.list_secrets(reader, own)}:
        raise _isolation_refused(
            isolation,
            f"{generation.name} of the secrets API does not show the value that was granted",
        )
    for what, place in beyond.items():
        if shown := generation.ways(reader, place, _KEY):
            reason = f"{generation.name} of the secrets API shows {what} {join_names(shown)}"
            raise _isolation_refused(isolation, reason)
    at = {generation.project: own.project, "environment": own.environment}
    try:
        reader.patch(
            f"{generation.path}/{_KEY}",
            json={**at, "secretPath": own.folder, "secretValue": "written"},
        )
    except AnswerError as error:
        if error.status not in _REFUSALS:
            raise
        return
    raise _isolation_refused(isolation, f"{generation.name} of the secrets API lets a reader write")


def _isolation_refused(isolation: str, reason: str) -> RuntimeError:
    sentence = f"this release does not isolate services: {reason}; {_CHOICES[isolation]}"
    return make_failure(NOT_ISOLATED, sentence)


def unknown(error: Exception) -> RuntimeError:
    """Return the error for a proof that could not be made."""
    sentence = f"could not check whether services are isolated: {explain(error)}"
    return make_failure(NOT_ISOLATED, sentence)


@dataclass(frozen=True)
class ProofRemains:
    """An object that a killed proof has left.

    Attributes:
        what: its kind and name.
        path: the path of the request that deletes it, in parts.
    """

    what: str
    path: tuple[str, str]


def sweep(client: ApiClient) -> None:
    """Delete the objects that killed proofs have left. Raises RuntimeError with a Failure."""
    # Names of identities are not unique, and each pass finds one.
    for _ in range(5):
        due = list(find_remains(client))
        if not due:
            return
        for each in due:
            try:
                client.delete("/".join(each.path))
            except RuntimeError as error:
                sentence = f"could not remove {each.what}: {explain(error)}"
                raise make_failure("error", sentence) from error


def find_remains(client: ApiClient) -> Iterator[ProofRemains]:
    """Yield the temporary projects and identities of killed proofs."""
    for each in contents.projects(client):
        if each["name"] == NAME and _SLUG.fullmatch(each["slug"]):
            yield ProofRemains(f"project {each['slug']}", ("/api/v1/projects", each["id"]))
    if found := identities.find(client, _organization(client), NAME):
        yield ProofRemains(f"identity {NAME}", ("/api/v1/identities", found.id))


def _organization(client: ApiClient) -> str:
    """Return the id of the organization that an identity or a person is in."""
    try:
        return identities.organization_id(client)
    except AnswerError as error:
        if error.status != 403:
            raise
        return login.own_organizations(client)[0].id
