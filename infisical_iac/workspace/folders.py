"""Compare folders, and what is imported into them.

A folder is found by its id of the last run, whatever it is called now: its secrets are in it.
"""

from collections.abc import Iterator, Mapping

from infisical_iac.workspace.change import Call, Change, Made
from infisical_iac.workspace.document import WorkspaceError
from infisical_iac.workspace.model import Workspace
from infisical_iac.workspace.state import EnvironmentState

_FOLDERS, _IMPORTS = "/api/v2/folders", "/api/v2/secret-imports"
_NOTHING: Mapping[str, str] = {}


def match(
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

    Raises WorkspaceError if a renamed one's name was given to another folder.
    """
    there = place.there.folders if place.there else _NOTHING
    matched = match(desired, there, remembered)
    yield from _renamed(matched, place, there)
    for folder in desired.folders:
        if folder not in matched:
            path, _, name = folder.rpartition("/")
            call = Call("POST", (_FOLDERS,), {**place.body(path), "name": name})
            yield Change("+", f"folder {folder} in {place.slug}", calls=(call,))
    for service in desired.services.values():
        yield from _imports(service.folder, service.imports, place)


def _renamed(
    matched: Mapping[str, str], place: Place, there: Mapping[str, str]
) -> Iterator[Change]:
    back = {now: folder for folder, now in matched.items()}
    held: dict[tuple[str, str], str] = {}  # which folder has which name in which desired folder
    for path in there:
        above, _, name = path.rpartition("/")
        held[back.get(above, above), name] = path
    for folder, now in matched.items():
        parent, _, name = folder.rpartition("/")
        old = now.rpartition("/")[2]
        if held.get((parent, name)) == now:
            continue
        calls = []
        if other := held.get((parent, name)):
            if back.get(other, other) == other:
                raise WorkspaceError(
                    f"the folder {folder} of the last run is called {now} in {place.slug} now, and "
                    f"another has its name: rename or delete one of them in Infisical"
                )
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
