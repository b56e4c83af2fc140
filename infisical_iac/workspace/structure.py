"""What differs in the project itself, in folders and imports."""

from collections.abc import Iterator, Mapping

from infisical_iac.workspace.change import Call, Change, Made
from infisical_iac.workspace.document import WorkspaceError
from infisical_iac.workspace.environments import deleted_one, match
from infisical_iac.workspace.model import Workspace
from infisical_iac.workspace.state import Actual, EnvironmentState

_PROJECTS = "/api/v1/projects"


def project(desired: Workspace, actual: Actual, remembered: Mapping[str, str]) -> Iterator[Change]:
    """The project's own drift, or its creation.

    Raises WorkspaceError if the environments of the last run are found under another slug.
    """
    wanted = desired.project
    what = f"project {wanted.slug}"
    if actual.project is None:
        moved = sorted(
            {actual.elsewhere[id] for id in remembered.values() if id in actual.elsewhere}
        )
        if moved:
            raise WorkspaceError(
                f"the project {wanted.slug!r} of the last run has the slug {moved[0]!r} now: "
                "set it back in Infisical, or write it into the workspace file"
            )
        body = {
            "projectName": wanted.name,
            "slug": wanted.slug,
            "type": "secret-manager",
            "shouldCreateDefaultEnvs": False,
            "hasDeleteProtection": True,
        }
        yield Change("+", what, calls=(Call("POST", (_PROJECTS,), body, Made("project")),))
        return
    path = (_PROJECTS, actual.project.id)
    if actual.project.name != wanted.name:
        detail = f"name {actual.project.name} → {wanted.name}"
        yield Change("~", what, detail, (Call("PATCH", path, {"name": wanted.name}),))
    if not actual.project.is_delete_protected:
        body = {"hasDeleteProtection": True}
        yield Change("~", what, "delete protection off → on", (Call("PATCH", path, body),))


def folders(desired: Workspace, actual: Actual, remembered: Mapping[str, str]) -> Iterator[Change]:
    """Folders and imports that are missing.

    What a deleted environment holds shows only once it is restored: the next reading tells.
    """
    matched = match(desired, actual, remembered)
    project = actual.project.id if actual.project else Made("project")
    for wanted in desired.environments:
        slug, there = wanted.slug, matched.get(wanted.slug)
        if there is None and deleted_one(wanted, actual, remembered):
            continue
        for folder in desired.folders:
            if there is None or folder not in there.folders:
                path, _, name = folder.rpartition("/")
                body = {
                    "projectId": project,
                    "environment": slug,
                    "name": name,
                    "path": path or "/",
                }
                call = Call("POST", ("/api/v2/folders",), body)
                yield Change("+", f"folder {folder} in {slug}", calls=(call,))
        yield from _imports(desired, slug, there, project)


def _imports(
    desired: Workspace, slug: str, there: EnvironmentState | None, project: str
) -> Iterator[Change]:
    for service in desired.services.values():
        present = there.imports.get(service.folder, frozenset()) if there else frozenset()
        for source in service.imports:
            if there is None or (there.id, source) not in present:
                body = {
                    "projectId": project,
                    "environment": slug,
                    "path": service.folder,
                    "import": {"environment": slug, "path": source},
                }
                call = Call("POST", ("/api/v2/secret-imports",), body)
                yield Change(
                    "+", f"import of {source} into {service.folder} in {slug}", "", (call,)
                )
