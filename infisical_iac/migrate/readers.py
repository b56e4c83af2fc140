"""Find who is in the project and reads what was moved, and whether that is meant."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any, Literal

from infisical_iac.migrate.model import Name
from infisical_iac.migrate.verify import Expected, Seen
from infisical_iac.workspace.grants import permissions, project_role
from infisical_iac.workspace.members import Member
from infisical_iac.workspace.model import Workspace
from infisical_iac.workspace.readable import Names, reads
from infisical_iac.workspace.state import Privilege


@dataclass(frozen=True)
class Reader:
    """A member of the project with what they read of the plan.

    Attributes:
        may: what they are meant to read; of a service, what it reads, for
            `verify.access` judges that.
        checked: how that was told: from what it is shown once logged in, or from its roles and
            privileges.
    """

    member: Member
    reads: Set[Name]
    may: Set[Name]
    checked: Literal["login", "roles"]

    @property
    def data(self) -> dict[str, Any]:
        """Return the reader as JSON holds it."""
        places = [
            {"environment": environment, "folder": folder, "secrets": count}
            for (environment, folder), count in _places(self.reads)
        ]
        return {
            "kind": self.member.kind,
            "name": self.member.name,
            "part": self.member.part,
            "checked": self.checked,
            "reads": places,
        }


def readers(
    members: Iterable[Member], wanted: Mapping[Name, Expected], workspace: Workspace, seen: Seen
) -> list[Reader]:
    """Return what each member reads of the plan.

    Args:
        seen: what services were shown, by identity; a service that isn't in it is judged by its
            roles and privileges, as all others are.
    """
    names: dict[tuple[str, str], list[str]] = {}
    for name in wanted:
        names.setdefault((name.environment, name.folder), []).append(name.key)
    found = []
    for each in members:
        if each.part == "service" and each.name in seen:
            shown = frozenset(seen[each.name])
            found.append(Reader(each, shown, shown, "login"))
        else:
            granted = _named(reads(each.roles, each.privileges or (), names))
            found.append(Reader(each, granted, _meant(each, granted, workspace, names), "roles"))
    return found


def of_services(found: Iterable[Reader], workspace: Workspace) -> Seen:
    """Return what each service reads, by identity; nothing for one that is not in the project."""
    services = {each.member.name: each.reads for each in found if each.member.part == "service"}
    return {each.identity: services.get(each.identity, set()) for each in workspace.accounts()}


def unmeant(found: Iterable[Reader], workspace: Workspace) -> Iterator[str]:
    """Yield a sentence on what somebody reads but should not, for each environment and folder."""
    services = {each.identity for each in workspace.accounts()}
    for each in found:
        who = f"the {each.member.kind} {each.member.name}, {_why(each.member, services)}"
        for (environment, folder), count in _places(each.reads - each.may):
            secrets = f"{count} secret{'' if count == 1 else 's'}"
            yield f"{environment}{folder}, {secrets}, can be read by {who}"


def _why(member: Member, services: Set[str]) -> str:
    if member.part == "named":
        return "beyond what the workspace file gives"
    if member.kind == "person":
        return "whom the workspace file does not name"
    if member.name in services:
        return "which has the name of a service's but is not its own"
    return "which the workspace file does not name"


def _meant(
    member: Member, granted: frozenset[Name], workspace: Workspace, names: Names
) -> frozenset[Name]:
    match member.part:
        case "other":
            return frozenset()
        case "named":
            access = workspace.people[member.name]
            given = Privilege("", "", False, tuple(permissions(access, workspace)))
            return _named(reads([project_role(access)], [given], names))
    return granted


def _named(found: Iterable[tuple[str, str, str]]) -> frozenset[Name]:
    return frozenset(Name(*each) for each in found)


def _places(names: Iterable[Name]) -> list[tuple[tuple[str, str], int]]:
    return sorted(Counter((each.environment, each.folder) for each in names).items())
