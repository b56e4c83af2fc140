"""From a person's roles to permissions, in the server's own terms; and to words.

A viewer reads secrets. A developer also makes, changes and deletes them. An admin of an
environment or a folder does the same with its folders and imports. A role on a folder counts
for everything below it too, where another role can only add to it. Whoever may see secrets sees
the folders and imports around them, without which the user interface has no way to get there.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from infisical_iac.workspace.model import Access, Workspace

PRIVILEGE = "managed-by-infisical-iac"

Json = dict[str, Any]

_READ = ["describeSecret", "readValue"]
_WRITE = ["create", "edit", "delete"]
_ACTIONS = {
    "viewer": {"secrets": _READ, "secret-folders": ["read"], "secret-imports": ["read"]},
    "developer": {
        "secrets": [*_READ, *_WRITE],
        "secret-folders": ["read"],
        "secret-imports": ["read"],
    },
    "admin": {
        "secrets": [*_READ, *_WRITE],
        "secret-folders": ["read", *_WRITE],
        "secret-imports": ["read", *_WRITE],
    },
}


class Grant(NamedTuple):
    """A role other than `none` in an environment, or in some folders of it."""

    role: str
    environment: str
    folders: tuple[str, ...] = ()


def project_role(access: Access) -> str:
    """The role in the project: an admin everywhere is an admin of the project."""
    return "admin" if access == "admin" else "no-access"


def permissions(access: Access, workspace: Workspace) -> list[Json]:
    """Return what the privilege that marks a person as ours permits; nothing where it only
    marks.
    """
    if access == "admin":
        return []
    return [
        {"subject": subject, "action": actions, "conditions": conditions}
        for grant in _grants(access, [each.slug for each in workspace.environments])
        for conditions in _conditions(grant)
        for subject, actions in _ACTIONS[grant.role].items()
    ]


def words(access: Access) -> str:
    """The roles as a person reads them."""
    if access == "admin":
        return "admin of the project"
    if isinstance(access, str):
        return "no access" if access == "none" else f"{access} in every environment"
    told = [
        f"{grant.role} of {' and '.join(grant.folders)} in {grant.environment}"
        if grant.folders
        else f"{grant.role} in {grant.environment}"
        for grant in _grants(access, list(access))
    ]
    return ", ".join(told) or "no access"


def _grants(access: Access, environments: Sequence[str]) -> Iterator[Grant]:
    by_environment = dict.fromkeys(environments, access) if isinstance(access, str) else access
    for slug, inside in by_environment.items():
        if isinstance(inside, str):
            if inside != "none":
                yield Grant(inside, slug)
            continue
        for role in dict.fromkeys(inside.values()):
            if role != "none":
                yield Grant(role, slug, tuple(each for each in inside if inside[each] == role))


def _conditions(grant: Grant) -> Iterator[Json]:
    environment = {"environment": {"$eq": grant.environment}}
    if not grant.folders:
        yield environment
    for folder in grant.folders:
        yield {**environment, "secretPath": {"$eq": folder}}
        yield {**environment, "secretPath": {"$glob": f"{folder}/**"}}
