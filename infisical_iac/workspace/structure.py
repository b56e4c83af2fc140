"""Compare the project, its environments and its folders."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from infisical_iac.workspace.change import Call, Change, Made, blocked, drift, words
from infisical_iac.workspace.memory import Memory
from infisical_iac.workspace.model import Environment, Workspace
from infisical_iac.workspace.state import Actual, DeletedEnvironment, EnvironmentState

_FOLDERS, _IMPORTS = "/api/v2/folders", "/api/v2/secret-imports"
_NOTHING: Mapping[str, str] = {}


def match_folders(
    desired: Workspace, there: Mapping[str, str], remembered: Mapping[str, str]
) -> dict[str, str]:
    """Return where each of the desired folders is now, by desired path; those left out are not.

    Args:
        there: the ids of the folders of an environment, by path.
        remembered: the same as after the last run, by desired path.
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
        # One deleted and made again by hand is taken over.
        elif path in there and path not in known.values():
            matched[folder] = path
    return matched


class Place:
    """One environment, in which requests find folders by what they are called at that moment."""

    def __init__(self, project: str, slug: str, there: EnvironmentState | None) -> None:
        self._project, self.slug, self.there = project, slug, there

    def body(self, path: str) -> dict[str, str]:
        """Return what every request says of where it acts."""
        return {"projectId": self._project, "environment": self.slug, "path": path or "/"}


def changes(
    desired: Workspace, place: Place, remembered: Mapping[str, str] = _NOTHING
) -> Iterator[Change]:
    """Folders renamed or missing, and imports missing or out of order.

    A folder whose name another one has, which stays, is blocked, and nothing is done in it.
    """
    there = place.there.folders if place.there else _NOTHING
    matched = match_folders(desired, there, remembered)
    back = {now: folder for folder, now in matched.items()}
    held: dict[tuple[str, str], str] = {}  # which folder has which name in which desired folder
    for path in there:
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
        now = f"it is called {matched[folder]} now, and " if folder in matched else ""
        reason = f"{now}another folder has its name: rename or delete one of them in Infisical"
        yield blocked(f"folder {folder} in {place.slug}", reason)
    free = {folder: now for folder, now in matched.items() if not _is_in(folder, stuck)}
    yield from _renamed(free, held, place, there)
    for folder in desired.folders:
        if folder not in matched and not _is_in(folder, stuck):
            path, _, name = folder.rpartition("/")
            call = Call("POST", (_FOLDERS,), {**place.body(path), "name": name})
            yield Change("+", f"folder {folder} in {place.slug}", calls=(call,))
    for service in desired.services.values():
        if not _is_in(service.folder, stuck):
            sources = tuple(each for each in service.imports if not _is_in(each, stuck))
            yield from _imports(service.folder, sources, place)


