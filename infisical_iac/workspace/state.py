"""The actual state: what is inside Infisical, as far as this project cares."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from infisical_iac.api.identities import Identity
from infisical_iac.api.universal_auth import UniversalAuth


@dataclass(frozen=True)
class ProjectState:
    """The project."""

    id: str
    name: str
    is_delete_protected: bool


@dataclass(frozen=True)
class EnvironmentState:
    """An environment with its folders; an import is the source's environment id and folder."""

    id: str
    slug: str
    name: str
    position: int
    folders: frozenset[str] = frozenset()
    imports: Mapping[str, frozenset[tuple[str, str]]] = field(default_factory=dict)


@dataclass(frozen=True)
class DeletedEnvironment:
    """An environment that was deleted but can be restored."""

    id: str
    slug: str
    name: str


@dataclass(frozen=True)
class Privilege:
    """An additional privilege of an identity or a person in the project."""

    id: str
    slug: str
    is_temporary: bool
    permissions: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class AccountState:
    """One of our identities; `roles` are those in the project, None while it is no member."""

    identity: Identity
    auth: UniversalAuth | None = None
    roles: tuple[str, ...] | None = None
    privileges: tuple[Privilege, ...] = ()


@dataclass(frozen=True)
class PersonState:
    """A person's membership of the project.

    Attributes:
        privileges: None while they can't be read, which takes the first administrator to be an
            admin of the project.
    """

    membership_id: str
    roles: tuple[str, ...]
    privileges: tuple[Privilege, ...] | None = None


@dataclass(frozen=True)
class People:
    """Persons other than the first administrator, by e-mail.

    Attributes:
        members: those in the project, whoever made them so.
        usernames: what those in the organization are called there.
    """

    members: Mapping[str, PersonState]
    usernames: Mapping[str, str]


@dataclass(frozen=True)
class Actual:
    """Everything that was read.

    Attributes:
        project: None while there is none of the slug.
        accounts: our own identities among those desired, by name.
        admin: the first administrator's membership of the project, None without one.
        people: None if nobody asked for them.
        elsewhere: while there is no project of the slug: environment id to project slug.
    """

    organization_id: str
    project: ProjectState | None = None
    environments: tuple[EnvironmentState, ...] = ()
    deleted: tuple[DeletedEnvironment, ...] = ()
    accounts: Mapping[str, AccountState] = field(default_factory=dict)
    admin: PersonState | None = None
    people: People | None = None
    elsewhere: Mapping[str, str] = field(default_factory=dict)


def remember(actual: Actual) -> dict[str, str]:
    """Which environment is which, by slug: to be kept until the next run."""
    return {environment.slug: environment.id for environment in actual.environments}


def roles_of(membership: Mapping[str, Any]) -> tuple[str, ...]:
    """The roles of a membership as the server gives it, sorted, the temporary ones marked."""
    return tuple(
        sorted(
            (each.get("customRoleSlug") or each["role"])
            + (" for a time" if each.get("isTemporary") else "")
            for each in membership["roles"]
        )
    )
