"""Follow renamed services in a plan that was made before."""

import posixpath
from collections.abc import Collection, Iterator

from infisical_iac.migrate.model import Name
from infisical_iac.migrate.plan_file import MigrationPlan, PlannedSource
from infisical_iac.workspace.model import Workspace


def follow_renames(
    plan: MigrationPlan, workspace: Workspace, stored: Collection[Name] = ()
) -> MigrationPlan:
    """Return the plan with the present names and folders of services that were renamed.

    A folder that the project file names stays, such as a shared one that a person wrote.

    Args:
        stored: the secrets in Infisical. A folder stays as well while more of the source's secrets
            are there than in the present one: the rename is still to be applied.
    """
    followed = tuple(_follow(each, workspace, stored) for each in plan.sources)
    return plan.model_copy(update={"sources": followed})


def _follow(source: PlannedSource, workspace: Workspace, stored: Collection[Name]) -> PlannedSource:
    name = workspace.renamed_services.get(source.service, "")
    if not name:
        return source
    renamed = source.model_copy(update={"service": name})
    if source.folder in ("", *workspace.folders):
        return renamed
    moved = renamed.model_copy(update={"folder": workspace.services[name].folder})
    return max(moved, renamed, key=lambda each: _count(each, stored))


def _count(source: PlannedSource, stored: Collection[Name]) -> int:
    return sum(Name(*source.target, key) in stored for key in source.stored_keys)


def former_folders(
    before: MigrationPlan, after: MigrationPlan, workspace: Workspace
) -> dict[str, set[str]]:
    """Return the former folders of renamed services, by their present one.

    These are the folders in the earlier plan, and the folders with a service's former name. A
    folder that the project file names is left out: it still belongs to a service.

    Args:
        after: the plan `before` as `follow_renames` returns it.
    """
    pairs = {
        (old.folder, new.folder) for old, new in zip(before.sources, after.sources, strict=True)
    }
    pairs |= {
        (former_folder(workspace, former, name), workspace.services[name].folder)
        for former, name in workspace.renamed_services.items()
    }
    found: dict[str, set[str]] = {}
    for old, new in pairs:
        # Infisical renames a folder only within its parent.
        if old not in ("", *workspace.folders) and posixpath.dirname(old) == posixpath.dirname(new):
            found.setdefault(new, set()).add(old)
    return found


def former_folder(workspace: Workspace, former: str, name: str) -> str:
    """Return the folder that a renamed service had if it had the service's former name."""
    return posixpath.join(posixpath.dirname(workspace.services[name].folder), former)


def unknown_services(plan: MigrationPlan, workspace: Workspace) -> Iterator[str]:
    """Yield a sentence on each service that stores secrets and that the project file lacks."""
    named = (each.service for each in plan.sources if each.stored_keys)
    for service in dict.fromkeys(named):
        if service and service not in workspace.services:
            yield (
                f"{service} in the plan is not a service of the project file: if it was renamed, "
                f"write `renamed_from: {service}` under its new name there, or name it so in the "
                "plan; if it was removed, delete its sources from the plan"
            )
