"""Compare the access to each folder in the project file with that on the server."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

from infisical_iac.agent.identities import DEPLOYER
from infisical_iac.workspace.environment_contents import Level, find_level
from infisical_iac.workspace.foreign import AccessState
from infisical_iac.workspace.goal import Goal, parts_of, role_in
from infisical_iac.workspace.model import Workspace
from infisical_iac.workspace.second_factor import is_suspended
from infisical_iac.workspace.state import Actual, PersonState, Privilege, roles_of

Kind = Literal["person", "group", "identity"]

_FOLDERS_OF_A_TABLE = 8
_ROLES: Mapping[str, Level] = {
    "none": "",
    "viewer": "reads",
    "developer": "writes",
    "admin": "manages",
}
_UNKNOWN = "not in the project file"


class FolderPlace(NamedTuple):
    """A folder of an environment."""

    environment: str
    folder: str


class Cell(NamedTuple):
    """The access of one holder to a place: on the server, or by the file if no server was read."""

    level: Level
    differs: bool = False


@dataclass
class AccessHolder:
    """A person, an identity or a group, with its access.

    Attributes:
        note: the reason for its access, if it is neither a person of the file nor a service.
        declared: its access by the project file, by place.
        actual: its access on the server, by place; without places that were not read.
        is_accepted: whether the file does not grant the access, but accepts it.
    """

    kind: Kind
    name: str
    note: str = ""
    declared: dict[FolderPlace, Level] = field(default_factory=dict)
    actual: dict[FolderPlace, Level] = field(default_factory=dict)
    is_accepted: bool = False

    def cell(self, place: FolderPlace) -> Cell:
        """Return the cell for a place."""
        declared = self.declared.get(place, "")
        actual = self.actual.get(place, declared)
        return Cell(actual, actual != declared and not self.is_accepted)

    def differences(self) -> Iterator[str]:
        """Yield a sentence on each place where the server differs from the file's access for it."""
        for place, actual in self.actual.items():
            if self.declared and self.cell(place).differs:
                declared = self.declared.get(place, "")
                yield (
                    f"{self.name}, {place.environment} {place.folder}: the file says "
                    f"{declared or 'nothing'}, the server {actual or 'nothing'}"
                )


@dataclass(frozen=True)
class AccessTable:
    """A part of the matrix: some folders of an environment, and the holders of access to them."""

    environment: str
    folders: Sequence[str]
    rows: Sequence[tuple[AccessHolder, Sequence[Cell]]]


def tabulate(desired: Workspace, holders: Sequence[AccessHolder]) -> list[AccessTable]:
    """Return the matrix as tables that are narrow enough for a page."""
    tables, every = [], _folders(desired)
    for environment in desired.environments:
        for start in range(0, len(every), _FOLDERS_OF_A_TABLE):
            folders = every[start : start + _FOLDERS_OF_A_TABLE]
            places = [FolderPlace(environment.slug, folder) for folder in folders]
            rows = [(each, [each.cell(place) for place in places]) for each in holders]
            shown = [(each, cells) for each, cells in rows if any(map(any, cells))]
            tables.append(AccessTable(environment.slug, folders, shown))
    return tables


def _folders(desired: Workspace) -> list[str]:
    owned = (each.folder for each in desired.services.values())
    return list(dict.fromkeys([*owned, *desired.shared_folders]))


def list_holders(
    desired: Workspace, admin_email: str, seen: tuple[Goal, Actual, AccessState] | None
) -> list[AccessHolder]:
    """Return everybody with access, people first.

    Args:
        seen: the goal with the actual state and access; None if the server was not read.
    """
    places = [
        FolderPlace(each.slug, path) for each in desired.environments for path in _folders(desired)
    ]
    holders = _Holders(desired, admin_email, reads_all=bool(seen and seen[0].isolation == "viewer"))
    holders.declare(places)
    if seen:
        for place, there, access in _states(places, *seen):
            holders.observe(place, there, access, seen[0])
    return sorted(holders.found.values(), key=lambda each: get_args(Kind).index(each.kind))


