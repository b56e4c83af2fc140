"""Verify secrets by reading them back, and find their readers."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any, Literal, NamedTuple

from infisical_iac.agent import contents
from infisical_iac.agent.api import gather, gather_by
from infisical_iac.agent.contents import Json
from infisical_iac.api.client import Client
from infisical_iac.core.errors import ApiError, UserError
from infisical_iac.migrate.findings import REFERENCE, trim
from infisical_iac.migrate.model import Name, Secret, Stored
from infisical_iac.migrate.plan_file import MigrationPlan, digest, encode
from infisical_iac.workspace.access import permissions, project_role
from infisical_iac.workspace.environment_contents import Names, list_readable
from infisical_iac.workspace.goal import Layout
from infisical_iac.workspace.model import Isolation, ServiceAccount, Workspace
from infisical_iac.workspace.people_actual import Member
from infisical_iac.workspace.state import Privilege


class Expected(NamedTuple):
    """The service and the value's digest that a plan has for a name in Infisical."""

    service: str
    digest: str


Seen = Mapping[str, Collection[Name]]
"""The secrets whose values Infisical shows to each identity, by the identity's name."""


def planned_values(plan: MigrationPlan) -> dict[Name, Expected]:
    """Return the secrets that the plan stores, by name; present files win over deleted ones."""
    return {
        Name(*source.target, key): Expected(source.service, each.digest)
        for source in (*plan.deleted_sources, *plan.present_sources)
        for key, each in source.stored_keys.items()
    }


def find_changes(
    expected: Mapping[Name, Expected], stored: Mapping[Name, Stored], key: bytes
) -> Iterator[str]:
    """Yield a sentence on each secret that is missing or has another value than in the plan.

    If all are missing, there is one sentence for them.
    """
    if len(expected) > 1 and not expected.keys() & stored.keys():
        yield (
            f"none of the {len(expected)} secrets is in Infisical: `infisical-iac migrate apply` "
            "writes them"
        )
        return
    for name, each in expected.items():
        there = stored.get(name)
        if there is None:
            yield f"{name} is not in Infisical"
        elif there.is_hidden:
            yield f"{name} does not show its value to the deployer"
        elif digest(key, there.value) != each.digest:
            yield f"{name} has another value"


def access(
    expected: Mapping[Name, Expected],
    workspace: Workspace,
    seen: Seen,
    isolation: Isolation = "privilege",
) -> Iterator[str]:
    """Yield a sentence on each service that can't read its secrets, or can read others.

    A service reads its own folder and the shared ones that it imports, in its environment.

    Args:
        seen: the secrets that each identity sees; an identity without an entry is not reported.
        isolation: with `viewer` each service reads the whole project, so only an unreadable folder
            is reported.
    """
    accounts = [each for each in workspace.accounts() if each.identity in seen]
    for name, each in expected.items():
        for account in accounts:
            reads = name in seen[account.identity]
            is_own = (account.service, account.environment) == (each.service, name.environment)
            if is_own and not reads:
                yield f"{name} can't be read by {account.identity}, which needs it"
            elif reads and not is_own and isolation != "viewer" and not _may_read(account, name):
                yield f"{name} can be read by {account.identity}, which must not read it"


def ask(client: Client, layout: Layout, names: Iterable[Name]) -> set[Name]:
    """Return the secrets among `names` whose values Infisical shows to a client.

    Raises ApiError or Unreachable.
    """
    desired = set(names)
    places = [(layout.find(*each), *each) for each in sorted({each[:2] for each in desired})]
    answers = gather([partial(_visible_names, client, *place) for place in places if place[0]])
    return desired.intersection(chain.from_iterable(answers))


def _may_read(account: ServiceAccount, name: Name) -> bool:
    return account.environment == name.environment and any(
        name.folder == each or name.folder.startswith(f"{each}/") for each in account.readable
    )


def _visible_names(client: Client, project: str, environment: str, folder: str) -> list[Name]:
    try:
        listed = contents.secrets(client, project, environment, folder=folder)
    except ApiError as error:
        if error.status not in (403, 404):  # no access to the project, or no such folder
            raise
        return []
    return [
        Name(environment, folder, each["secretKey"])
        for each in listed
        if not each["secretValueHidden"]
    ]


