"""The desired state of an Infisical with the memory of earlier runs, in one project or in many.

With the isolation `projects`, each service and each shared folder has a project of its own in each
environment. `split` gives each of these projects a goal, so that everything that compares one
project with its goal serves all three methods.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from typing import NamedTuple, Self

from infisical_iac.api.client import Client
from infisical_iac.core.audit_entries import Event
from infisical_iac.stack.access_log import FolderReads
from infisical_iac.workspace.model import (
    ROLES,
    Access,
    Environment,
    Isolation,
    Job,
    Project,
    Service,
    Workspace,
)
from infisical_iac.workspace.second_factor import SecondFactors
from infisical_iac.workspace.state import Actual

_NOTHING: frozenset[str] = frozenset()
# Infisical's own limits.
_LONGEST_SLUG, _LONGEST_NAME = 36, 64
# More digits would leave too little of the name.
_DIGITS, _MOST_DIGITS = 8, 24


@dataclass(frozen=True)
class Move:
    """A move of the secrets to another isolation that is neither finished nor undone.

    Attributes:
        to: the isolation whose projects the secrets move to.
        since: when it began, as a moment in UTC.
        existing: the ids of the new side's projects from before the move; an undo keeps them.
        versions: the versions of each secret on the old and the new side after the last copy, by
            environment, folder and name. A negative one is the future version of a copy under way.
        ending: `finish` or `undo` once that has begun to delete projects; else empty.
    """

    to: Isolation
    since: str
    existing: frozenset[str] = _NOTHING
    versions: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    ending: str = ""


@dataclass(frozen=True)
class Memory:
    """The results of earlier runs.

    Attributes:
        environments: slug to id, as after the last run.
        made: ids of the environments, folders and imports that runs made. Nothing else is ever
            deleted, as it may be older, or made by a person or by an interrupted run.
        folders: path to id, by the id of the environment.
        identities: name to id, also of those that the file no longer names.
        project: the id of the project; empty where only an earlier release ran.
        slug: the slug of the project in the last run.
        canary: the id of the canary's project.
        parts: with the isolation `projects`, the memory of each project by the key of `split`. The
            id of the project itself is in `made` there if a run made it.
        move: the move of the secrets to another isolation; None if there is none.
        fell_back: whether the first deploy found that the server does not enforce privileges, so
            that `projects` is in effect where the settings have `privilege`.
        unenforced: whether the last proof found that the server does not enforce privileges.
    """

    environments: Mapping[str, str] = field(default_factory=dict)
    made: frozenset[str] = _NOTHING
    folders: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    identities: Mapping[str, str] = field(default_factory=dict)
    project: str = ""
    slug: str = ""
    canary: str = ""
    parts: Mapping[str, "Memory"] = field(default_factory=dict)
    move: Move | None = None
    fell_back: bool = False
    unenforced: bool = False

    @property
    def is_made(self) -> bool:
        """Return whether a run made the project itself."""
        return self.project in self.made

    @property
    def projects(self) -> list[str]:
        """Return the ids of all projects of ours."""
        every = [self, *self.parts.values()]
        return [id for id in (self.canary, *(each.project for each in every)) if id]

    def without(self, ids: Collection[str]) -> "Memory":
        """Return the memory without deleted projects, environments and identities, by their ids.

        Deleted environments still count as made, since they can be restored.
        """
        return replace(
            self,
            environments={slug: id for slug, id in self.environments.items() if id not in ids},
            identities={name: id for name, id in self.identities.items() if id not in ids},
            parts={
                key: each.without(ids)
                for key, each in self.parts.items()
                if each.project not in ids
            },
        )


@dataclass(frozen=True, kw_only=True)
class Goal:
    """The desired state of an Infisical, and the memory of earlier runs.

    Attributes:
        isolation: with `privilege` a service reads only its own folders; with `viewer` it reads
            everything, and the server needs no API of privileges; with `projects` each service and
            environment has a project of its own.
        admin_email: the first administrator, who must be an admin of the project.
        memory: the results of earlier runs, which identify renamed objects; empty on a first run.
        factors: the second factors of people, if the file requires them and a host can read them.
    """

    desired: Workspace
    isolation: Isolation
    admin_email: str
    memory: Memory = field(default_factory=Memory)
    factors: SecondFactors = field(default_factory=SecondFactors)
    key: str = ""
    """The key of one of several projects, as `split` gives it; empty for the whole."""

    def recalling(self, memory: Memory) -> Self:
        """Return the goal with a memory, and the isolation to which the first deploy fell back."""
        fell_back = memory.fell_back and self.isolation == "privilege"
        isolation: Isolation = "projects" if fell_back else self.isolation
        return replace(self, memory=replace(memory, fell_back=fell_back), isolation=isolation)

    @property
    def is_split(self) -> bool:
        """Return whether the desired state is in several projects, and this is not one of them."""
        return self.isolation == "projects" and not self.key

    @property
    def grants(self) -> bool:
        """Return whether access is granted by privileges."""
        return self.isolation == "privilege"

    @property
    def apart(self) -> list[str]:
        """Return the identities that need a privilege though the isolation grants none.

        These are those of jobs that see names: no role of the free edition shows names without
        values.
        """
        jobs = self.desired.jobs() if not self.grants else ()
        return [each.identity for each in jobs if not each.sees_values]


Recorded = Callable[[Event, Sequence[str]], AbstractContextManager[None]]


@dataclass(frozen=True, kw_only=True)
class Reached(Goal):
    """A connected Infisical, and its desired state.

    Attributes:
        address: the address at which services reach it.
        deployer: the deployer's client id.
        deployer_secret: the id of the deployer's client secret, or the first characters of its
            value; empty if neither is known.
        admin: logs the administrator in at its first call; raises UserError if that is impossible.
        has_admin: whether that login is possible.
        remember: stores a memory for the next run; None at a URL, which has no place for it.
        credentials: reads the client ids in the services' credentials on the host, by path.
        discard: removes files from the host.
        read_accesses: reads the access log of the hosts since a time; None if there is none.
        recorded: returns a context that writes an event into the host's audit log, and at its end
            the list of changes; at a URL there is no such log.
    """

    client: Client
    address: str
    deployer: str
    admin: Callable[[], Client]
    has_admin: bool
    remember: Callable[[Memory], None] | None = None
    credentials: Callable[[], Mapping[str, str]] = dict
    deployer_secret: str = ""
    discard: Callable[[Sequence[str]], None] = lambda _: None
    recorded: Recorded = lambda *_: nullcontext()
    read_accesses: Callable[[datetime], FolderReads] | None = None


class Part(NamedTuple):
    """One of the projects of the isolation `projects`, as the project file defines it.

    Attributes:
        folder: the folder in it, with the same path as in the other methods of isolation.
        owner: the service whose own folder it is; empty for a shared folder.
        former: the former name of that service; empty if it was not renamed.
        services: the services that may read it.
    """

    folder: str
    environment: Environment
    owner: str
    former: str
    services: Mapping[str, Service]

    @property
    def key(self) -> str:
        """Return the name under which the host remembers the project, built from the file."""
        return f"{self.owner or self.folder}.{self.environment.slug}"

    @property
    def former_key(self) -> str:
        """Return the key under the service's former name; empty if it was not renamed."""
        return f"{self.former}.{self.environment.slug}" if self.former else ""

    @property
    def stem(self) -> str:
        """Return the part of a slug that names the service or folder, and the environment."""
        words = re.sub(r"[^a-z0-9]+", "-", self.folder.lower()).strip("-")
        return f"{self.owner or words or 'folder'}-{self.environment.slug}"

    @property
    def is_named_exactly(self) -> bool:
        """Return whether no other folder could have the same stem."""
        return bool(self.owner) or bool(re.fullmatch(r"/[a-z0-9]+(-[a-z0-9]+)*", self.folder))


