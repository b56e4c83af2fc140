"""The desired state: what one file says should be inside Infisical."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StrictInt,
    StrictStr,
    Tag,
)

from infisical_iac.api.client import Client
from infisical_iac.core.validation import fitting, matching, within
from infisical_iac.workspace.state import Privilege
from infisical_iac.workspace.targets import Target

ROLES = ("none", "viewer", "developer", "admin")  # each may do what those before it may

# Tags of the two ways to give a role; the brackets keep them apart from what the file says.
ROLE, TABLE = "[role]", "[table]"


def kind(value: Any) -> str:
    """Return which way it is: keys with values, or a role."""
    return TABLE if isinstance(value, dict) else ROLE


def _role(value: Any) -> Any:
    if value not in ROLES:
        what = "no role stands here" if value is None else f"{value!r} is no role"
        raise ValueError(f"{what}; write admin, developer, viewer or none")
    return value


def _email(value: str) -> str:
    if not _EMAIL.fullmatch(value) or not value.isprintable():
        raise ValueError(f"{value!r} is no e-mail address; write one such as ada@example.com")
    if value != value.lower():
        raise ValueError(f"{value!r} has capital letters; write {value.lower()}, as Infisical does")
    return value


def _reason(value: str) -> str:
    if not value.strip() or not value.isprintable():
        raise ValueError("no reason stands here; write who wants it, and what for")
    return value


_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]{2,}")
# How Infisical itself limits them, so that a refusal comes before the first request.
_SLUG = r"[a-z0-9]+(-[a-z0-9]+)*"
_WORDS = "lower-case letters and digits, in words joined by single hyphens"
_LONGEST_TTL, _A_DAY = 315_360_000, 86_400
_NAME = "is no name; write 1 to 64 printable characters"
_FOLDER = (
    "is no folder; write an absolute path such as /backend, of letters, digits, hyphens and "
    "underscores, with no slash at its end"
)
_LIFE = f"write seconds, from {_A_DAY} (a day) to {_LONGEST_TTL}, or 0 for ever"
_WHAT = (
    "names no access; copy what `infisical-iac plan` tells after the *, such as "
    "`identity ci-runner with role viewer`"
)
# How names of access begin, besides those of ways to log in such as `token-auth of api-qa`.
_ACCEPTABLE = (
    "organization admin ",
    "client secret ",
    "service token ",
    "secret sync ",
    "import ",
    "privilege ",
    "second identity ",
    "identity ",
    "person ",
)

Role = Annotated[Literal["none", "viewer", "developer", "admin"], BeforeValidator(_role)]
Email = Annotated[StrictStr, AfterValidator(_email)]
Isolation = Literal["privilege", "viewer"]
Slug = Annotated[
    StrictStr, matching(rf"(?=.{{,64}}$){_SLUG}", f"is no slug; write at most 64 {_WORDS}")
]
ProjectSlug = Annotated[
    StrictStr,
    matching(rf"(?=.{{5,36}}$){_SLUG}", f"is no slug of a project; write 5 to 36 {_WORDS}"),
]
DisplayName = Annotated[
    StrictStr,
    fitting(
        lambda text: text == text.strip() and text.isprintable() and 0 < len(text) <= 64, _NAME
    ),
]
Folder = Annotated[StrictStr, matching(r"(/[A-Za-z0-9_-]+)+", _FOLDER)]
Seconds = Annotated[
    StrictInt, within(60, _LONGEST_TTL, f"write seconds, from 60 to {_LONGEST_TTL}")
]
Life = Annotated[
    StrictInt,
    fitting(lambda n: n == 0 or _A_DAY <= n <= _LONGEST_TTL, f"is out of range; {_LIFE}"),
]
What = Annotated[
    StrictStr,
    fitting(
        lambda text: text.split(" ")[0].endswith("-auth") or text.startswith(_ACCEPTABLE), _WHAT
    ),
]
Reason = Annotated[StrictStr, AfterValidator(_reason)]

# One role for the whole of it, or one for each part that is named, and none for the others.
InEnvironment = Annotated[
    Annotated[Role, Tag(ROLE)] | Annotated[dict[Folder, Role], Tag(TABLE)], Discriminator(kind)
]
Access = Annotated[
    Annotated[Role, Tag(ROLE)] | Annotated[dict[Slug, InEnvironment], Tag(TABLE)],
    Discriminator(kind),
]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Project(_Entry):
    """The project that holds everything."""

    name: DisplayName
    slug: ProjectSlug


class Environment(_Entry):
    """A stage, such as production; its slug is what `NODE_ENV` says."""

    slug: Slug
    name: DisplayName


class Accepted(_Entry):
    """An access that the rest of the file does not give, and that is wanted.

    `what` is its name as a plan tells it; `id` is needed where several have that name.
    """

    what: What
    reason: Reason
    id: StrictStr = ""


class Service(_Entry):
    """A program with secrets: its folder, and the shared folders that it reads too.

    `deliver` says by environment where its credentials go, beside the host. `renamed_from` is the
    name that it had before; what it has under that name goes on under the new one.
    """

    folder: Folder
    renamed_from: Slug | None = None
    imports: tuple[Folder, ...] = ()
    access_token_ttl: Seconds | None = None
    access_token_max_ttl: Seconds | None = None
    client_secret_ttl: Life | None = None
    deliver: dict[Slug, Target] = {}

    @property
    def readable(self) -> tuple[str, ...]:
        """All folders that it may read, its own first."""
        return (self.folder, *self.imports)


class ServiceAccount(NamedTuple):
    """Hold what one service has in one environment; follows from the file, never written there.

    Its machine identity may read `folder` and `imports` in `environment` and nothing else. `former`
    is the name that the service had before; empty if it was not renamed.
    """

    service: str
    environment: str
    folder: str
    imports: tuple[str, ...]
    ttl: int
    max_ttl: int
    client_secret_ttl: int = 0
    target: Target | None = None
    former: str = ""

    @property
    def identity(self) -> str:
        """The name of the machine identity."""
        return f"{self.service}-{self.environment}"

    @property
    def credentials(self) -> str:
        """The name of the credentials, on the host and in descriptions."""
        return f"{self.service}.{self.environment}"

    @property
    def former_identity(self) -> str:
        """The name that the machine identity had before; empty if it was not renamed."""
        return f"{self.former}-{self.environment}" if self.former else ""

    @property
    def former_credentials(self) -> str:
        """The name that the credentials had before; empty if it was not renamed."""
        return f"{self.former}.{self.environment}" if self.former else ""

    @property
    def readable(self) -> tuple[str, ...]:
        """All folders that it may read, its own first."""
        return (self.folder, *self.imports)


class Workspace(_Entry):
    """The whole file; `load.load` makes one, checked."""

    project: Project
    environments: Annotated[tuple[Environment, ...], Field(min_length=1)]
    shared_folders: tuple[Folder, ...] = ()
    services: dict[Slug, Service] = {}
    people: dict[Email, Access] = {}
    accepted: tuple[Accepted, ...] = ()
    access_token_ttl: Seconds = 1800
    access_token_max_ttl: Seconds = 86_400
    client_secret_ttl: Life = 0
    schema_version: StrictInt = 1

    @property
    def folders(self) -> list[str]:
        """Every folder that each environment has, parents before what is in them."""
        named = {*self.shared_folders, *(service.folder for service in self.services.values())}
        parts = {folder: folder.split("/") for folder in named}
        parents = {"/".join(p[:n]) for p in parts.values() for n in range(2, len(p))}
        return sorted(named | parents)

    def accounts(self) -> list[ServiceAccount]:
        """The accounts of all services, by service and then in the environments' order."""
        return [
            ServiceAccount(
                name,
                environment.slug,
                service.folder,
                service.imports,
                service.access_token_ttl or self.access_token_ttl,
                service.access_token_max_ttl or self.access_token_max_ttl,
                self.client_secret_ttl
                if service.client_secret_ttl is None
                else service.client_secret_ttl,
                service.deliver.get(environment.slug),
                service.renamed_from or "",
            )
            for name, service in self.services.items()
            for environment in self.environments
        ]

    def identities(self) -> dict[str, str]:
        """The names of the accounts' identities, each with the one that it had before, or ""."""
        return {each.identity: each.former_identity for each in self.accounts()}