Expanded = Literal["same", "differs", "unknown"]


@dataclass(frozen=True)
class Proof:
    """The result of reading one secret back.

    Attributes:
        plain: the comparison of the stored value.
        expanded: the comparison of the value that is read with references replaced.
        difference: the difference in words, without any part of the value.
    """

    secret: Secret
    plain: Literal["same", "differs", "missing", "hidden"]
    expanded: Expanded = "unknown"
    difference: str = ""

    @property
    def holds(self) -> bool:
        """Return whether the service gets the same value as before.

        Services read literal values unexpanded.
        """
        return self.plain == "same" and (self.expanded != "differs" or self.secret.is_literal)


def prove(
    secrets: Iterable[Secret],
    plain: Mapping[Name, Stored],
    expanded: Mapping[Name, Stored] | None,
) -> list[Proof]:
    """Compare each secret with its stored value, and with its expanded one if that was read."""
    expanded = expanded or {}
    return [_prove(each, plain.get(each.name), expanded.get(each.name)) for each in secrets]


def _prove(secret: Secret, there: Stored | None, expanded: Stored | None) -> Proof:
    if there is None:
        return Proof(secret, "missing", difference="it is not in Infisical")
    if there.is_hidden:
        return Proof(secret, "hidden", difference="its value is not shown to the deployer")
    how: Expanded = "unknown"
    if expanded and not expanded.is_hidden:
        how = "same" if expanded.value == secret.value else "differs"
    if there.value != secret.value:
        return Proof(secret, "differs", how, _difference(secret.value, there.value))
    note = "a part of it is replaced for clients that read it expanded" if how == "differs" else ""
    return Proof(secret, "same", how, note)


def _difference(sent: str, back: str) -> str:
    """Describe the difference of two values without showing any part of them."""
    lengths = f"{len(encode(back))} bytes instead of {len(encode(sent))}"
    if back == trim(sent):
        return f"blanks at its ends were trimmed: {lengths}"
    first, *more = REFERENCE.split(sent)
    if more and back.startswith(first) and back.endswith(more[-1]):
        return f"what looks like a reference was replaced: {lengths}"
    if sent.startswith(back):
        return f"its end is missing: {lengths}"
    at = next((n for n, (a, b) in enumerate(zip(sent, back, strict=False)) if a != b), len(sent))
    return f"it differs from character {at + 1} on: {lengths}"


@dataclass(frozen=True)
class Reader:
    """A member of the project, with the secrets of the plan that it reads.

    Attributes:
        may: the secrets that it should be able to read; for a service those that it reads, because
            `verify.access` checks services.
        checked: the method: a login, or roles and privileges.
    """

    member: Member
    reads: Set[Name]
    may: Set[Name]
    checked: Literal["login", "roles"]

    @property
    def data(self) -> dict[str, Any]:
        """Return the reader as data for JSON."""
        return {
            "kind": self.member.kind,
            "name": self.member.name,
            "part": self.member.part,
            "checked": self.checked,
            "reads": [
                {"environment": environment, "folder": folder, "secrets": count}
                for (environment, folder), count in _places(self.reads)
            ],
        }


def readers(
    members: Iterable[Member], expected: Mapping[Name, Expected], workspace: Workspace, seen: Seen
) -> list[Reader]:
    """Return the secrets of the plan that each member reads.

    Args:
        seen: the secrets that services read, by identity. For a service without an entry, and for
            all other members, roles and privileges count.
    """
    names: dict[tuple[str, str], list[str]] = {}
    for name in expected:
        names.setdefault(name[:2], []).append(name.key)
    found = []
    for each in members:
        if each.part == "service" and each.name in seen:
            shown = frozenset(seen[each.name])
            found.append(Reader(each, shown, shown, "login"))
        else:
            granted = _as_names(list_readable(each.roles, each.privileges or (), names))
            found.append(
                Reader(each, granted, _permitted_names(each, granted, workspace, names), "roles")
            )
    return found


def merge(found: Iterable[Reader]) -> list[Reader]:
    """Return one reader for each member of several projects, with all secrets that it reads."""
    merged: dict[tuple[str, str], Reader] = {}
    for each in found:
        key = (each.member.kind, each.member.id or each.member.name)
        other = merged.get(key)
        merged[key] = (
            replace(other, reads=other.reads | each.reads, may=other.may | each.may)
            if other
            else each
        )
    return [*merged.values()]


