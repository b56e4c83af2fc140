"""The actual state inside Infisical, as far as this project manages it, and changes of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from infisical_iac.agent.identities import Identity, UniversalAuth
from infisical_iac.agent.identities import roles_of as roles_of
from infisical_iac.core.change import Change
from infisical_iac.core.wording import join_names


class Made(str):
    """A placeholder for the id of something that an earlier change makes, such as `identity x`.

    Its first word is the key of the made object in the answer.
    """


@dataclass(frozen=True)
class Call:
    """One request; parts of its path and values of its body may be a `Made`.

    Attributes:
        makes: the placeholder for the id in the answer.
        by_admin: whether it takes the administrator's own token, which no machine has.
        mails: whether Infisical sends a mail about it. If that fails, a real server answers 500
            although the request is done.
        shows: returns the part of the answer that the operator must see, as it can't be read again.
    """

    method: Literal["POST", "PATCH", "DELETE"]
    path: tuple[str, ...]
    body: Mapping[str, Any] | None = None
    makes: Made | None = None
    by_admin: bool = False
    mails: bool = False
    shows: Callable[[Mapping[str, Any]], str] | None = None


@dataclass(frozen=True)
class ApiChange(Change):
    """One difference inside Infisical and its repair.

    Attributes:
        calls: the requests, in order.
        shown: a sentence for the operator, such as one with an invitation's link; empty until the
            change is made. It is printed once and stored nowhere.
    """

    calls: tuple[Call, ...] = field(default=(), repr=False)
    shown: str = field(default="", repr=False, compare=False)


def blocked_change(what: str, reason: str) -> ApiChange:
    """Return the change that reports what only a person can correct; it makes no request."""
    return ApiChange("!", what, f"blocked: {reason}")


_LABELS = {"hasDeleteProtection": "delete protection", "role": "role in the organization"}


def diff_fields(desired: Mapping[str, Any], actual: Mapping[str, Any]) -> dict[str, Any]:
    """Return the desired fields that differ; a field that a release leaves out does not."""
    return {
        key: value
        for key, value in desired.items()
        if key in actual and (actual[key] if value is not False else bool(actual[key])) != value
    }


def words(differing: Mapping[str, Any], actual: Mapping[str, Any]) -> str:
    """Return the differences for people, such as `accessTokenTTL 7200 → 1800`."""
    return ", ".join(
        f"{_LABELS.get(key, key)} {_describe(actual[key])} → {_describe(value)}"
        for key, value in differing.items()
    )


def _describe(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return "on" if value else "off"
    if isinstance(value, Mapping):
        return join_names(f"{key} {each}" for key, each in value.items()) or "none"
    if isinstance(value, list | tuple):
        return join_names(value) or "none"
    return str(value) or "none"


@dataclass(frozen=True)
class ProjectState:
    """The project; `fields` are all fields that the server returns."""

    id: str
    fields: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, read: Mapping[str, Any]) -> "ProjectState":
        """Return the state from an answer of the server."""
        return cls(read["id"], read)

    @property
    def slug(self) -> str:
        """Return the slug of the project."""
        return str(self.fields["slug"])


class Import(NamedTuple):
    """An import into a folder; its source is an environment's id and a folder there."""

    id: str
    folder: str
    source: tuple[str, str]
    position: int = 0


@dataclass(frozen=True)
class EnvironmentState:
    """An environment.

    Attributes:
        folders: the ids of its folders by path.
        imports: by the path of a folder, the imports into it in their order; the value of a later
            import wins. Only for the requested folders.
    """

    id: str
    slug: str
    name: str
    position: int = 0
    folders: Mapping[str, str] = field(default_factory=dict)
    imports: Mapping[str, Sequence[Import]] = field(default_factory=dict)

    @property
    def all_imports(self) -> list[Import]:
        """Return the imports into all folders, folder by folder."""
        return [each for found in self.imports.values() for each in found]


@dataclass(frozen=True)
class Privilege:
    """An additional privilege of an identity or a person in the project."""

    id: str
    slug: str
    is_temporary: bool
    permissions: tuple[dict[str, Any], ...]
    created: str = ""