OF_IDENTITIES = "/api/v2/identity-project-additional-privilege"
OF_PERSONS = "/api/v1/user-project-additional-privilege"


def read(client: Client, path: str, holder: dict[str, Any]) -> tuple[Privilege, ...]:
    """Return all privileges that somebody has.

    Args:
        client: for those of persons, with the administrator's own token.
        path: one of the above.
        holder: whose they are, as the query says it.
    """
    listed = client.get(path, params=holder)["privileges"]
    # Only the answer for a single one tells its permissions.
    read = [client.get(f"{path}/{each['id']}")["privilege"] for each in listed]
    return tuple(
        Privilege(
            each["id"],
            each["slug"],
            each["isTemporary"],
            tuple(each["permissions"]),
            each.get("createdAt", ""),
        )
        for each in read
    )


def grant(slug: str, permissions: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the body of a request that makes a privilege, or sets it right, for good."""
    return {"slug": slug, "type": {"isTemporary": False}, "permissions": permissions}


def seat(role: str) -> dict[str, Any]:
    """Return the body of a request that gives a member of a project one role, for good."""
    return {"roles": [{"role": role, "isTemporary": False}]}


PRIVILEGE = "read-own-folder"


def reading(account: ServiceAccount) -> list[dict[str, Any]]:
    """The permissions to read an account's folders in its environment, and nothing else.

    Secrets that come through an import are shown if their source may be read, so the imported
    folders are named like the own one; no right to see imports as such is needed.
    """
    return reading_of(account.environment, account.readable)


def reading_of(environment: str, folders: Iterable[str]) -> list[dict[str, Any]]:
    """Return the permissions to read folders of an environment, and nothing else."""
    return [
        {
            "subject": "secrets",
            "action": ["describeSecret", "readValue"],
            "conditions": {
                "environment": {"$eq": environment},
                "secretPath": {"$eq": folder},
            },
        }
        for folder in folders
    ]


def folders_of(privilege: Privilege) -> list[str]:
    """Return the folders that `reading_of` would name for a privilege."""
    conditions = [each.get("conditions") or {} for each in privilege.permissions]
    paths = [each.get("secretPath") for each in conditions]
    values = [each.get("$eq") if isinstance(each, dict) else each for each in paths]
    return [each for each in values if isinstance(each, str)]


def are_equal(some: Iterable[Mapping[str, Any]], others: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether two lists of permissions grant the same, however each is written."""
    return sorted(map(_canonical, some)) == sorted(map(_canonical, others))


def find_privilege(
    privileges: Iterable[Privilege], slug: str, grants: Sequence[Mapping[str, Any]]
) -> Privilege | None:
    """The privilege of a name, if there is one.

    The server lets another be renamed to a name that is taken. Of several, it is one that grants
    just `grants` if there is such, and the first otherwise.
    """
    return min(
        (each for each in privileges if each.slug == slug),
        key=lambda each: each.is_temporary or not are_equal(each.permissions, grants),
        default=None,
    )


def _canonical(permission: Mapping[str, Any]) -> str:
    subject, actions = as_list(permission["subject"]), as_list(permission["action"])
    conditions = {
        key: {"$eq": value} if isinstance(value, str) else value
        for key, value in (permission.get("conditions") or {}).items()
    }
    inverted = bool(permission.get("inverted"))
    return json.dumps([sorted(subject), sorted(actions), conditions, inverted], sort_keys=True)


def as_list(value: Any) -> list[str]:
    """One or several, as the server writes subjects and actions, always as a list."""
    return [value] if isinstance(value, str) else list(value)