def _stuck(holders: Mapping[str, str | None]) -> set[str]:
    """Return what can't get its name, since what has it stays as it is.

    Args:
        holders: by each that is to be made or renamed, the one that has its name now: another of
            these, something else that stays, or None.
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


def _renamed(
    matched: Mapping[str, str],
    held: dict[tuple[str, str], str],
    place: Place,
    there: Mapping[str, str],
) -> Iterator[Change]:
    for folder, now in matched.items():
        parent, name = _key(folder)
        old = now.rpartition("/")[2]
        if held.get((parent, name)) == now:
            continue
        calls = []
        if other := held.get((parent, name)):
            # It gets its own name in its turn, and gives way until then.
            calls.append(_name(place, there[other], parent, f"{name}-moving"))
            held[parent, f"{name}-moving"] = other
        calls.append(_name(place, there[now], parent, name))
        held = {key: path for key, path in held.items() if path != now}
        held[parent, name] = now
        what = f"folder {folder} in {place.slug}"
        yield Change("~", what, f"name {old} → {name}", tuple(calls))


def _name(place: Place, id: str, parent: str, name: str) -> Call:
    return Call("PATCH", (_FOLDERS, id), {**place.body(parent), "name": name})


def _imports(folder: str, sources: tuple[str, ...], place: Place) -> Iterator[Change]:
    there = place.there
    present = there.imports.get(folder, ()) if there else ()
    # Which positions ours and others have, and which place in the order.
    positions = {str(each.id): each.position for each in present}
    ids = {each.source[1]: each.id for each in present if there and each.source[0] == there.id}
    for source in sources:
        if source not in ids:
            what = f"import of {source} into {folder} in {place.slug}"
            made = Made(f"secretImport {what}")
            origin = {"environment": place.slug, "path": source}
            call = Call("POST", (_IMPORTS,), {**place.body(folder), "import": origin}, made)
            yield Change("+", what, "", (call,))
            ids[source] = made
            positions[made] = max(positions.values(), default=0) + 1
    wanted = [ids[source] for source in sources]
    order = sorted(wanted, key=lambda id: positions[id])
    if order != wanted:
        names = {id: source for source, id in ids.items()}
        detail = " → ".join(", ".join(names[id] for id in each) for each in (order, wanted))
        calls = tuple(
            Call("PATCH", (_IMPORTS, id), {**place.body(folder), "import": {"position": position}})
            for id, position in _moves(positions, wanted)
        )
        yield Change("~", f"imports into {folder} in {place.slug}", f"order {detail}", calls)


def _moves(positions: dict[str, int], wanted: list[str]) -> Iterator[tuple[str, int]]:
    """Yield which import to put where, one after another, until they are in the wanted order.

    Those between the old place of an import and its new one move up by one, as the server does;
    imports that others made are among them.
    """
    for index, id in enumerate(wanted):
        first = min(wanted[index:], key=lambda each: positions[each])
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
    """Return which environment that is there is which of the desired ones, by desired slug.

    The id of the last run tells an environment whatever it is called now; a slug tells one that
    was not here at the last run.
    """
    by_id = {each.id: each for each in actual.environments}
    wanted = [each.slug for each in desired.environments]
    matched = {
        slug: by_id[remembered[slug]] for slug in wanted if remembered.get(slug, "") in by_id
    }
    taken = {each.id for each in matched.values()}
    for each in actual.environments:
        if each.slug in wanted and each.slug not in matched and each.id not in taken:
            matched[each.slug] = each
    return matched


def environments(
    desired: Workspace, actual: Actual, remembered: Mapping[str, str]
) -> Iterator[Change]:
    """Environments renamed, deleted, missing or out of order.

    One whose slug another environment has, which stays, is blocked.
    """
    matched = match_environments(desired, actual, remembered)
    stuck = _stuck_environments(desired, matched, actual)
    for slug in sorted(stuck):
        now = f"its slug is {matched[slug].slug} now, and " if slug in matched else ""
        reason = f"{now}another environment has it: rename or delete one of them in Infisical"
        yield blocked(f"environment {slug}", reason)
    free = {slug: each for slug, each in matched.items() if slug not in stuck}
    yield from _renamed_environments(desired, free, actual)
    order = sorted(matched, key=lambda slug: matched[slug].position)
    ids = {slug: each.id for slug, each in matched.items()}
    for wanted in desired.environments:
        if wanted.slug in matched or wanted.slug in stuck:
            continue
        deleted = deleted_one(wanted, actual, remembered)
        if deleted:
            yield from _restored(wanted, deleted, _path(actual))
            ids[wanted.slug] = deleted.id
        else:
            made = Made(f"environment {wanted.slug}")
            body = {"name": wanted.name, "slug": wanted.slug}
            yield Change("+", made, calls=(Call("POST", _path(actual), body, made),))
            ids[wanted.slug] = made
        order.append(wanted.slug)  # what is new or restored goes to the end
    slugs = [each.slug for each in desired.environments if each.slug in ids]
    if order != slugs:
        calls = tuple(
            Call("PATCH", (*_path(actual), ids[slug]), {"position": position})
            for position, slug in enumerate(slugs, start=1)
        )
        yield Change("~", "environments", f"order {', '.join(order)} → {', '.join(slugs)}", calls)


def _stuck_environments(
    desired: Workspace, matched: Mapping[str, EnvironmentState], actual: Actual
) -> set[str]:
    ours = {each.id: slug for slug, each in matched.items()}
    held = {each.slug: ours.get(each.id, "") for each in actual.environments}
    slugs = [each.slug for each in desired.environments]
    return _stuck({slug: held.get(slug) for slug in slugs if held.get(slug) != slug})


def _path(actual: Actual) -> tuple[str, ...]:
    project = actual.project.id if actual.project else Made("project")
    return ("/api/v1/projects", project, "environments")


def _renamed_environments(
    desired: Workspace, matched: Mapping[str, EnvironmentState], actual: Actual
) -> Iterator[Change]:
    parking = _parking(matched, actual)
    for wanted in desired.environments:
        there = matched.get(wanted.slug)
        drift = _drift(wanted, there.slug, there.name) if there else {}
        if there and drift:
            detail = ", ".join(f"{key} {getattr(there, key)} → {drift[key]}" for key in drift)
            call = Call("PATCH", (*_path(actual), there.id), drift)
            yield Change("~", f"environment {wanted.slug}", detail, (*parking, call))
            parking = ()


def _parking(matched: Mapping[str, EnvironmentState], actual: Actual) -> tuple[Call, ...]:
    """Calls that first give way where environments hold each other's slugs."""
    moving = {slug: each for slug, each in matched.items() if each.slug != slug}
    held = {each.slug: each for each in actual.environments}
    return tuple(
        Call("PATCH", (*_path(actual), held[slug].id), {"slug": f"{held[slug].slug[:57]}-moving"})
        for slug in moving
        if slug in held
    )