def _states(
    places: Iterable[FolderPlace], goal: Goal, actual: Actual, access: AccessState
) -> Iterator[tuple[FolderPlace, Actual, AccessState]]:
    """Yield each place whose project exists, with the project's state and access."""
    parts = parts_of(goal.desired) if goal.is_split else ()
    keys = {FolderPlace(each.environment.slug, each.folder): each.key for each in parts}
    for place in places:
        key = keys.get(place)
        there = actual.parts.get(key) if key else actual
        if there is not None and there.project is not None:
            yield place, there, access.parts.get(key, access) if key else access


class _Holders:
    """Collects the holders of access by their kind and name, or by kind and id for others."""

    def __init__(self, desired: Workspace, admin_email: str, *, reads_all: bool) -> None:
        self.desired, self.reads_all = desired, reads_all
        self.admin_email = admin_email.lower()
        self.found: dict[tuple[str, str], AccessHolder] = {}

    def declare(self, places: Sequence[FolderPlace]) -> None:
        """Add the holders that the project file names, and the two that the deploy needs."""
        first = self._add("person", self.admin_email, note="first administrator")
        deployer = self._add("identity", DEPLOYER, note="the deploy logs in with it")
        first.declared = dict.fromkeys(places, "manages")
        deployer.declared = dict.fromkeys(places, "manages")
        for email, access in self.desired.people.items():
            if email != self.admin_email:
                roles = {place: _ROLES[role_in(access, *place)] for place in places}
                self._add("person", email).declared = roles
        for account in self.desired.every_account():
            holder = self._add("identity", account.identity)
            if self.reads_all and account.sees_values:
                holder.declared = dict.fromkeys(places, "reads")
            else:
                given = Privilege("", account.privilege, False, tuple(account.grants))
                holder.declared = {place: find_level((), [given], *place) for place in places}

    def observe(self, place: FolderPlace, there: Actual, access: AccessState, goal: Goal) -> None:
        """Add the access to a place on the server."""
        for email, person in access.people.members.items():
            self._observe_person(place, email, person, goal)
        if there.admin:
            self._set("person", self.admin_email, place, find_level(there.admin.roles, (), *place))
        names = {each.identity.id: name for name, each in there.accounts.items()}
        names[access.deployer] = DEPLOYER
        for name, account in there.accounts.items():
            held = [*account.privileges, *access.privileges.get(account.identity.id, ())]
            level = find_level(account.roles, held, *place) if account.roles is not None else ""
            self._set("identity", name, place, level)
        for each in there.listed.seats:
            id, name = each["identityId"], each["identity"]["name"]
            if names.get(id) not in there.accounts:
                level = find_level(roles_of(each), access.privileges.get(id, ()), *place)
                self._set("identity", names.get(id, id), place, level, name)
        for each in access.groups:
            group = each["group"]
            level = find_level(roles_of(each), (), *place)
            self._set("group", group["id"], place, level, group["name"])

    def _observe_person(
        self, place: FolderPlace, email: str, person: PersonState, goal: Goal
    ) -> None:
        if person.privileges is None and goal.grants and set(person.roles) == {"no-access"}:
            return  # Only the administrator sees privileges of people.
        self._set("person", email, place, find_level(person.roles, person.privileges or (), *place))
        holder = self.found["person", email]
        by_role = not goal.grants
        if is_suspended(self.desired, email, person, goal.factors, by_role=by_role):
            holder.note, holder.declared[place] = "lacks the required second factor", ""

    def _set(
        self,
        kind: Kind,
        key: str,
        place: FolderPlace,
        level: Level,
        name: str = "",
    ) -> None:
        if (kind, key) not in self.found:
            shown = name or key
            reason = next(
                (
                    each.reason
                    for each in self.desired.accepted
                    if each.what.startswith(f"{kind} {shown} with ")
                ),
                "",
            )
            note = f"accepted: {reason}" if reason else _UNKNOWN
            self._add(kind, key, shown, note).is_accepted = bool(reason)
        self.found[kind, key].actual[place] = level

    def _add(self, kind: Kind, key: str, name: str = "", note: str = "") -> AccessHolder:
        self.found[kind, key] = holder = AccessHolder(kind, name or key, note)
        return holder
