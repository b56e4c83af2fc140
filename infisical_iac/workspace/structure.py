"""Compare the project itself, and what its environments hold."""

from collections.abc import Iterator, Mapping
from typing import Any

from infisical_iac.workspace import folders as inside
from infisical_iac.workspace.change import Call, Change, Made
from infisical_iac.workspace.declared import drift, words
from infisical_iac.workspace.document import WorkspaceError
from infisical_iac.workspace.environments import deleted_one, match
from infisical_iac.workspace.memory import Memory
from infisical_iac.workspace.model import Workspace
from infisical_iac.workspace.state import Actual

_PROJECTS = "/api/v1/projects"


def project(desired: Workspace, actual: Actual, remembered: Memory) -> Iterator[Change]:
    """The project's own drift, or its creation.

    Raises WorkspaceError if the environments of the last run are found under another slug, or
    another project has the slug of the one of the last run.
    """
    wanted = desired.project
    what = f"project {wanted.slug}"
    fields = _fields(desired)
    if actual.project is None:
        moved = sorted(
            {
                actual.elsewhere[id]
                for id in remembered.environments.values()
                if id in actual.elsewhere
            }
        )
        if moved:
            raise WorkspaceError(
                f"the project of the last run has the slug {moved[0]!r} now, and the workspace "
                f"file says {wanted.slug!r}: set it back in Infisical, or write it into the file"
            )
        body = {
            "projectName": wanted.name,
            "slug": wanted.slug,
            "type": "secret-manager",
            "shouldCreateDefaultEnvs": False,
            "hasDeleteProtection": fields["hasDeleteProtection"],
        }
        yield Change("+", what, calls=(Call("POST", (_PROJECTS,), body, Made("project")),))
        return
    differing = drift(fields, actual.project.fields)
    if "slug" in differing and actual.usurper:
        raise WorkspaceError(
            f"the project {wanted.slug!r} of the last run has the slug {actual.project.slug!r} "
            "now, and another project has its slug: rename or delete one of them in Infisical"
        )
    if differing:
        call = Call("PATCH", (_PROJECTS, actual.project.id), differing)
        yield Change("~", what, words(differing, actual.project.fields), (call,))


def _fields(desired: Workspace) -> Mapping[str, Any]:
    return {
        "name": desired.project.name,
        "slug": desired.project.slug,
        "hasDeleteProtection": True,
        # Names of secrets are what programs ask for: nobody may write them in other letters.
        "autoCapitalization": False,
    }


def contents(desired: Workspace, actual: Actual, remembered: Memory) -> Iterator[Change]:
    """Return the differences in folders and imports of all environments.

    What a deleted environment holds shows only once it is restored: the next reading tells.
    """
    matched = match(desired, actual, remembered.environments)
    project = actual.project.id if actual.project else Made("project")
    for wanted in desired.environments:
        there = matched.get(wanted.slug)
        if there is None and deleted_one(wanted, actual, remembered.environments):
            continue
        known = remembered.folders.get(there.id, {}) if there else {}
        yield from inside.changes(desired, inside.Place(project, wanted.slug, there), known)
