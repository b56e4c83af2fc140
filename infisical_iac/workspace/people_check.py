"""Refuse what the file may not say of people."""

from collections.abc import Iterator, Mapping

from infisical_iac.workspace.document import Place, Problem, WorkspaceError
from infisical_iac.workspace.hints import hint
from infisical_iac.workspace.model import Isolation, Workspace
from infisical_iac.workspace.roles import ROLES


def unknown(workspace: Workspace) -> Iterator[Problem]:
    """Environments and folders that are nowhere else in the file, and roles without effect."""
    environments = [each.slug for each in workspace.environments]
    for email, access in workspace.people.items():
        for slug, inside in access.items() if isinstance(access, dict) else ():
            place: Place = ("people", email, slug)
            if slug not in environments:
                yield place, f"{slug!r} is no environment; {hint(slug, environments)}"
            if isinstance(inside, dict):
                yield from _folders(inside, place, workspace.folders)


def contradictory(workspace: Workspace, admin_email: str) -> Iterator[Problem]:
    """A role for the first administrator that would take something from him."""
    email = admin_email.lower()
    if workspace.people.get(email, "admin") != "admin":
        yield (
            ("people", email),
            f"{email} is the first administrator, whom setting 'admin_email' makes an admin of "
            "the project; write `admin`, or remove the entry",
        )


def refuse(workspace: Workspace, isolation: Isolation, admin_email: str) -> None:
    """Raise WorkspaceError if people can't have their roles as things are set."""
    for _, message in contradictory(workspace, admin_email):
        raise WorkspaceError(message)
    if workspace.people and isolation == "viewer":
        raise WorkspaceError(
            "people get their roles as additional privileges, which isolation 'viewer' leaves "
            "alone: set isolation to 'privilege', or remove `people` from the workspace file"
        )


def _folders(roles: Mapping[str, str], place: Place, known: list[str]) -> Iterator[Problem]:
    for folder, role in roles.items():
        above = [each for each in roles if folder.startswith(f"{each}/")]
        wider = [each for each in above if ROLES.index(roles[each]) >= ROLES.index(role)]
        if not any(f"{folder}/".startswith(f"{each}/") for each in known):
            yield (*place, folder), f"{folder} is in no folder of the file; {hint(folder, known)}"
        elif wider:
            yield (
                (*place, folder),
                f"it is in {wider[0]}, whose role {roles[wider[0]]!r} counts here too; "
                "remove it, or give it more",
            )
