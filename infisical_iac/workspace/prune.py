"""Take away access that the file does not give, and what it no longer names.

Of what is not this project's own, no more than its access goes. An identity is its own by the
metadata or the host's memory, whatever else by that memory of what runs made. Nothing else is ever
deleted, but as what goes along with something that holds it; that is then deleted only once its
name was typed.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from infisical_iac.api import identities
from infisical_iac.api.client import Client
from infisical_iac.api.identities import Identity
from infisical_iac.api.lists import gather
from infisical_iac.api.universal_auth import universal_auth
from infisical_iac.core.errors import Refused
from infisical_iac.workspace import holdings
from infisical_iac.workspace.change import Call, Change
from infisical_iac.workspace.credentials import DIRECTORY
from infisical_iac.workspace.foreign import ForeignAccess
from infisical_iac.workspace.holdings import Holding
from infisical_iac.workspace.memory import Memory
from infisical_iac.workspace.model import Workspace
from infisical_iac.workspace.state import AccountState, Actual, Import
from infisical_iac.workspace.structure import match_environments, match_folders


@dataclass(frozen=True)
class Unnamed:
    """Hold what of one environment is to go.

    Attributes:
        folders: their paths, the innermost first; one empty path for the environment itself.
        imports: those in folders that stay, and those in folders that go.
    """

    holding: Holding
    folders: tuple[str, ...]
    imports: tuple[Import, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Return whether the environment itself goes, and everything with it."""
        return "" in self.folders

    def goes_with(self, folder: str, path: str) -> bool:
        """Return whether `folder` is the innermost of `folders` that holds `path` or is it."""
        inside = (each for each in self.folders if f"{path}/".startswith(f"{each}/"))
        return next(inside, None) == folder


def unnamed(
    desired: Workspace, actual: Actual, memory: Memory, held: Iterable[Holding]
) -> list[Unnamed]:
    """Return what was made and is not desired, by environment.

    Args:
        memory: what is not among `made` is never named.
        held: what the environments of `actual` hold.
    """
    named = {each.id for each in match_environments(desired, actual, memory.environments).values()}
    found = (_unnamed(desired, memory, each, named) for each in held)
    return [each for each in found if each.folders or each.imports]


def _unnamed(desired: Workspace, memory: Memory, held: Holding, named: Collection[str]) -> Unnamed:
    id, made = held.environment.id, memory.made
    if id in made and id not in named:
        return Unnamed(held, ("",))
    services = desired.services.values() if id in named else ()
    wanted = {(service.folder, (id, each)) for service in services for each in service.imports}
    stay = set(desired.folders) if id in named else set()
    # One that was renamed stays too, with what it imports, also where its name is taken.
    known = memory.folders.get(id, {})
    now = match_folders(desired, held.folders, known) if id in named else {}
    stay |= {*now.values()}
    back = {path: folder for folder, path in now.items()}
    folders = [path for path, each in held.folders.items() if each in made and path not in stay]
    imports = [
        each
        for each in held.imports
        if each.id in made and (back.get(each.folder, each.folder), each.source) not in wanted
    ]
    return Unnamed(held, tuple(sorted(folders, key=_innermost_first)), tuple(imports))


def _innermost_first(path: str) -> tuple[int, str]:
    return -path.count("/"), path


def describe_contents(
    leaving: Unnamed, folder: str, made: frozenset[str], secrets: Mapping[str, int]
) -> str:
    """Return what a folder would take along that is not this project's to judge, in words.

    Args:
        folder: one of `leaving.folders`; what is in another one further inside goes with that.
        secrets: how many each folder of the environment has.
    """
    held = leaving.holding
    foreign = [path for path, id in held.folders.items() if id not in made]
    imports = [each.folder for each in held.imports if each.id not in made]
    return _listed(
        {
            "secret": sum(n for path, n in secrets.items() if leaving.goes_with(folder, path)),
            "foreign folder": sum(leaving.goes_with(folder, path) for path in foreign),
            "foreign import": sum(leaving.goes_with(folder, path) for path in imports),
        }
    )


def _listed(counts: Mapping[str, int]) -> str:
    words = [f"{n} {what}{'' if n == 1 else 's'}" for what, n in counts.items() if n]
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


@dataclass(frozen=True)
class Removal:
    """One thing to take away.

    Attributes:
        id: of what is taken away, the same in every reading.
        change: what people read of it, and the requests.
        name: what must be typed first; empty where that isn't needed.
        holds: what goes along with it, such as `12 secrets`; the reason for the name.
        file: the path of the file on the host that it is, if it is one.
    """

    id: str
    change: Change
    name: str = ""
    holds: str = ""
    file: str = ""


