"""Plan and apply the changes of a project, and the removal of what its file no longer names.

Objects of others lose only their access. The project's own identities are known by their metadata
or by the host's memory, its other objects by the memory's list of what runs made. An object of
others is deleted only with an own object that contains it, whose name a person must type first.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from infisical_iac.agent import contents, identities
from infisical_iac.agent.api import gather, gather_by
from infisical_iac.agent.identities import Identity, UniversalAuth, universal_auth
from infisical_iac.api.client import Client
from infisical_iac.core.errors import CheckFailed, Refused
from infisical_iac.core.wording import join_names
from infisical_iac.workspace import environment_contents, foreign, isolation, second_factor
from infisical_iac.workspace.actual import read
from infisical_iac.workspace.converge import apply, converge, difference, list_rename_notes
from infisical_iac.workspace.credentials import DIRECTORY
from infisical_iac.workspace.environment_contents import readable
from infisical_iac.workspace.foreign import AccessState, ForeignAccess
from infisical_iac.workspace.foreign_actual import find_foreign
from infisical_iac.workspace.goal import Goal, Memory, Reached, find_unnamed_parts, pair
from infisical_iac.workspace.memory import (
    known_folders,
    learn,
    list_isolation_notes,
    refuse_unmoved,
)
from infisical_iac.workspace.model import Workspace
from infisical_iac.workspace.state import Actual, ApiChange, Call, EnvironmentState, Import
from infisical_iac.workspace.structure import match_environments, match_folders

# The suffix of the ids of logins with a client secret, among foreign access.
_UNIVERSAL = " universal-auth"


@dataclass(frozen=True)
class Unnamed:
    """The objects of one environment that are to be removed.

    Attributes:
        folders: their paths, the innermost first; an empty path means the environment itself.
        imports: the imports in folders that stay and in folders that are removed.
    """

    environment: EnvironmentState
    folders: tuple[str, ...]
    imports: tuple[Import, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Return whether the environment itself is removed, with everything in it."""
        return "" in self.folders

    def goes_with(self, folder: str, path: str) -> bool:
        """Return whether `folder` is the innermost of `folders` that is or contains `path`."""
        inside = (each for each in self.folders if f"{path}/".startswith(f"{each}/"))
        return next(inside, None) == folder


def find_unnamed(
    desired: Workspace, actual: Actual, memory: Memory, held: Iterable[EnvironmentState]
) -> list[Unnamed]:
    """Return the objects that runs made and that are no longer desired, by environment.

    Args:
        memory: only objects in its `made` are returned.
        held: the contents of the environments of `actual`.
    """
    matched = match_environments(desired, actual, memory.environments)
    named = {each.id: slug for slug, each in matched.items()}
    found = []
    for each in held:
        id, made = each.id, memory.made
        if id in made and id not in named:
            found.append(Unnamed(each, ("",)))
            continue
        services = desired.services.values() if id in named else ()
        desired_imports = {
            (service.folder, (id, one)) for service in services for one in service.imports
        }
        # A renamed folder stays too, with its imports, also if another object has its name.
        known = known_folders(desired, actual, memory, named.get(id, ""), each)
        now = match_folders(desired, each.folders, known) if id in named else {}
        back = {path: folder for folder, path in now.items()}
        stay = {*desired.folders, *back} if id in named else set()
        folders = [path for path, one in each.folders.items() if one in made and path not in stay]
        folders.sort(key=lambda path: (-path.count("/"), path))
        imports = [one for one in each.all_imports if one.id in made]
        gone = [
            one
            for one in imports
            if (back.get(one.folder, one.folder), one.source) not in desired_imports
        ]
        if folders or gone:
            found.append(Unnamed(each, tuple(folders), tuple(gone)))
    return found


def describe_contents(
    leaving: Unnamed, folder: str, made: frozenset[str], secrets: Mapping[str, int]
) -> str:
    """Return a text on the contents of others that are removed with a folder.

    Args:
        folder: one of `leaving.folders`; contents of another one inside it are left out.
        secrets: the number in each folder of the environment.
    """
    held = leaving.environment
    foreign = [path for path, id in held.folders.items() if id not in made]
    imports = [each.folder for each in held.all_imports if each.id not in made]
    return _enumerate(
        {
            "secret": sum(n for path, n in secrets.items() if leaving.goes_with(folder, path)),
            "foreign folder": sum(leaving.goes_with(folder, path) for path in foreign),
            "foreign import": sum(leaving.goes_with(folder, path) for path in imports),
        }
    )


