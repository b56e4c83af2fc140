"""Prove that Infisical keeps a machine identity to its grants, and refuses everything else.

In the edition without a license this depends on additional privileges, which a release may drop.
The proof uses a temporary identity in a temporary project, and touches no other data.
"""

import re
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from infisical_iac.agent import contents, identities
from infisical_iac.agent.identities import attach_universal_auth, create_client_secret
from infisical_iac.agent.login import own_organizations
from infisical_iac.api import login
from infisical_iac.api.client import Client
from infisical_iac.core.errors import ApiError, CheckFailed, UserError
from infisical_iac.core.wording import join_names
from infisical_iac.workspace import privileges
from infisical_iac.workspace.converge import apply
from infisical_iac.workspace.goal import Goal
from infisical_iac.workspace.model import PRIVILEGE, Isolation
from infisical_iac.workspace.privileges import are_equal, reading_of
from infisical_iac.workspace.state import ApiChange, Call

NAME = "infisical-iac-proof"
_CODE = "checks.isolation"

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

    def serves(self, client: Client, place: IsolationPlace) -> bool:
        """Return whether the server has this API; the client must be allowed to read `place`."""
        return _answer(client, self.path, self.query(place))[0] != 404

    def list_secrets(
        self, client: Client, place: IsolationPlace, *, recursive: bool = False, values: bool = True
    ) -> list[dict[str, Any]]:
        """Return the secrets that a client is shown in a folder; none if it is refused."""
        query = {
            **self.query(place),
            "recursive": str(recursive).lower(),
            "viewSecretValue": str(values).lower(),
        }
        found: list[dict[str, Any]] = _answer(client, self.path, query)[1].get("secrets", [])
        return found

    def ways(self, client: Client, place: IsolationPlace, key: str) -> list[str]:
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


def _answer(client: Client, path: str, query: dict[str, str]) -> tuple[int, dict[str, Any]]:
    """Return status and body of an answer or a refusal; raise ApiError for others."""
    try:
        return 200, client.get(path, params=query)
    except ApiError as error:
        if error.status in _REFUSALS:
            return error.status, {}
        raise


def prove(client: Client, isolation: Isolation) -> str:
    """Prove that a temporary identity reads only the folder granted to it; return a sentence on it.

    Args:
        client: with the deployer's token. Everything that the proof makes is deleted.
        isolation: with `viewer`, the role is granted, and another project must be refused.

    Raises CheckFailed, which names the operator's choices, if services are not isolated; another
    UserError if the proof can't be made.
    """
    sweep(client)
    try:
        return _prove(client, isolation)
    finally:
        # The next deploy removes the rest; the result of the proof matters more.
        with suppress(UserError):
            sweep(client)


def settle(client: Client, goal: Goal) -> tuple[Goal, ApiChange | None]:
    """Fall back to the isolation `projects` if the server does not enforce privileges.

    This is proven once, before the first project is made. With another isolation it is proven
    before a job that sees names gets its first privilege, and again while it does not hold.

    Returns:
        The goal with the isolation that the server enforces, and the change of the isolation; None
        if it does not change.

    Raises UserError if the proof can't be made.
    """
    memory = goal.memory
    if goal.apart and (memory.unenforced or not {*goal.apart} <= {*memory.identities}):
        return replace(goal, memory=replace(memory, unenforced=bool(_find_loss(client)))), None
    is_there = memory.project or contents.project(client, goal.desired.project.slug)
    if not goal.grants or is_there:
        return goal, None
    if reason := _find_loss(client):
        detail = f"privilege → projects, since this release does not enforce privileges: {reason}"
        shown = (
            "each service has a project of its own, since this release does not enforce "
            "privileges: set isolation = 'projects' in your settings"
        )
        goal = goal.recalling(replace(memory, fell_back=True, unenforced=True))
        return goal, ApiChange("~", "isolation", detail, shown=shown)
    return goal, None