def of_services(found: Iterable[Reader], workspace: Workspace) -> Seen:
    """Return the secrets that each service reads, by identity; none if it is not in the project.

    A service that is renamed by the next apply has its identity under the former name.
    """
    services = {each.member.name: each.reads for each in found if each.member.part == "service"}
    return {
        each.identity: services.get(each.identity, services.get(each.former_identity, set()))
        for each in workspace.accounts()
    }


def unintended_reads(found: Iterable[Reader], workspace: Workspace) -> Iterator[str]:
    """Yield a sentence on each member, environment and folder with secrets it should not read."""
    services = {each.identity for each in workspace.accounts()}
    for each in found:
        reader = f"the {each.member.kind} {each.member.name}, {_why(each.member, services)}"
        for (environment, folder), count in _places(each.reads - each.may):
            secrets = f"{count} secret{'' if count == 1 else 's'}"
            yield f"{environment}{folder}, {secrets}, can be read by {reader}"


def _why(member: Member, services: Set[str]) -> str:
    if member.part == "named":
        return "which is more than the project file gives"
    if member.kind == "person":
        return "who is not in the project file"
    if member.name in services:
        return "which has the name of a service's identity but is another one"
    return "which the project file does not name"


def _permitted_names(
    member: Member, granted: frozenset[Name], workspace: Workspace, names: Names
) -> frozenset[Name]:
    match member.part:
        case "other":
            return frozenset()
        case "named":
            access = workspace.people[member.name]
            given = Privilege("", "", False, tuple(permissions(access, workspace)))
            return _as_names(list_readable([project_role(access)], [given], names))
    return granted


def _as_names(found: Iterable[tuple[str, str, str]]) -> frozenset[Name]:
    return frozenset(Name(*each) for each in found)


def _places(names: Iterable[Name]) -> list[tuple[tuple[str, str], int]]:
    return sorted(Counter(each[:2] for each in names).items())


def require_held(layout: Layout, places: Iterable[tuple[str, str]]) -> None:
    """Raise UserError for an environment and folder that no project holds."""
    for environment, folder in sorted(set(places)):
        if not layout.list_in(environment):
            raise _unknown(environment)
        if not layout.find(environment, folder):
            raise UserError(
                f"no project holds {folder} in {environment}, because the project file does not "
                "name it: add its service or shared folder to the project file, and run "
                "`infisical-iac workspace apply`",
                code="error.no_project",
            )


def list_sources(layout: Layout, places: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the projects and environments that hold some places, each once.

    Args:
        places: an environment and a folder each.
    """
    found = {(layout.find(*place), place[0]) for place in places}
    return sorted((each for each in found if each[0]), key=lambda each: each[::-1])


def read(
    client: Client, layout: Layout, places: Iterable[tuple[str, str]], *, expand: bool = False
) -> dict[Name, Stored]:
    """Return every secret of the environments and projects that hold some places.

    There is one request for each environment of a project. A place that no project holds is left
    out. Raises ApiError or Unreachable, and UserError for an unknown environment.

    Args:
        places: an environment and a folder each.
    """

    def listing(source: tuple[str, str]) -> list[Json]:
        project, slug = source
        with asking(slug):
            listed = contents.secrets(client, project, slug, expand=expand)
        return [
            each for each in listed if not layout.is_elsewhere(slug, each["secretPath"], project)
        ]

    return {
        Name(slug, each["secretPath"], each["secretKey"]): Stored(
            each["secretValue"], each["secretComment"], each["secretValueHidden"]
        )
        for (_, slug), listed in gather_by(list_sources(layout, places), listing).items()
        for each in listed
    }


@contextmanager
def asking(environment: str) -> Iterator[None]:
    """Raise UserError for a 404 within the block: Infisical lacks the environment."""
    try:
        yield
    except ApiError as error:
        if error.status != 404:
            raise
        raise _unknown(environment) from None


def _unknown(environment: str) -> UserError:
    return UserError(
        f"there is no environment {environment} in Infisical: "
        "run `infisical-iac workspace apply` first"
    )