def _enumerate(counts: Mapping[str, int]) -> str:
    words = [f"{n} {what}{'' if n == 1 else 's'}" for what, n in counts.items() if n]
    return join_names(words)


@dataclass(frozen=True)
class Removal:
    """One object to remove.

    Attributes:
        id: the id of the object, the same in every reading.
        change: its line in the plan, and the requests.
        name: the name that a person must type first; empty if none is needed.
        holds: the contents that are removed with it, such as `12 secrets`; the reason for the name.
        file: its path if it is a file on the host.
    """

    id: str
    change: ApiChange
    name: str = ""
    holds: str = ""
    file: str = ""


def find_removals(
    client: Client,
    goal: Goal,
    actual: Actual,
    findings: Sequence[ForeignAccess],
    credentials: Callable[[], Mapping[str, str]],
) -> list[Removal]:
    """Return the removals of foreign access and of objects that the file no longer names, in order.

    Args:
        actual: the state read last.
        findings: the foreign access, without accepted access.
        credentials: reads the client ids in the credentials on the host, by path; called only
            where an identity is to be removed.
    """
    if not actual.project_ids:
        return []
    left = dict.fromkeys(each.id for each in findings if each.removal is None)
    going = sorted(identities.read_all(client, left), key=lambda each: (each.name, each.id))
    # Identities that now log in with tokens; credentials for the former client secret may be on the
    # host.
    replaced = [
        each.id.removesuffix(_UNIVERSAL)
        for each in findings
        if each.kind == "login" and each.id.endswith(_UNIVERSAL)
    ]
    able = [*replaced, *(each.id for each in going if each.has_universal_auth)]
    auths = gather_by(able, partial(universal_auth, client))
    found = [
        *(Removal(each.id, each.removal) for each in findings if each.removal is not None),
        *_identities(going, auths, credentials() if able else {}),
    ]
    parts = gather(partial(_in_project, client, *each) for each in pair(goal, actual))
    return [*found, *(each for part in parts for each in part), *_projects(client, goal)]


def _in_project(client: Client, goal: Goal, actual: Actual) -> list[Removal]:
    memory = goal.memory
    if actual.project is None or not memory.made:
        return []
    project = actual.project.id
    known = _known_imports(goal.desired, actual, memory)
    held = environment_contents.add_imports(client, project, actual.environments, known)
    unnamed_here = find_unnamed(goal.desired, actual, memory, held)
    slugs = [each.environment.slug for each in unnamed_here if each.folders]
    counts = gather_by(slugs, partial(environment_contents.count_secrets, client, project))
    found = removals(project, memory, unnamed_here, counts)
    if not goal.key:
        return found
    of = f" of project {goal.desired.project.slug}"
    return [
        replace(each, change=replace(each.change, what=each.change.what + of)) for each in found
    ]


def _known_imports(
    desired: Workspace, actual: Actual, memory: Memory
) -> dict[tuple[str, str], Sequence[Import]]:
    """Return the imports that were read with the state, by environment and folder."""
    found: dict[tuple[str, str], Sequence[Import]] = {}
    for slug, each in match_environments(desired, actual, memory.environments).items():
        # The state has them by the desired path of a folder, which may still have another one.
        known = known_folders(desired, actual, memory, slug, each)
        now = match_folders(desired, each.folders, known)
        found |= {(each.slug, now[at]): each.imports[at] for at in each.imports if at in now}
    return found


def _projects(client: Client, goal: Goal) -> Iterator[Removal]:
    """Yield the removals of whole projects, of services or folders that the file no longer names.

    Projects that no run made stay, though they are remembered. A change of the isolation removes
    nothing, since the file still names the services and folders.
    """
    known = [each for each in find_unnamed_parts(goal).values() if each.is_made]
    listed = {each["id"]: each for each in contents.projects(client)} if known else {}
    for each in known:
        if (there := listed.get(each.project)) is None:
            continue
        secrets = contents.secrets_of(client, there, values=False).values()
        slug, count = there["slug"], sum(map(len, secrets))
        path = ("/api/v1/projects", each.project)
        calls = (
            Call("PATCH", path, {"name": there["name"], "hasDeleteProtection": False}),
            Call("DELETE", path),
        )
        holds = _enumerate({"secret": count})
        change = ApiChange("-", f"project {slug}", f"with {holds}" if holds else "", calls)
        yield Removal(each.project, change, slug if holds else "", holds)