@dataclass(frozen=True)
class AccountState:
    """One of our identities; `roles` are its roles in the project, None if it is not a member.

    Only the login method that the account uses is read: universal auth or OIDC auth.
    """

    identity: Identity
    auth: UniversalAuth | None = None
    roles: tuple[str, ...] | None = None
    privileges: tuple[Privilege, ...] = ()
    oidc: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Duplicate:
    """A second identity that this project made for an account, as a member of the project.

    Attributes:
        name: the name that both have.
        secrets: the ids of its client secrets that this project made.
    """

    id: str
    name: str
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True)
class PersonState:
    """A person's membership of the project.

    Attributes:
        privileges: None while they can't be read: that needs the first administrator to be an
            admin of the project.
    """

    membership_id: str
    roles: tuple[str, ...]
    privileges: tuple[Privilege, ...] | None = None
    created: str = ""


@dataclass(frozen=True)
class ServerLists:
    """The server's lists, which include objects of others.

    Attributes:
        identities: the identities of the organization.
        seats: the identities in the project.
        persons: the persons in the project.
    """

    identities: Sequence[Mapping[str, Any]] = ()
    seats: Sequence[Mapping[str, Any]] = ()
    persons: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class People:
    """People other than the first administrator, by e-mail.

    Attributes:
        members: all of them in the project.
        usernames: their usernames in the organization.
    """

    members: Mapping[str, PersonState]
    usernames: Mapping[str, str]


@dataclass(frozen=True)
class Actual:
    """The whole actual state.

    Attributes:
        project: None while no project has the slug.
        deleted: environments that can be restored.
        accounts: our own identities among the desired ones, by their desired names.
        duplicates: further identities of those accounts.
        admin: the first administrator's membership of the project, None without one.
        people: None if they were not requested, or the administrator can't log in.
        people_unseen: why the administrator can't log in, if people were requested; else empty.
        elsewhere: environment id to project slug, while no project has the desired slug.
        slug_holder: the id of another project that has taken the slug of ours.
        listed: the lists that the state was read from.
        parts: with the isolation `projects`, the state of each project by the key of `goal.split`.
            Then everything of a project is there, and only identities are in the whole state.
        slug: in one of these projects, its desired slug.
        unnamed: the projects of ours that the file no longer names, by their former key, with the
            members in them.
        kin: in one of these projects, the ids of the accounts' identities that it does not serve.
        has_privileges: whether the release has the routes of privileges, as far as that was asked.
    """

    organization_id: str
    project: ProjectState | None = None
    environments: tuple[EnvironmentState, ...] = ()
    deleted: tuple[EnvironmentState, ...] = ()
    accounts: Mapping[str, AccountState] = field(default_factory=dict)
    duplicates: tuple[Duplicate, ...] = ()
    admin: PersonState | None = None
    people: People | None = None
    people_unseen: str = ""
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    slug_holder: str = ""
    listed: ServerLists = field(default_factory=ServerLists, repr=False, compare=False)
    parts: Mapping[str, "Actual"] = field(default_factory=dict)
    slug: str = ""
    kin: frozenset[str] = frozenset()
    unnamed: Mapping[str, "Actual"] = field(default_factory=dict)
    has_privileges: bool = True

    @property
    def placeholder(self) -> Made:
        """Return the placeholder of the project's id while the project is still to be made."""
        return Made(f"project {self.slug}".strip())

    @property
    def project_id(self) -> str:
        """Return the id of the project, or its placeholder while it is still to be made."""
        return self.project.id if self.project else self.placeholder

    @property
    def project_slug(self) -> str:
        """Return the slug of the project; the desired one while it is still to be made."""
        return self.project.slug if self.project else self.slug

    @property
    def project_ids(self) -> list[str]:
        """Return the ids of the projects that are there."""
        every = [self, *self.parts.values()]
        return [each.project.id for each in every if each.project]

    @property
    def own(self) -> frozenset[str]:
        """Return the ids of the identities of the accounts."""
        return frozenset(each.identity.id for each in self.accounts.values())


def deleted_environments(project: Mapping[str, Any]) -> tuple[EnvironmentState, ...]:
    """Return the deleted environments of a project in the server's answer that can be restored."""
    listed = project["deletedEnvironments"]
    return tuple(EnvironmentState(each["id"], each["slug"], each["name"]) for each in listed)