def parts_of(desired: Workspace) -> list[Part]:
    """Return the projects of the isolation `projects`: of services first, then shared folders."""
    named = desired.services.items()
    return [
        Part(
            service.folder,
            environment,
            name,
            service.renamed_from or "",
            {name: service.model_copy(update={"imports": ()})},
        )
        for name, service in named
        for environment in desired.environments
    ] + [
        Part(
            folder,
            environment,
            "",
            "",
            {
                name: service.model_copy(update={"folder": folder, "imports": ()})
                for name, service in named
                if folder in service.imports
            },
        )
        for folder in desired.shared_folders
        for environment in desired.environments
    ]


def slugs_of(desired: Workspace) -> dict[str, str]:
    """Return the slugs of the projects of the isolation `projects`, by key; no two are equal.

    A slug consists of the project's slug in the file, the service or folder, and the environment.
    A slug that is too long for Infisical, or that two projects could have, is cut and ends in a
    digest of the slug and the key: another deployment in the organization may have the cut slug.
    The digest is longer for slugs that would be equal nevertheless.
    """
    parts = parts_of(desired)
    plain = {each.key: f"{desired.project.slug}-{each.stem}" for each in parts}
    often = Counter(plain.values())
    exact = {each.key for each in parts if each.is_named_exactly}
    found = {
        key: slug
        if key in exact and often[slug] == 1 and len(slug) <= _LONGEST_SLUG
        else _cut_slug(slug, key, _DIGITS)
        for key, slug in plain.items()
    }
    for digits in range(_DIGITS + 1, _MOST_DIGITS + 1):
        count = Counter(found.values())
        if len(count) == len(found):
            break
        # A slug that is not cut stays, as it is what a digest must differ from.
        for key, slug in found.items():
            if count[slug] > 1 and slug != plain[key]:
                found[key] = _cut_slug(plain[key], key, digits)
    return found


