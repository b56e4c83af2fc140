"""The desired state inside Infisical, as the project file defines it."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

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

from infisical_iac.agent.privileges import PRIVILEGE, reading_of
from infisical_iac.core.validation import fitting, matching, within
from infisical_iac.core.wording import join_names
from infisical_iac.workspace.oidc import BY_ENVIRONMENT, Auth, LoginMethod, OidcClaims, warn
from infisical_iac.workspace.privileges import describing
from infisical_iac.workspace.targets import Target

# The slugs of additional privileges of ours.
NAMES_PRIVILEGE = "see-names"
PERSON_PRIVILEGE = "managed-by-infisical-iac"
# The prefix of the identities of jobs, and the suffix of their credentials.
PIPELINE = "ci"

ROLES = ("none", "viewer", "developer", "admin")  # each may do what those before it may

# Tags of the two forms of access; the brackets distinguish them from keys of the file.
ROLE, TABLE = "[role]", "[table]"


def kind(value: Any) -> str:
    """Return the tag of a value: of a table, or of a role."""
    return TABLE if isinstance(value, dict) else ROLE


def _role(value: Any) -> Any:
    if value not in ROLES:
        what = "the role is missing" if value is None else f"{value!r} is not a role"
        raise ValueError(f"{what}; write admin, developer, viewer or none")
    return value


def _email(value: str) -> str:
    if not _EMAIL.fullmatch(value) or not value.isprintable():
        raise ValueError(f"{value!r} is not an e-mail address; write one such as ada@example.com")
    if value != value.lower():
        raise ValueError(f"{value!r} has capital letters; write {value.lower()}, as Infisical does")
    return value


def _reason(value: str) -> str:
    if not value.strip() or not value.isprintable():
        raise ValueError("the reason is missing; write who needs this access, and what for")
    return value


def _day(value: Any) -> date:
    # YAML reads 2027-01-15 10:00 as a datetime, which is also a date to Python: refuse that.
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError(f"{str(value)!r} is not a day; write one such as 2027-01-15") from None


def _check_sees(value: Any) -> Any:
    if value != "names" and (not isinstance(value, dict) or not value):
        raise ValueError("write names, or environments with a list of folders each")
    return value


def _read_requirement(value: Any) -> Any:
    if value != "warn" and not isinstance(value, dict):
        what = "the requirement is missing" if value is None else f"{value!r} is no requirement"
        raise ValueError(f"{what}; write warn, or `from:` with a day such as 2027-01-15")
    return value


_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]{2,}")
# Infisical's own limits, checked here so that a mistake is refused before the first request.
_SLUG = r"[a-z0-9]+(-[a-z0-9]+)*"
_WORDS = "lower-case letters and digits, in words joined by single hyphens"
_LONGEST_TTL, _A_DAY = 315_360_000, 86_400
_NAME = "is not a name; write 1 to 64 printable characters"
_FOLDER = (
    "is not a folder; write an absolute path such as /backend, of letters, digits, hyphens and "
    "underscores, with no slash at its end"
)
_LIFE = f"write seconds, from {_A_DAY} (a day) to {_LONGEST_TTL}, or 0 for no expiry"
_WHAT = (
    "names no access; copy what `infisical-iac plan` shows after the *, such as "
    "`identity ci-runner with role viewer`"
)
# The beginnings of names of access, besides those of login methods such as `token-auth of api-qa`.
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
    "group ",
)

Role = Annotated[Literal["none", "viewer", "developer", "admin"], BeforeValidator(_role)]
Email = Annotated[StrictStr, AfterValidator(_email)]
Isolation = Literal["privilege", "viewer", "projects"]
Slug = Annotated[
    StrictStr, matching(rf"(?=.{{,64}}$){_SLUG}", f"is not a slug; write at most 64 {_WORDS}")
]
ProjectSlug = Annotated[
    StrictStr,
    matching(rf"(?=.{{5,36}}$){_SLUG}", f"is not a project slug; write 5 to 36 {_WORDS}"),
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
Days = Annotated[StrictInt, within(1, 3650, "write days, from 1 to 3650")]
Pattern = Annotated[
    StrictStr,
    fitting(
        lambda text: bool(text.strip()) and text.isprintable(),
        "is not a pattern; write a name such as *_TOKEN, a folder such as /backend, or both",
    ),
]
Reason = Annotated[StrictStr, AfterValidator(_reason)]

# One role for everything, or a role for each named part and none for the others.
InEnvironment = Annotated[
    Annotated[Role, Tag(ROLE)] | Annotated[dict[Folder, Role], Tag(TABLE)], Discriminator(kind)
]
Access = Annotated[
    Annotated[Role, Tag(ROLE)] | Annotated[dict[Slug, InEnvironment], Tag(TABLE)],
    Discriminator(kind),
]


Folders = Annotated[tuple[Folder, ...], Field(min_length=1)]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SecondFactorRule(_Entry):
    """The day from which people without a second factor have no access.

    A person who joins the project later has `grace_days` from then on.
    """

    since: Annotated[date, BeforeValidator(_day), Field(alias="from")]
    grace_days: Annotated[StrictInt, within(0, 365, "write days, from 0 to 365")] = 14


# Only a warning, or the loss of access.
Requirement = Annotated[
    Annotated[Literal["warn"], Tag(ROLE)] | Annotated[SecondFactorRule, Tag(TABLE)],
    Discriminator(kind),
]


class Project(_Entry):
    """The project that holds everything."""

    name: DisplayName
    slug: ProjectSlug


class Environment(_Entry):
    """A stage, such as production; its slug is the value of `INFISICAL_ENVIRONMENT`."""

    slug: Slug
    name: DisplayName


class Accepted(_Entry):
    """An access that is accepted although the rest of the file does not give it.

    `what` is its name as a plan shows it; `id` is needed if several have that name.
    """

    what: What
    reason: Reason
    id: StrictStr = ""


class Service(_Entry):
    """A program with secrets: its folder, and the shared folders that it reads too.

    `deliver` maps environments to further targets of its credentials, besides the host. `auth` maps
    environments to its login method there, if that is not a client secret. `renamed_from` is its
    former name; its identities and credentials are kept under the new one.
    """

    folder: Folder
    renamed_from: Slug | None = None
    imports: tuple[Folder, ...] = ()
    access_token_ttl: Seconds | None = None
    access_token_max_ttl: Seconds | None = None
    client_secret_ttl: Life | None = None
    deliver: dict[Slug, Target] = {}
    auth: Annotated[dict[Slug, Auth], BY_ENVIRONMENT] = {}

    @property
    def readable(self) -> tuple[str, ...]:
        """Return the folders that the service may read, its own first."""
        return (self.folder, *self.imports)


class Job(_Entry):
    """A job of a pipeline, with its access and its login method."""

    sees: Annotated[
        Annotated[Literal["names"], Tag(ROLE)] | Annotated[dict[Slug, Folders], Tag(TABLE)],
        Discriminator(kind),
        BeforeValidator(_check_sees),
    ]
    auth: Auth


class ServiceAccount(NamedTuple):
    """The access of one service to one environment, derived from the file.

    Its machine identity may read `folder` and `imports` in `environment` and nothing else. `former`
    is the former name of the service; empty if it was not renamed.
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
    auth: OidcClaims | None = None

    @property
    def sees_values(self) -> bool:
        """Return whether the account reads values, and not only names."""
        return True

    @property
    def privilege(self) -> str:
        """Return the slug of the privilege that gives the account its access."""
        return PRIVILEGE

    @property
    def identity(self) -> str:
        """Return the name of the machine identity."""
        return f"{self.service}-{self.environment}"

    @property
    def credentials(self) -> str:
        """Return the name of the credentials, on the host and in descriptions."""
        return f"{self.service}.{self.environment}"

    @property
    def starts_in(self) -> str:
        """Return the environment that the credentials' variables name."""
        return self.environment

    @property
    def former_identity(self) -> str:
        """Return the former name of the machine identity; empty if the service was not renamed."""
        return f"{self.former}-{self.environment}" if self.former else ""

    @property
    def former_credentials(self) -> str:
        """Return the former name of the credentials; empty if the service was not renamed."""
        return f"{self.former}.{self.environment}" if self.former else ""

    @property
    def readable(self) -> tuple[str, ...]:
        """Return the folders that the service may read, its own first."""
        return (self.folder, *self.imports)

    @property
    def grants(self) -> list[dict[str, Any]]:
        """Return the permissions of the account's privilege, which reads its folders.

        An imported secret is shown if its source may be read, so the permissions name the imported
        folders too; a right to see imports themselves is not needed.
        """
        return reading_of(self.environment, self.readable)

    @property
    def seen_folders(self) -> str:
        """Return the folders that the account reads, as shown to people."""
        return f"{join_names(self.readable)} in {self.environment}"


