"""Read every secret of an Infisical on this host, and compare them before and after a change."""

import re
from collections import Counter
from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple

from infisical_iac.agent import contents
from infisical_iac.agent.api import ApiClient
from infisical_iac.agent.contents import Json, KnownProjects
from infisical_iac.agent.database import find_database
from infisical_iac.agent.runner import Runner, explain, make_failure


@dataclass(frozen=True)
class ReadingPlace:
    """Where the secrets are: an Infisical on this host, and the projects in it.

    Attributes:
        deployer: a client that may read all of them.
        anyone: a client of the same server without a token.
        slug, known: which projects they are, as for `contents.projects_of`.
        topology: whose database has them, `single` or `swarm`; empty if the host has only one.
    """

    runner: Runner
    deployer: ApiClient
    anyone: ApiClient
    slug: str
    known: KnownProjects
    topology: str = ""

    def projects(self) -> list[Json]:
        return contents.projects_of(self.deployer, self.slug, self.known)


def ask_database(runner: Runner, topology: str, sql: str, *, doing: str) -> list[str]:
    """Return the lines that SQL prints.

    Raises RuntimeError with a Failure, in which `doing` completes the sentence "could not …".
    """
    try:
        return find_database(runner, topology).sql(sql)
    except RuntimeError as error:
        sentence = f"could not {doing}: {explain(error)}"
        raise make_failure("command.database", sentence) from None


class ReadSecret(NamedTuple):
    """A secret without its value: its place, name, version, and the value's digest.

    The digest has a random key, so that it can't be compared with those of guessed values.
    """

    place: str
    name: str
    version: int
    digest: str

    @property
    def environment(self) -> str:
        """Return the slug of the secret's environment."""
        return self.place.partition(":")[0]


# Up to this number, deletions are attributed to people.
_MOST_DELETED = 5
Secrets = Mapping[str, ReadSecret]


def read_secret(environment: str, listed: Mapping[str, Any], key: bytes) -> ReadSecret:
    """Return the secret of an entry of the server's list; `key` is that of the digest."""
    return ReadSecret(
        f"{environment}:{listed['secretPath']}",
        listed["secretKey"],
        listed["version"],
        blake2b(listed["secretValue"].encode(), digest_size=32, key=key).hexdigest(),
    )


@dataclass(frozen=True)
class Differences:
    """The differences between secrets before and after.

    Attributes:
        unreadable: the secrets that the database has but that are not read as before.
        deleted: the secrets that are not in the database, or whose environment was deleted.
        of: the number of secrets before, by environment.
    """

    unreadable: list[ReadSecret]
    deleted: list[ReadSecret]
    of: Counter[str]

    @property
    def is_damage(self) -> bool:
        """Return whether so many secrets are deleted that a migration may have deleted them."""
        deleted = Counter(each.environment for each in self.deleted)
        emptied = any(number > 1 and number == self.of[name] for name, number in deleted.items())
        return emptied or deleted.total() > max(_MOST_DELETED, self.of.total() // 10)


def find_altered(before: Secrets, after: Secrets) -> Iterator[ReadSecret]:
    """Yield secrets with another value in the same version, which no write explains."""
    for id, old in before.items():
        new = after.get(id)
        if new and new.version == old.version and new.digest != old.digest:
            yield old


def compare_secrets(
    before: Secrets, after: Secrets, *, present: Container[str], closed: Container[str]
) -> Differences:
    """Return how secrets differ from `before`.

    Args:
        present: the ids of secrets that are missing in `after` and have a row in the database.
        closed: the deleted environments, whose rows stay for a while.
    """
    missing = {id: old for id, old in before.items() if id not in after}
    kept = {
        id: old for id, old in missing.items() if id in present and old.environment not in closed
    }
    gone = [old for id, old in missing.items() if id not in kept]
    of = Counter(each.environment for each in before.values())
    return Differences([*find_altered(before, after), *kept.values()], gone, of)


def list_names(secrets: Iterable[ReadSecret]) -> str:
    """Return the first three names and places, and the number of others."""
    names = sorted({f"{each.name} in {each.place}" for each in secrets})
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"


@dataclass(frozen=True)
class ReadSecrets:
    """Secrets by their ids, and the environments that were deleted and can be restored."""

    secrets: Secrets
    closed: frozenset[str] = frozenset()


def read_all(place: ReadingPlace, key: bytes) -> ReadSecrets:
    """Read every secret; `key` is that of the digests. Raises AnswerError or NoAnswer."""
    patient, projects = place.deployer.with_patience(), place.projects()
    secrets: dict[str, ReadSecret] = {}
    closed: set[str] = set()
    for project in projects:
        listed = contents.secrets_of(patient, project)
        # Several projects may have the same environment.
        prefix = f"{project['slug']}/" if len(projects) > 1 else ""
        secrets |= {
            each["id"]: read_secret(f"{prefix}{environment}", each, key)
            for environment, found in listed.items()
            for each in found
        }
        gone = {each["slug"] for each in project.get("deletedEnvironments", ())} - listed.keys()
        closed |= {f"{prefix}{each}" for each in gone}
    return ReadSecrets(secrets, frozenset(closed))


def compare_all(place: ReadingPlace, before: Secrets, found: ReadSecrets) -> Differences:
    """Return how all secrets differ from `before`, given what `read_all` has returned.

    Raises RuntimeError with a Failure if the database does not say which ones it has.
    """
    present = find_present(place, before.keys() - found.secrets.keys())
    return compare_secrets(before, found.secrets, present=present, closed=found.closed)


def find_present(place: ReadingPlace, ids: Collection[str]) -> set[str]:
    """Return the ids of secrets that have a row in the database.

    Every version of Infisical removes the row of a deleted secret.
    """
    # An id that SQL would have to quote is not queried, and never counts as deleted.
    odd = {each for each in ids if not re.fullmatch("[0-9A-Za-z-]{1,64}", each)}
    listed = ",".join(f"'{each}'" for each in sorted({*ids} - odd))
    if not listed:
        return odd
    sql = f"SELECT id FROM secrets_v2 WHERE id::text IN ({listed})"
    doing = "read which secrets the database has"
    return odd | {*ask_database(place.runner, place.topology, sql, doing=doing)}