def _drift(wanted: Environment, slug: str, name: str) -> dict[str, str]:
    there = {"slug": slug, "name": name}
    return {key: value for key, value in wanted.model_dump().items() if there[key] != value}


def deleted_one(
    wanted: Environment, actual: Actual, remembered: Mapping[str, str]
) -> DeletedEnvironment | None:
    """The deleted environment that a desired one was, by its id of the last run or its slug."""
    id = remembered.get(wanted.slug)
    candidates = [each for each in actual.deleted if each.id == id or each.slug == wanted.slug]
    return min(candidates, key=lambda each: each.id != id, default=None)


def _restored(
    wanted: Environment, deleted: DeletedEnvironment, path: tuple[str, ...]
) -> Iterator[Change]:
    calls = [Call("POST", (*path, deleted.id, "restore"), {})]
    drift = _drift(wanted, deleted.slug, deleted.name)
    if drift:
        calls.append(Call("PATCH", (*path, deleted.id), drift))
    detail = "deleted → restored, with all that it held"
    yield Change("~", f"environment {wanted.slug}", detail, tuple(calls))


_PROJECTS = "/api/v1/projects"


def project(desired: Workspace, actual: Actual, remembered: Memory) -> Iterator[Change]:
    """The project's own drift, or its creation.

    It is blocked if the environments of the last run are found under another slug, and its slug is
    if another project has it.
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
            yield blocked(
                what,
                f"that of the last run has the slug {moved[0]!r} now, and the workspace file says "
                f"{wanted.slug!r}: set it back in Infisical, or write it into the file",
            )
            return
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
        del differing["slug"]
        yield blocked(
            what,
            f"its slug is {actual.project.slug!r} now, and another project has its slug: rename "
            "or delete one of them in Infisical",
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
    matched = match_environments(desired, actual, remembered.environments)
    project = actual.project.id if actual.project else Made("project")
    stuck = _stuck_environments(desired, matched, actual)
    for wanted in desired.environments:
        there = matched.get(wanted.slug)
        if wanted.slug in stuck:
            continue
        if there is None and deleted_one(wanted, actual, remembered.environments):
            continue
        known = remembered.folders.get(there.id, {}) if there else {}
        yield from changes(desired, Place(project, wanted.slug, there), known)