@dataclass(frozen=True)
class JobAccount:
    """The access of a pipeline's job, derived from the file.

    Attributes:
        service: the name of the job, called as in `ServiceAccount`, since code that takes an
            `Account` reads the name of either.
        places: the folders that it sees, by environment.
        sees_values: whether it reads values there; otherwise it sees the names of all secrets.
    """

    service: str
    places: Mapping[str, tuple[str, ...]]
    sees_values: bool
    ttl: int
    max_ttl: int
    client_secret_ttl: int = 0
    auth: OidcClaims | None = None

    # An environment of its own, for the credentials of a job with a client secret.
    environment: ClassVar = PIPELINE
    former: ClassVar = ""
    former_identity: ClassVar = ""
    former_credentials: ClassVar = ""
    target: ClassVar[Target | None] = None

    @property
    def privilege(self) -> str:
        """Return the slug of the privilege that gives the job its access."""
        return PRIVILEGE if self.sees_values else NAMES_PRIVILEGE

    @property
    def identity(self) -> str:
        """Return the name of the machine identity."""
        return f"{PIPELINE}-{self.service}"

    @property
    def credentials(self) -> str:
        """Return the name of the credentials, on the host and in descriptions."""
        return f"{self.service}.{PIPELINE}"

    @property
    def starts_in(self) -> str:
        """Return the environment that the credentials' variables name; empty if it isn't one."""
        return next(iter(self.places)) if self.sees_values and len(self.places) == 1 else ""

    @property
    def grants(self) -> list[dict[str, Any]]:
        """Return the permissions of the job's privilege."""
        if not self.sees_values:
            return [describing(environment) for environment in self.places]
        return [
            permission
            for environment, folders in self.places.items()
            for permission in reading_of(environment, folders)
        ]

    @property
    def seen_folders(self) -> str:
        """Return the folders that the job sees, as shown to people."""
        if not self.sees_values:
            return f"names of secrets in {join_names(self.places)}"
        return ", ".join(
            f"{join_names(folders)} in {environment}"
            for environment, folders in self.places.items()
        )


