"""Compare the project, its environments and its folders."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from infisical_iac.workspace.goal import Memory
from infisical_iac.workspace.memory import known_folders
from infisical_iac.workspace.model import Environment, Workspace
from infisical_iac.workspace.state import (
    Actual,
    ApiChange,
    Call,
    EnvironmentState,
    Import,
    Made,
    blocked_change,
    diff_fields,
    words,
)

_PROJECTS = "/api/v1/projects"
_FOLDERS, _IMPORTS = "/api/v2/folders", "/api/v2/secret-imports"
# The environment of a request; paths of folders in it are those at that moment.
At = Mapping[str, str]


def match_folders(
    desired: Workspace, there: Mapping[str, str], remembered: Mapping[str, str]
) -> dict[str, str]:
    """Return the actual paths of existing folders, by their desired paths.

    Args:
        there: the ids of the folders of an environment, by actual path.
        remembered: the ids after the last run, by desired path.
    """
    now = {id: path for path, id in there.items()}
    known = {path: now[id] for path, id in remembered.items() if id in now}
    matched: dict[str, str] = {}
    for folder in desired.folders:  # parents come first
        parent, _, name = folder.rpartition("/")
        above = matched.get(parent, parent)
        path = f"{above}/{name}"
        if folder in known and known[folder].rpartition("/")[0] == above:
            matched[folder] = known[folder]
        # A folder that was deleted and made again by hand is taken over.
        elif path in there and path not in known.values():
            matched[folder] = path
    return matched


def contents(desired: Workspace, actual: Actual, remembered: Memory) -> Iterator[ApiChange]:
    """Yield the differences in folders and imports: renamed, missing or out of order.

    The contents of a deleted environment can be read only after it is restored. A folder whose name
    belongs to another folder that stays is blocked, and nothing is changed in it.
    """
    matched = match_environments(desired, actual, remembered.environments)
    stuck = _stuck_environments(desired, matched, actual)
    for environment in desired.environments:
        there = matched.get(environment.slug)
        if environment.slug in stuck:
            continue
        if there is None and find_deleted(environment, actual, remembered.environments):
            continue
        there = there or EnvironmentState("", environment.slug, environment.name)
        at = {"projectId": actual.project_id, "environment": environment.slug}
        known = known_folders(desired, actual, remembered, environment.slug, there)
        yield from _contents(desired, at, there, known)


def _contents(
    desired: Workspace, at: At, there: EnvironmentState, remembered: Mapping[str, str]
) -> Iterator[ApiChange]:
    slug = at["environment"]
    matched = match_folders(desired, there.folders, remembered)
    back = {now: folder for folder, now in matched.items()}
    held: dict[tuple[str, str], str] = {}  # actual paths by desired parent folder and actual name
    for path in there.folders:
        above, _, name = path.rpartition("/")
        held[back.get(above, above), name] = path
    stuck = _stuck(
        {
            folder: back.get(other, "") if other else None
            for folder in desired.folders
            if (other := held.get(_key(folder))) != matched.get(folder, "")
        }
    )
    for folder in sorted(stuck):
        now = f"its name is now {matched[folder]}, and " if folder in matched else ""
        reason = f"{now}another folder has its name: rename or delete one of them in Infisical"
        yield blocked_change(f"folder {folder} in {slug}", reason)
    free = {folder: now for folder, now in matched.items() if not _is_in(folder, stuck)}
    yield from _rename_folders(free, held, at, there.folders)
    for folder in desired.folders:
        if folder not in matched and not _is_in(folder, stuck):
            path, name = _key(folder)
            call = Call("POST", (_FOLDERS,), {**at, "path": path or "/", "name": name})
            yield ApiChange("+", f"folder {folder} in {slug}", calls=(call,))
    for service in desired.services.values():
        if not _is_in(service.folder, stuck):
            sources = [each for each in service.imports if not _is_in(each, stuck)]
            present = there.imports.get(service.folder, ())
            yield from _imports(service.folder, sources, at, there.id, present)


def _stuck(holders: Mapping[str, str | None]) -> set[str]:
    """Return the objects that can't get their names, since other objects keep these names.

    Args:
        holders: by each object to make or rename, the present holder of its name: another of these
            objects, an object that stays, or None.
    """
    stuck: set[str] = set()
    while found := {
        each
        for each, holder in holders.items()
        if each not in stuck and holder is not None and holder not in holders.keys() - stuck
    }:
        stuck |= found
    return stuck


def _is_in(folder: str, stuck: Collection[str]) -> bool:
    return any(f"{folder}/".startswith(f"{each}/") for each in stuck)


def _key(folder: str) -> tuple[str, str]:
    parent, _, name = folder.rpartition("/")
    return parent, name


def _rename_folders(
    matched: Mapping[str, str],
    held: dict[tuple[str, str], str],
    at: At,
    there: Mapping[str, str],
) -> Iterator[ApiChange]:
    for folder, now in matched.items():
        parent, name = _key(folder)
        if held.get((parent, name)) == now:
            continue
        calls = []
        if other := held.get((parent, name)):
            # The other folder frees the name now, and gets its own later in this loop.
            calls.append(_name(at, there[other], parent, f"{name}-moving"))
            held[parent, f"{name}-moving"] = other
        calls.append(_name(at, there[now], parent, name))
        held = {key: path for key, path in held.items() if path != now}
        held[parent, name] = now
        detail = f"name {now.rpartition('/')[2]} → {name}"
        yield ApiChange("~", f"folder {folder} in {at['environment']}", detail, tuple(calls))


def _name(at: At, id: str, parent: str, name: str) -> Call:
    return Call("PATCH", (_FOLDERS, id), {**at, "path": parent or "/", "name": name})


def _imports(
    folder: str, sources: Sequence[str], at: At, environment: str, present: Sequence[Import]
) -> Iterator[ApiChange]:
    slug, at = at["environment"], {**at, "path": folder}
    # The positions of all imports, also those of others.
    positions = {str(each.id): each.position for each in present}
    ids = {each.source[1]: each.id for each in present if each.source[0] == environment}
    for source in sources:
        if source not in ids:
            what = f"import of {source} into {folder} in {slug}"
            made = Made(f"secretImport {what}")
            body = {**at, "import": {"environment": slug, "path": source}}
            yield ApiChange("+", what, "", (Call("POST", (_IMPORTS,), body, made),))
            ids[source] = made
            positions[made] = max(positions.values(), default=0) + 1
    desired = [ids[source] for source in sources]
    order = sorted(desired, key=lambda id: positions[id])
    if order != desired:
        names = {id: source for source, id in ids.items()}
        detail = " → ".join(", ".join(names[id] for id in each) for each in (order, desired))
        calls = tuple(
            Call("PATCH", (_IMPORTS, id), {**at, "import": {"position": position}})
            for id, position in _moves(positions, desired)
        )
        yield ApiChange("~", f"imports into {folder} in {slug}", f"order {detail}", calls)


def _moves(positions: dict[str, int], desired: list[str]) -> Iterator[tuple[str, int]]:
    """Yield imports with their new positions, one move after another, up to the desired order.

    Each move shifts the imports between the old and the new position by one, as on the server;
    imports of others are among them.
    """
    for index, id in enumerate(desired):
        first = min(desired[index:], key=lambda each: positions[each])
        if first == id:
            continue
        old, new = positions[id], positions[first]
        for other in positions:
            if new <= positions[other] < old:
                positions[other] += 1
        positions[id] = new
        yield id, new


def match_environments(
    desired: Workspace, actual: Actual, remembered: Mapping[str, str]
) -> dict[str, EnvironmentState]:
    """Return the actual environments by their desired slugs.

    The id of the last run identifies an environment also after a rename; the slug identifies a new
    one.
    """
    by_id = {each.id: each for each in actual.environments}
    slugs = [each.slug for each in desired.environments]
    matched = {slug: by_id[remembered[slug]] for slug in slugs if remembered.get(slug, "") in by_id}
    taken = {each.id for each in matched.values()}
    for each in actual.environments:
        if each.slug in slugs and each.slug not in matched and each.id not in taken:
            matched[each.slug] = each
    return matched


def environments(
    desired: Workspace, actual: Actual, remembered: Mapping[str, str]
) -> Iterator[ApiChange]:
    """Yield the differences in environments: renamed, deleted, missing or out of order.

    An environment whose slug belongs to another one that stays is blocked.
    """
    matched = match_environments(desired, actual, remembered)
    stuck = _stuck_environments(desired, matched, actual)
    for slug in sorted(stuck):
        now = f"its slug is now {matched[slug].slug}, and " if slug in matched else ""
        taken = f"{now}another environment has the slug {slug}"
        reason = f"{taken}: rename or delete one of them in Infisical"
        yield blocked_change(f"environment {slug}", reason)
    free = {slug: each for slug, each in matched.items() if slug not in stuck}
    yield from _renamed_environments(desired, free, actual)
    order = sorted(matched, key=lambda slug: matched[slug].position)
    ids = {slug: each.id for slug, each in matched.items()}
    for environment in desired.environments:
        if environment.slug in matched or environment.slug in stuck:
            continue
        deleted = find_deleted(environment, actual, remembered)
        if deleted:
            yield from _restore(environment, deleted, _path(actual))
            ids[environment.slug] = deleted.id
        else:
            made = Made(f"environment {environment.slug}")
            body = {"name": environment.name, "slug": environment.slug}
            yield ApiChange("+", made, calls=(Call("POST", _path(actual), body, made),))
            ids[environment.slug] = made
        order.append(environment.slug)  # what is new or restored goes to the end
    slugs = [each.slug for each in desired.environments if each.slug in ids]
    if order != slugs:
        calls = tuple(
            Call("PATCH", (*_path(actual), ids[slug]), {"position": position})
            for position, slug in enumerate(slugs, start=1)
        )
        yield ApiChange(
            "~", "environments", f"order {', '.join(order)} → {', '.join(slugs)}", calls
        )


def _stuck_environments(
    desired: Workspace, matched: Mapping[str, EnvironmentState], actual: Actual
) -> set[str]:
    ours = {each.id: slug for slug, each in matched.items()}
    held = {each.slug: ours.get(each.id, "") for each in actual.environments}
    slugs = [each.slug for each in desired.environments]
    return _stuck({slug: held.get(slug) for slug in slugs if held.get(slug) != slug})


def _path(actual: Actual) -> tuple[str, ...]:
    return (_PROJECTS, actual.project_id, "environments")


def _renamed_environments(
    desired: Workspace, matched: Mapping[str, EnvironmentState], actual: Actual
) -> Iterator[ApiChange]:
    parking = _parking(matched, actual)
    for environment in desired.environments:
        there = matched.get(environment.slug)
        if there and (drift := _diff_environment(environment, there)):
            detail = ", ".join(f"{key} {getattr(there, key)} → {drift[key]}" for key in drift)
            call = Call("PATCH", (*_path(actual), there.id), drift)
            yield ApiChange("~", f"environment {environment.slug}", detail, (*parking, call))
            parking = ()


def _parking(matched: Mapping[str, EnvironmentState], actual: Actual) -> tuple[Call, ...]:
    """Return calls that free the slugs of environments that swap their slugs."""
    moving = {slug: each for slug, each in matched.items() if each.slug != slug}
    held = {each.slug: each for each in actual.environments}
    return tuple(
        Call("PATCH", (*_path(actual), held[slug].id), {"slug": f"{held[slug].slug[:57]}-moving"})
        for slug in moving
        if slug in held
    )


def _diff_environment(environment: Environment, there: EnvironmentState) -> dict[str, str]:
    dump = environment.model_dump()
    return {key: value for key, value in dump.items() if getattr(there, key) != value}


def find_deleted(
    environment: Environment, actual: Actual, remembered: Mapping[str, str]
) -> EnvironmentState | None:
    """Return the deleted environment with the id of the last run, or with the desired slug."""
    id = remembered.get(environment.slug)
    candidates = [each for each in actual.deleted if each.id == id or each.slug == environment.slug]
    return min(candidates, key=lambda each: each.id != id, default=None)


def _restore(
    environment: Environment, deleted: EnvironmentState, path: Sequence[str]
) -> Iterator[ApiChange]:
    calls = [Call("POST", (*path, deleted.id, "restore"), {})]
    if drift := _diff_environment(environment, deleted):
        calls.append(Call("PATCH", (*path, deleted.id), drift))
    detail = "deleted → restored, with all that it held"
    yield ApiChange("~", f"environment {environment.slug}", detail, tuple(calls))


def project(desired: Workspace, actual: Actual, remembered: Memory) -> Iterator[ApiChange]:
    """Yield the creation of the project, or the differences in its fields.

    The project is blocked if the environments of the last run are in a project with another slug.
    Its slug is blocked if another project has it.
    """
    what = f"project {desired.project.slug}"
    fields = _fields(desired)
    if actual.project is None:
        known = remembered.environments.values()
        if moved := [actual.elsewhere[id] for id in known if id in actual.elsewhere]:
            yield blocked_change(
                what,
                f"the project of the last run now has the slug {min(moved)!r}, not "
                f"{desired.project.slug!r} as in the project file: set the slug back in Infisical, "
                "or write the new one into the file",
            )
            return
        if actual.slug_holder:
            yield blocked_change(
                what,
                "another project has this slug; this deployment did not make it, and it has other "
                "members: rename or delete it in Infisical, or remove these members if it is yours",
            )
            return
        body = {
            "projectName": desired.project.name,
            "slug": desired.project.slug,
            "type": "secret-manager",
            "shouldCreateDefaultEnvs": False,
            "hasDeleteProtection": fields["hasDeleteProtection"],
        }
        yield ApiChange("+", what, calls=(Call("POST", (_PROJECTS,), body, actual.placeholder),))
        return
    differing = diff_fields(fields, actual.project.fields)
    if "slug" in differing and actual.slug_holder:
        del differing["slug"]
        yield blocked_change(
            what,
            f"its slug is now {actual.project.slug!r}, and another project has its slug: rename "
            "or delete one of them in Infisical",
        )
    if differing:
        call = Call("PATCH", (_PROJECTS, actual.project.id), differing)
        yield ApiChange("~", what, words(differing, actual.project.fields), (call,))


def _fields(desired: Workspace) -> Mapping[str, Any]:
    return {
        "name": desired.project.name,
        "slug": desired.project.slug,
        "hasDeleteProtection": True,
        # Programs read secrets by their exact names, so the server must not capitalize them.
        "autoCapitalization": False,
    }
