"""Manage the canary: a secret with a public text that proves that a store can be decrypted.

It has its own project. So it exists before any other secret, and is independent of the project in
the project file. With monitoring, an identity of its own proves from the host every five minutes
that a service can log in, write, read and delete a secret there. Its role is that of a developer in
this project alone, which holds nothing secret, so that it works with each method of isolation.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from infisical_iac.agent import canary as reader
from infisical_iac.agent import contents, identities
from infisical_iac.agent.api import gather
from infisical_iac.agent.canary import CODE as CODE
from infisical_iac.agent.canary import ENVIRONMENT as ENVIRONMENT
from infisical_iac.agent.canary import FOLDER as FOLDER
from infisical_iac.agent.canary import NONE as NONE
from infisical_iac.agent.canary import OF_DATA
from infisical_iac.agent.canary import SECRET as SECRET
from infisical_iac.agent.canary import SLUG as SLUG
from infisical_iac.agent.canary import VALUE as VALUE
from infisical_iac.agent.privileges import seat
from infisical_iac.api.client import Client
from infisical_iac.core.errors import ApiError, CheckFailed, agent_failures
from infisical_iac.workspace.access import identity_drift
from infisical_iac.workspace.converge import difference
from infisical_iac.workspace.goal import Goal
from infisical_iac.workspace.model import Environment, Project, Workspace
from infisical_iac.workspace.people_actual import memberships, person
from infisical_iac.workspace.state import (
    Actual,
    ApiChange,
    Call,
    EnvironmentState,
    ProjectState,
    deleted_environments,
    diff_fields,
    roles_of,
    words,
)

_DESCRIPTION = (
    "Holds one public text, by which infisical-iac proves after upgrades and restores that secrets "
    "can be decrypted. What is changed here is undone by the next deploy."
)
PURPOSE = "proves after upgrades and restores that secrets can be decrypted"
_PLACE = Workspace(
    project=Project(name="Canary of infisical-iac", slug=SLUG),
    environments=(Environment(slug=ENVIRONMENT, name="Production"),),
)

# The identity that logs in, its role in the project, and the description of its client secret.
IDENTITY, ROLE, LOGIN_SECRET = "infisical-iac-canary", "member", "infisical-iac: canary"
LOGIN_PURPOSE = "proves every five minutes that services can log in, write and read secrets"
_TTL = 600
_NO_LOGIN = "can't log in → can"

Json = dict[str, Any]


def unreadable(reason: ApiError) -> CheckFailed:
    """Return the error for a canary that can't be read; raise it from `reason`.

    Nothing is written then, as the encryption key may be the wrong one. A status in OF_DATA ends
    the run. Any other status, such as that of a refusal, concerns only the canary.
    """
    return CheckFailed(
        reader.describe_unreadable(reason), code=CODE, ends_run=reason.status in OF_DATA
    )


@dataclass(frozen=True)
class Canary:
    """The actual state of the canary: its project, and its text; None if it is missing."""

    place: Actual = field(default_factory=partial(Actual, ""))
    text: str | None = None


def observe(client: Client, admin_email: str, known: str = "") -> Canary:
    """Return the actual state of the canary.

    Args:
        admin_email: the person who must be an admin of its project, to read it when no deployer
            can log in.
        known: the id of its project as after the last run, which finds a renamed project.

    Raises CheckFailed if it can't be read.
    """
    try:
        project = contents.project(client, SLUG)
        if project is None and known:
            renamed = contents.slug_of(client, known)
            project = contents.project(client, renamed) if renamed else None
        if project is None:
            return Canary()
        reads: list[Any] = gather(
            [
                partial(reader.read_text, client, project),
                partial(memberships, client, project["id"]),
            ]
        )
    except ApiError as error:
        raise unreadable(error) from error
    place = Actual(
        "",
        ProjectState.of(project),
        tuple(
            EnvironmentState(each["id"], each["slug"], each["name"], position)
            for position, each in enumerate(project["environments"])
        ),
        deleted_environments(project),
        admin=person(reads[1], admin_email),
    )
    return Canary(place, reads[0])


def due(found: Canary, admin_email: str) -> list[ApiChange]:
    """Return the change that corrects the canary; none if it is up to date."""
    goal = Goal(desired=_PLACE, isolation="viewer", admin_email=admin_email)
    parts = difference(goal, found.place)
    if found.text != VALUE:
        parts.append(_secret(found))
    if not parts:
        return []
    calls = tuple(map(_with_description, (call for part in parts for call in part.calls)))
    detail = "; ".join(f"{part.what}: {part.detail}".removesuffix(": ") for part in parts)
    if found.place.project is None:
        return [ApiChange("+", "canary", f"{detail}; {PURPOSE}", calls)]
    return [ApiChange("~", "canary", detail, calls)]


def is_alive(client: Client) -> bool:
    """Return whether there is a canary.

    Raises CheckFailed for a canary that was altered or can't be read.
    """
    with agent_failures():
        return reader.is_alive(client)


def _secret(found: Canary) -> ApiChange:
    body = {
        "projectId": found.place.project_id,
        "environment": ENVIRONMENT,
        "secretPath": FOLDER,
        # A restored environment already has the secret.
        "mode": "upsert",
        "secrets": [{"secretKey": SECRET, "secretValue": VALUE}],
    }
    call = Call("PATCH", ("/api/v4/secrets/batch",), body)
    if found.text is None:
        return ApiChange("+", f"secret {SECRET}", calls=(call,))
    return ApiChange("~", f"secret {SECRET}", f"altered → {VALUE}", (call,))


def _with_description(call: Call) -> Call:
    if call.makes != "project" or call.body is None:
        return call
    return replace(call, body={**call.body, "projectDescription": _DESCRIPTION})


@dataclass(frozen=True)
class CanaryLogin:
    """The login of the canary, as its file on the host has it."""

    identity: str = ""
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    secret_id: str = ""
    project: str = ""

    def works(
        self, auth: identities.UniversalAuth, listed: Sequence[identities.ClientSecret]
    ) -> bool:
        """Return whether the server still has it, as far as the listed client secrets show."""
        return self.client_id == auth.client_id and any(
            each.id == self.secret_id and self.client_secret.startswith(each.prefix)
            for each in listed
        )

    def render(self) -> str:
        """Return the text of its file, which the agent reads too."""
        values = {
            "INFISICAL_IDENTITY_ID": self.identity,
            "INFISICAL_CLIENT_ID": self.client_id,
            "INFISICAL_CLIENT_SECRET": self.client_secret,
            "INFISICAL_CLIENT_SECRET_ID": self.secret_id,
            "INFISICAL_PROJECT_ID": self.project,
            "INFISICAL_ENVIRONMENT": ENVIRONMENT,
        }
        return "".join(f"{name}={value}\n" for name, value in values.items())


def parse_login(text: str) -> CanaryLogin:
    """Return the login in the text of its file; parts that the text lacks are empty."""
    found = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    return CanaryLogin(
        found.get("INFISICAL_IDENTITY_ID", ""),
        found.get("INFISICAL_CLIENT_ID", ""),
        found.get("INFISICAL_CLIENT_SECRET", ""),
        found.get("INFISICAL_CLIENT_SECRET_ID", ""),
        found.get("INFISICAL_PROJECT_ID", ""),
    )


def diff_login(client: Client, project: str, known: CanaryLogin) -> str:
    """Return how the canary's identity and login differ from the desired ones; empty if they don't.

    Args:
        project: the id of the canary's project.
        known: the login in the file on the host.
    """
    held = _find_identity(client)
    auth = identities.universal_auth(client, held.id) if held and held.has_universal_auth else None
    if held is None or auth is None:
        return _NO_LOGIN
    if not known.works(auth, identities.client_secrets(client, held.id)):
        return _NO_LOGIN
    _, of_identity = identity_drift(held, IDENTITY, "no-access")
    of_login = words(diff_fields(identities.auth_fields(_TTL, _TTL), auth.fields), auth.fields)
    roles = _roles(client, project, held.id)
    of_seat = "" if roles == (ROLE,) else f"role {', '.join(roles) or 'none'} → {ROLE}"
    of_file = "" if known.project == project else "id of the project"
    return ", ".join(filter(None, (of_identity, of_login, of_seat, of_file)))


def make_login(
    client: Client, project: str, known: CanaryLogin, store: Callable[[CanaryLogin], None]
) -> None:
    """Make or correct the canary's identity, and store its login unless the known one works.

    Former client secrets are revoked once the new one is stored.
    """
    organization = identities.organization_id(client)
    held = _find_identity(client) or identities.create(client, organization, IDENTITY)
    body, _ = identity_drift(held, IDENTITY, "no-access")
    if body:
        client.patch(f"/api/v1/identities/{held.id}", json=body)
    auth = identities.universal_auth(client, held.id)
    if auth is None:
        auth = identities.attach_universal_auth(client, held.id, _TTL, _TTL)
    elif diff_fields(identities.auth_fields(_TTL, _TTL), auth.fields):
        identities.patch_universal_auth(client, held.id, _TTL, _TTL)
    roles = _roles(client, project, held.id)
    if roles != (ROLE,):
        send = client.patch if roles else client.post
        send(_seat_path(project, held.id), json=seat(ROLE))
    listed = identities.client_secrets(client, held.id)
    login = replace(known, identity=held.id, client_id=auth.client_id, project=project)
    if not known.works(auth, listed):
        made = identities.create_client_secret(client, held.id, LOGIN_SECRET)
        login = replace(login, client_secret=made.value, secret_id=made.id)
    store(login)
    for old in listed:
        if old.description == LOGIN_SECRET and old.id != login.secret_id:
            identities.revoke_client_secret(client, held.id, old.id)


def remove_login(client: Client) -> None:
    """Delete the canary's identity, if there is one."""
    if held := _find_identity(client):
        client.delete(f"/api/v1/identities/{held.id}")


def _find_identity(client: Client) -> identities.Identity | None:
    return identities.find(client, identities.organization_id(client), IDENTITY)


def _seat_path(project: str, identity: str) -> str:
    return f"/api/v1/projects/{project}/memberships/identities/{identity}"


def _roles(client: Client, project: str, identity: str) -> tuple[str, ...]:
    """Return the roles of an identity in a project; none if it is no member."""
    found = client.find(_seat_path(project, identity))
    return roles_of(found["identityMembership"]) if found else ()