def _identities(
    going: Sequence[Identity],
    auths: Mapping[str, UniversalAuth | None],
    credentials: Mapping[str, str],
) -> Iterator[Removal]:
    """Return the removals of identities, each after those of its credentials on the host."""
    clients = {each.client_id for each in auths.values() if each}
    for path, client_id in sorted(credentials.items()):
        if client_id in clients:
            name = path.removeprefix(f"{DIRECTORY}/").removesuffix(".env")
            yield Removal(path, ApiChange("-", f"credentials {name}"), file=path)
    for each in going:
        call = Call("DELETE", ("/api/v1/identities", each.id))
        yield Removal(each.id, ApiChange("-", f"identity {each.name}", "", (call,)))


def removals(
    project: str,
    memory: Memory,
    left: Sequence[Unnamed],
    secrets: Mapping[str, Mapping[str, int]],
) -> list[Removal]:
    """Return the removals in order: imports, then folders, environments last.

    Args:
        project: the id of the project.
        secrets: the number of secrets by folder, by the slug of each environment that has folders
            to remove.
    """
    found = [
        _remove_import(project, each.environment, one) for each in left for one in each.imports
    ]
    for each in sorted(left, key=lambda each: each.is_whole):
        for path in each.folders:
            slug = each.environment.slug
            holds = describe_contents(each, path, memory.made, secrets[slug])
            found.append(
                _remove_folder(project, slug, each.environment.folders[path], path, holds)
                if path
                else _remove_environment(project, each.environment, holds)
            )
    return found


def _remove_import(project: str, held: EnvironmentState, gone: Import) -> Removal:
    slug = held.slug
    body = {"projectId": project, "environment": slug, "path": gone.folder}
    call = Call("DELETE", ("/api/v2/secret-imports", gone.id), body)
    what = f"import of {gone.source[1]} into {gone.folder} in {slug}"
    return Removal(gone.id, ApiChange("-", what, "", (call,)))


def _remove_folder(project: str, slug: str, id: str, path: str, holds: str) -> Removal:
    parent = path.rpartition("/")[0] or "/"
    body = {"projectId": project, "environment": slug, "path": parent}
    # Without force the server refuses if anything is in it by now.
    call = Call("DELETE", ("/api/v2/folders", id), {**body, "forceDelete": True} if holds else body)
    change = ApiChange("-", f"folder {path} in {slug}", f"with {holds}" if holds else "", (call,))
    return Removal(id, change, f"{slug}{path}" if holds else "", holds)


def _remove_environment(project: str, held: EnvironmentState, holds: str) -> Removal:
    id, slug = held.id, held.slug
    call = Call("DELETE", ("/api/v1/projects", project, "environments", id))
    detail = "restorable until the server's grace period ends"
    change = ApiChange(
        "-", f"environment {slug}", f"with {holds}, {detail}" if holds else detail, (call,)
    )
    return Removal(id, change, slug if holds else "", holds)


def filter_due(approved: Iterable[Removal], found: Iterable[Removal]) -> list[Removal]:
    """Return the approved removals that are still due in a new reading.

    Raises Refused for an object that was empty at the approval and has contents now, since its name
    was not typed.
    """
    names = {each.id: each.name for each in approved}
    again = [each for each in found if each.id in names]
    for each in again:
        if each.name and not names[each.id]:
            raise Refused(f"{each.change.what} now holds {each.holds}: plan again")
    return again


@dataclass(frozen=True)
class WorkspacePlan:
    """The planned changes, and those that only `--prune` makes.

    Attributes:
        changes: the differences to correct.
        blocked: the differences that only a person can correct.
        removals: the removals due.
        unnamed: objects that the file no longer names and this plan leaves in place.
        foreign: access that the file does not give and that stays.
        notes: sentences that are not changes.
        left: sentences on credentials of services that the file no longer names.
        rotate: the secrets that people who lose access could read, by e-mail.
    """

    changes: list[ApiChange]
    blocked: list[ApiChange]
    removals: list[Removal]
    unnamed: list[Removal]
    foreign: list[ForeignAccess]
    notes: list[str]
    left: list[str]
    rotate: dict[str, list[str]]

    @property
    def due(self) -> list[ApiChange]:
        """Return all changes due, in order."""
        return [*self.changes, *(each.change for each in self.removals)]


