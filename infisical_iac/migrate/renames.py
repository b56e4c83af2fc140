"""Follow renamed services in a plan that was made before."""

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


def unknown_services(plan: MigrationPlan, workspace: Workspace) -> Iterator[str]:
    """Yield a sentence on each service that stores secrets and that the project file lacks."""
    named = (each.service for each in plan.sources if each.stored_keys)
    for service in dict.fromkeys(named):
        if service and service not in workspace.services:
            yield (
                f"{service} in the plan is no service of the project file: if it was renamed, "
                f"write `renamed_from: {service}` under its new name, or else plan again"
            )