def _cut_slug(slug: str, key: str, digits: int) -> str:
    head = slug[: _LONGEST_SLUG - digits - 1].rstrip("-")
    return f"{head}-{sha256(f'{slug} {key}'.encode()).hexdigest()[:digits]}"


def split(goal: Goal) -> dict[str, Goal]:
    """Return the goals of single projects by key; the goal itself if there is one project.

    The identities in the memory are those of the whole goal, since identities belong to no project.
    """
    if not goal.is_split:
        return {goal.key: goal}
    desired, slugs = goal.desired, slugs_of(goal.desired)
    return {
        part.key: replace(
            goal,
            key=part.key,
            desired=desired.model_copy(
                update={
                    "project": _project(desired, part, slugs[part.key]),
                    "environments": (part.environment,),
                    "shared_folders": () if part.owner else (part.folder,),
                    "services": part.services,
                    "ci": _narrow_jobs(desired, part),
                    "people": {
                        email: role_in(access, part.environment.slug, part.folder)
                        for email, access in desired.people.items()
                    },
                    "accepted": (),
                }
            ),
            memory=_recall(goal.memory, part, slugs[part.key]),
        )
        for part in parts_of(desired)
    }


def _narrow_jobs(desired: Workspace, part: Part) -> dict[str, Job]:
    """Return the jobs that see one project."""
    slug = part.environment.slug
    return {
        each.service: desired.ci[each.service].model_copy(
            update={"sees": {slug: (part.folder,)} if each.sees_values else "names"}
        )
        for each in desired.jobs()
        if not each.sees_values or part.folder in each.places.get(slug, ())
    }


def _project(desired: Workspace, part: Part, slug: str) -> Project:
    name = f"{desired.project.name} {part.owner or part.folder} {part.environment.name}"
    # A cut name may end in a space, which Infisical strips.
    return Project(name=name[:_LONGEST_NAME].strip(), slug=slug)


