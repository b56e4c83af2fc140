"""Manage the canary: a secret with a public text that proves that a store can be decrypted.

It has its own project. So it exists before any other secret, and is independent of the project in
the project file.
"""

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from infisical_iac.api import contents
from infisical_iac.api.client import Client, gather
from infisical_iac.core.errors import ApiError, CheckFailed
from infisical_iac.workspace.api_change import ApiChange, Call
from infisical_iac.workspace.converge import difference
from infisical_iac.workspace.goal import Goal
from infisical_iac.workspace.model import Environment, Project, Workspace
from infisical_iac.workspace.people_actual import memberships, person
from infisical_iac.workspace.state import (
    Actual,
    EnvironmentState,
    ProjectState,
    deleted_environments,
)

SLUG, ENVIRONMENT, FOLDER = "infisical-iac-canary", "prod", "/"
SECRET, VALUE = "CANARY", "alive"
NONE = "There is no canary to read yet: an older release may have deployed this host."

_DESCRIPTION = (
    "Holds one public text, by which infisical-iac proves after upgrades and restores that secrets "
    "can be decrypted. What is changed here is undone by the next deploy."
)
PURPOSE = "proves after upgrades and restores that secrets can be decrypted"
_PLACE = Workspace(
    project=Project(name="Canary of infisical-iac", slug=SLUG),
    environments=(Environment(slug=ENVIRONMENT, name="Production"),),
)
_WHAT = f"the secret {SECRET} of the project {SLUG}"

Json = dict[str, Any]


# The code of every error about the canary.
CODE = "checks.canary"
# The statuses of every answer of a server whose database or key does not fit.
OF_DATA = (400, 500)


def unreadable(reason: ApiError) -> CheckFailed:
    """Return the error for a canary that can't be read; raise it from `reason`.

    Nothing is written then, as the encryption key may be the wrong one. A status in OF_DATA ends
    the run. Any other status, such as that of a refusal, concerns only the canary.
    """
    sentence = f"the canary, {_WHAT}, can't be read: {reason.message}"
    return CheckFailed(sentence, code=CODE, ends_run=reason.status in OF_DATA)


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
            [partial(_text, client, project), partial(memberships, client, project["id"])]
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
    try:
        project = contents.project(client, SLUG)
        text = _text(client, project) if project else None
    except ApiError as error:
        raise unreadable(error) from error
    if text not in (None, VALUE):
        raise CheckFailed(
            f"the canary was altered, as {_WHAT} is not {VALUE!r}: if a person has changed it, set "
            "it back in Infisical; otherwise secrets are not decrypted correctly",
            code=CODE,
        )
    return text is not None


def _text(client: Client, project: Json) -> str | None:
    if ENVIRONMENT not in {each["slug"] for each in project["environments"]}:
        return None
    listed = contents.secrets(client, project["id"], ENVIRONMENT, folder=FOLDER)
    return next((each["secretValue"] for each in listed if each["secretKey"] == SECRET), None)


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