Account = ServiceAccount | JobAccount


class Hygiene(_Entry):
    """The rules for secrets that `infisical-iac check` reports on.

    `max_age` maps patterns of names, folders or environments to days. `unread_days` are the days
    after which an unread folder is reported; 0 means never.
    """

    max_age: dict[Pattern, Days] = {}
    unread_days: Annotated[StrictInt, within(0, 3650, "write days, from 0 to 3650")] = 0


class Workspace(_Entry):
    """The whole project file; `load.load` reads and checks it."""

    project: Project
    environments: Annotated[tuple[Environment, ...], Field(min_length=1)]
    shared_folders: tuple[Folder, ...] = ()
    services: dict[Slug, Service] = {}
    ci: dict[Slug, Job] = {}
    people: dict[Email, Access] = {}
    require_second_factor: Annotated[Requirement | None, BeforeValidator(_read_requirement)] = None
    accepted: tuple[Accepted, ...] = ()
    access_token_ttl: Seconds = 1800
    access_token_max_ttl: Seconds = 86_400
    client_secret_ttl: Life = 0
    hygiene: Hygiene = Hygiene()
    schema_version: StrictInt = 1

    @property
    def folders(self) -> list[str]:
        """Return the folders of each environment, parents first."""
        named = {*self.shared_folders, *(service.folder for service in self.services.values())}
        parts = {folder: folder.split("/") for folder in named}
        parents = {"/".join(p[:n]) for p in parts.values() for n in range(2, len(p))}
        return sorted(named | parents)

    @property
    def renamed_services(self) -> dict[str, str]:
        """Return the present names of services by their former names."""
        named = self.services.items()
        return {each.renamed_from: name for name, each in named if each.renamed_from}

    def accounts(self) -> list[ServiceAccount]:
        """Return the accounts of all services, by service and then in the environments' order."""
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
                self._method(service, environment.slug).claims,
            )
            for name, service in self.services.items()
            for environment in self.environments
        ]

    @staticmethod
    def _method(service: Service, environment: str) -> LoginMethod:
        return service.auth.get(environment, LoginMethod())

    def jobs(self) -> list[JobAccount]:
        """Return the accounts of the pipelines' jobs."""
        slugs = [each.slug for each in self.environments]
        return [
            JobAccount(
                name,
                dict.fromkeys(slugs, ())
                if job.sees == "names"
                else {slug: self._with_imports(folders) for slug, folders in job.sees.items()},
                job.sees != "names",
                self.access_token_ttl,
                self.access_token_max_ttl,
                self.client_secret_ttl,
                job.auth.claims,
            )
            for name, job in self.ci.items()
        ]

    def _with_imports(self, folders: Iterable[str]) -> tuple[str, ...]:
        """Return folders, each with those that its service imports, without repetitions."""
        owned = {each.folder: each.readable for each in self.services.values()}
        return tuple(dict.fromkeys(path for each in folders for path in owned.get(each, (each,))))

    def every_account(self) -> list[Account]:
        """Return the accounts of services, and then those of jobs."""
        return [*self.accounts(), *self.jobs()]

    def secret_holders(self) -> list[Account]:
        """Return the accounts that log in with a client secret."""
        return [each for each in self.every_account() if each.auth is None]

    def identities(self) -> dict[str, str]:
        """Return the names of the accounts' identities, each with its former name or ""."""
        return {each.identity: each.former_identity for each in self.every_account()}

    def warnings(self) -> list[str]:
        """Return warnings about login methods that admit more tokens than they seem to."""
        found = [
            *(
                (f"services.{name}.auth.{slug}", method, True)
                for name, service in self.services.items()
                for slug, method in service.auth.items()
            ),
            *((f"ci.{name}", job.auth, job.sees != "names") for name, job in self.ci.items()),
        ]
        return [said for name, method, reads in found for said in warn(name, method, reads=reads)]