def _find_loss(client: Client) -> str:
    """Return why the server does not enforce privileges; empty if it does.

    Raises UserError if that can't be proven.
    """
    try:
        prove(client, "privilege")
    except CheckFailed as error:
        if not is_lost(error):
            raise
        return find_reason(error)
    except UserError as error:
        raise unknown(error) from None
    return ""


def is_lost(error: UserError) -> bool:
    """Return whether an error of `prove` says that the server does not isolate services."""
    return isinstance(error, CheckFailed) and error.code == _CODE


def find_reason(error: UserError) -> str:
    """Return why the server does not isolate services, as a clause, from an error of `prove`."""
    return str(error).partition(": ")[2].partition("; ")[0]


def unknown(error: UserError) -> CheckFailed:
    """Return the error for a proof that could not be made."""
    return CheckFailed(f"could not check whether services are isolated: {error}", code=_CODE)


def _prove(client: Client, isolation: Isolation) -> str:
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
    client.post(f"{seats}/{identity}", json=privileges.seat(role))
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


def _project(client: Client) -> str:
    body = {
        "projectName": NAME,
        "projectDescription": _DESCRIPTION,
        "slug": f"{NAME}-{secrets.token_hex(4)}",
        "type": "secret-manager",
        "shouldCreateDefaultEnvs": False,
    }
    return str(client.post("/api/v1/projects", json=body)["project"]["id"])


def _store(client: Client, project: str, environment: str, folder: str) -> IsolationPlace:
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


def _grant(client: Client, identity: str, own: IsolationPlace) -> None:
    grants = reading_of(own.environment, [own.folder])
    holder = {"identityId": identity, "projectId": own.project}
    try:
        granted = privileges.grant(PRIVILEGE, grants)
        client.post(privileges.OF_IDENTITIES, json={**holder, **granted})
        kept = privileges.read(client, privileges.OF_IDENTITIES, holder)
    except ApiError as error:
        if error.status not in (400, *_REFUSALS):  # An outage says nothing about the release.
            raise
        reason = f"no privilege can be granted ({error.status}: {error.message})"
        raise _isolation_refused("privilege", reason) from None
    if len(kept) != 1 or not are_equal(kept[0].permissions, grants):
        raise _isolation_refused("privilege", "a privilege is not kept as it was granted")


def _refuse_leak(
    reader: Client,
    generation: Generation,
    own: IsolationPlace,
    beyond: dict[str, IsolationPlace],
    isolation: Isolation,
) -> None:
    """Raise CheckFailed unless a reader is shown only its own place, and can write nothing."""
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
    except ApiError as error:
        if error.status not in _REFUSALS:
            raise
        return
    raise _isolation_refused(isolation, f"{generation.name} of the secrets API lets a reader write")


def _isolation_refused(isolation: Isolation, reason: str) -> CheckFailed:
    return CheckFailed(
        f"this release does not isolate services: {reason}; {_CHOICES[isolation]}",
        code=_CODE,
    )


def sweep(client: Client) -> None:
    """Delete the objects that killed proofs have left. Raises UserError."""
    # Names of identities are not unique, and each pass finds one.
    for _ in range(5):
        due = list(leftovers(client))
        if not due:
            return
        for _ in apply(client, due):
            pass


def leftovers(client: Client) -> Iterator[ApiChange]:
    """Yield the removal of temporary projects and identities of killed proofs."""
    for each in contents.projects(client):
        if each["name"] == NAME and _SLUG.fullmatch(each["slug"]):
            call = Call("DELETE", ("/api/v1/projects", each["id"]))
            yield ApiChange("-", f"project {each['slug']}", "left by an interrupted run", (call,))
    found = identities.find(client, _organization(client), NAME)
    if found:
        call = Call("DELETE", ("/api/v1/identities", found.id))
        yield ApiChange("-", f"identity {NAME}", "left by an interrupted run", (call,))


def _organization(client: Client) -> str:
    """Return the id of the organization that an identity or a person is in."""
    try:
        return identities.organization_id(client)
    except ApiError as error:
        if error.status != 403:
            raise
        return own_organizations(client)[0].id