def find(
    client: Client,
    desired: Workspace,
    actual: Actual,
    memory: Memory,
    *,
    findings: Sequence[ForeignAccess],
    credentials: Callable[[], Mapping[str, str]],
) -> list[Removal]:
    """Return all access that the file does not give, and all that this project made and the file no
    longer names, in the order to take it away.

    Args:
        client: with the token of the deployer.
        actual: as read just now.
        findings: the access, without what is accepted.
        credentials: reads the client ids in the credentials on the host, by path; called only
            where an identity is to be removed.

    Raises ApiError or Unreachable, and what `credentials` does.
    """
    if actual.project is None:
        return []
    left = [each.id for each in findings if each.removal is None]
    going = sorted(identities.read_all(client, left), key=lambda each: (each.name, each.id))
    accounts = gather([partial(_account, client, each) for each in going])
    found = [
        *(Removal(each.id, each.removal) for each in findings if each.removal is not None),
        *_identities(accounts, credentials() if accounts else {}),
    ]
    if memory.made:
        project = actual.project.id
        held = holdings.read(client, project, actual.environments)
        unnamed_here = unnamed(desired, actual, memory, held)
        slugs = [each.holding.environment.slug for each in unnamed_here if each.folders]
        counts = gather([partial(holdings.count_secrets, client, project, slug) for slug in slugs])
        found += removals(project, memory, unnamed_here, dict(zip(slugs, counts, strict=True)))
    return found


def _account(client: Client, identity: Identity) -> AccountState:
    has_auth = identity.has_universal_auth
    return AccountState(identity, universal_auth(client, identity.id) if has_auth else None)


def _identities(
    accounts: Sequence[AccountState], credentials: Mapping[str, str]
) -> Iterator[Removal]:
    """The identities, and before them their credentials: a file must not outlive its use."""
    clients = {each.auth.client_id for each in accounts if each.auth}
    for path, client_id in sorted(credentials.items()):
        if client_id in clients:
            name = path.removeprefix(f"{DIRECTORY}/").removesuffix(".env")
            yield Removal(path, Change("-", f"credentials {name}"), file=path)
    for each in accounts:
        call = Call("DELETE", ("/api/v1/identities", each.identity.id))
        yield Removal(each.identity.id, Change("-", f"identity {each.identity.name}", "", (call,)))


def removals(
    project: str,
    memory: Memory,
    left: Sequence[Unnamed],
    secrets: Mapping[str, Mapping[str, int]],
) -> list[Removal]:
    """Return how to take away what leaves: imports, then folders, environments last.

    Args:
        project: the id of the project.
        secrets: by the slug of each environment whose folders leave, how many secrets each
            folder has.
    """
    found: list[Removal] = []
    for each in left:
        found += [_import(project, each.holding, one) for one in each.imports]
    for each in sorted(left, key=lambda each: each.is_whole):
        for path in each.folders:
            slug = each.holding.environment.slug
            holds = describe_contents(each, path, memory.made, secrets[slug])
            found.append(
                _folder(project, slug, each.holding.folders[path], path, holds)
                if path
                else _environment(project, each.holding, holds)
            )
    return found


def _import(project: str, held: Holding, gone: Import) -> Removal:
    slug = held.environment.slug
    body = {"projectId": project, "environment": slug, "path": gone.folder}
    call = Call("DELETE", ("/api/v2/secret-imports", gone.id), body)
    what = f"import of {gone.source[1]} into {gone.folder} in {slug}"
    return Removal(gone.id, Change("-", what, "", (call,)))


def _folder(project: str, slug: str, id: str, path: str, holds: str) -> Removal:
    parent = path.rpartition("/")[0] or "/"
    body = {"projectId": project, "environment": slug, "path": parent}
    # Without force the server itself refuses should something be in it by now.
    call = Call("DELETE", ("/api/v2/folders", id), {**body, "forceDelete": True} if holds else body)
    change = Change("-", f"folder {path} in {slug}", f"with {holds}" if holds else "", (call,))
    return Removal(id, change, f"{slug}{path}" if holds else "", holds)


def _environment(project: str, held: Holding, holds: str) -> Removal:
    id, slug = held.environment.id, held.environment.slug
    call = Call("DELETE", ("/api/v1/projects", project, "environments", id))
    detail = "restorable until the server's grace period ends"
    change = Change(
        "-", f"environment {slug}", f"with {holds}, {detail}" if holds else detail, (call,)
    )
    return Removal(id, change, slug if holds else "", holds)


def still(approved: Iterable[Removal], found: Iterable[Removal]) -> list[Removal]:
    """Return what was approved and, as found just now, is still to be taken away.

    Raises Refused for what came to hold something since, so that nobody typed its name.
    """
    names = {each.id: each.name for each in approved}
    again = [each for each in found if each.id in names]
    for each in again:
        if each.name and not names[each.id]:
            raise Refused(f"{each.change.what} has come to hold {each.holds}: plan again")
    return again