def compute_plan(reached: Reached, *, prune: bool) -> WorkspacePlan:
    """Return the plan, from a comparison that changes nothing.

    Raises UserError if the actual state can't be read.
    """
    refuse_unmoved(reached)
    seen = _observe(reached)
    found = difference(reached, seen.actual)
    changes = [each for each in found if each.kind != "!"]
    blocked = [each for each in found if each.kind == "!"]
    removals = _removals(reached, seen)
    left = foreign.left_behind(seen.findings, reached, seen.actual, prunes=prune)
    notes = [
        *seen.notes,
        *second_factor.describe(
            reached.desired, seen.access.people, reached.factors, by_role=not reached.grants
        ),
        *list_rename_notes(reached.desired, seen.actual, moves_files=False),
        *list_isolation_notes(reached),
        *reached.desired.warnings(),
    ]
    if prune:
        rotate = _rotate(reached, seen)
        return WorkspacePlan(changes, blocked, removals, [], [], notes, left, rotate)
    reported = {each.id for each in seen.findings}
    unnamed = [each for each in removals if each.id not in reported]
    return WorkspacePlan(changes, blocked, [], unnamed, seen.findings, notes, left, {})


def apply_plan(reached: Reached, plan: WorkspacePlan, report: Callable[[ApiChange], None]) -> None:
    """Apply the changes until nothing differs, and then the removals.

    Args:
        report: called with each change once it is made.

    Raises UserError. Changes made before it stay, and the next run continues from there.
    """
    made: list[ApiChange] = []

    def note(change: ApiChange) -> None:
        made.append(change)
        report(change)

    goal, replaced = isolation.settle(reached.client, reached)
    if replaced:
        if reached.remember is None:
            raise CheckFailed(
                f"{replaced.detail}: give --isolation projects", code="checks.isolation"
            )
        report(replaced)
        reached.remember(goal.memory)
    reached = replace(reached, isolation=goal.isolation, memory=goal.memory)
    actual = converge(reached.client, reached, note, reached.admin)
    if reached.remember:
        memory = learn(reached.client, reached, actual, made)
        reached.remember(memory)
        reached = replace(reached, memory=memory)
    if plan.removals:
        now = _removals(reached, _observe(reached))
        _remove(reached, filter_due(plan.removals, now), report)


@dataclass(frozen=True)
class _Seen:
    """The actual state, and the access that the file neither gives nor accepts."""

    actual: Actual
    access: AccessState
    findings: list[ForeignAccess]
    notes: list[str]


def _observe(reached: Reached) -> _Seen:
    actual = read(reached.client, reached, reached.admin)
    found = find_foreign(
        reached.client,
        reached,
        actual,
        reached.admin,
        deployer=reached.deployer,
        deployer_secret=reached.deployer_secret,
    )
    return _Seen(actual, *found)


def _removals(reached: Reached, seen: _Seen) -> list[Removal]:
    return find_removals(reached.client, reached, seen.actual, seen.findings, reached.credentials)


def _rotate(reached: Reached, seen: _Seen) -> dict[str, list[str]]:
    going = {each.id for each in seen.findings if each.kind == "person"}
    found: dict[str, list[str]] = {}
    for goal, actual in pair(reached, seen.actual):
        members = seen.access.parts.get(goal.key, seen.access).people.members.items()
        persons = {email: each for email, each in members if each.membership_id in going}
        names = environment_contents.read_names(reached.client, actual) if persons else {}
        for email, each in persons.items():
            found.setdefault(email, []).extend(readable(each, names))
    return dict(sorted(found.items()))


def _remove(reached: Reached, removals: list[Removal], report: Callable[[ApiChange], None]) -> None:
    reached.discard([each.file for each in removals if each.file])
    changes = [each.change for each in removals]
    for change in apply(reached.client, changes, admin=reached.admin):
        report(change)
    if reached.remember:
        reached.remember(reached.memory.without({each.id for each in removals}))