def _recall(memory: Memory, part: Part, slug: str) -> Memory:
    """Return the memory of one project, also under the former name of its service."""
    known = memory.parts.get(part.key)
    if known is None and (former := memory.parts.get(part.former_key)):
        known = replace(
            former,
            folders={id: dict(_rename(paths, part.folder)) for id, paths in former.folders.items()},
        )
    # The project is found by its id, even if its slug has changed.
    return replace(known or Memory(), slug=slug, identities=memory.identities)


def _rename(paths: Mapping[str, str], folder: str) -> Iterator[tuple[str, str]]:
    """Yield the ids of folders by path, the innermost under its new name if its parent stays."""
    innermost = max(paths, key=len, default="")
    stays = innermost.rpartition("/")[0] == folder.rpartition("/")[0]
    for path, id in paths.items():
        yield folder if stays and path == innermost else path, id


def role_in(access: Access, environment: str, folder: str) -> str:
    """Return the role that a person's access gives in one folder of an environment."""
    inside = access if isinstance(access, str) else access.get(environment, "none")
    if isinstance(inside, str):
        return inside
    given = (role for path, role in inside.items() if f"{folder}/".startswith(f"{path}/"))
    return max(given, key=ROLES.index, default="none")


def pair(goal: Goal, actual: Actual) -> list[tuple[Goal, Actual]]:
    """Return each project's goal with its actual state, in the order of `split`."""
    if not goal.is_split:
        return [(goal, actual)]
    return [(each, actual.parts[key]) for key, each in split(goal).items() if key in actual.parts]


def empty_state(goal: Goal) -> Actual:
    """Return the actual state of an Infisical in which nothing of a goal exists yet."""
    if not goal.is_split:
        return Actual("")
    slugs = {key: each.desired.project.slug for key, each in split(goal).items()}
    return Actual("", parts={key: Actual("", slug=slug) for key, slug in slugs.items()})


@dataclass(frozen=True)
class Layout:
    """The ids of the projects that hold the folders of the environments.

    Attributes:
        whole: the project that holds all of them; empty with the isolation `projects`.
        parts: the projects of the isolation `projects`, by environment and folder; "" for one that
            can't be seen.
    """

    whole: str = ""
    parts: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def find(self, environment: str, folder: str) -> str:
        """Return the id of the project that holds a folder, also one inside a service's folder.

        It is empty if the project can't be seen, and if the project file names neither the folder
        nor one of its parents.
        """
        if self.whole:
            return self.whole
        around = [folder]
        while (above := around[-1].rpartition("/")[0]) and above != around[-1]:
            around.append(above)
        held = (self.parts.get((environment, each)) for each in around)
        return next((id for id in held if id is not None), "")

    def is_elsewhere(self, environment: str, folder: str, project: str) -> bool:
        """Return whether another project than this one holds a folder."""
        return self.find(environment, folder) not in ("", project)

    def list_in(self, environment: str) -> list[str]:
        """Return the ids of the projects that hold folders of an environment."""
        if self.whole:
            return [self.whole]
        return [id for (slug, _), id in self.parts.items() if id and slug == environment]

    @property
    def ids(self) -> list[str]:
        """Return the ids of all projects."""
        return [self.whole] if self.whole else [*filter(None, self.parts.values())]


def narrow_people(goal: Goal, key: str) -> Workspace:
    """Return the file's people with their roles in a project that the file no longer names."""
    known, (_, _, environment) = goal.memory.parts[key], key.rpartition(".")
    folder = max((path for paths in known.folders.values() for path in paths), key=len, default="/")
    people = goal.desired.people.items()
    roles = {email: role_in(access, environment, folder) for email, access in people}
    return goal.desired.model_copy(update={"people": roles})


def find_unnamed_parts(goal: Goal) -> dict[str, Memory]:
    """Return the memory of projects that the file no longer names, by key."""
    if not goal.is_split:
        return {}
    known = {key for part in parts_of(goal.desired) for key in (part.key, part.former_key)}
    return {key: each for key, each in goal.memory.parts.items() if key not in known}
