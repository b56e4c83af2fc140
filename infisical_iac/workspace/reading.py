"""Compare secrets and the reach of a service's identity before and after a version change."""

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import Any, NamedTuple

from infisical_iac.agent import contents
from infisical_iac.agent.api import gather
from infisical_iac.api import login
from infisical_iac.api.client import Client
from infisical_iac.core.errors import ApiError, CheckFailed, UserError
from infisical_iac.core.remote import run
from infisical_iac.core.wording import join_names
from infisical_iac.stack import session
from infisical_iac.workspace.credential_file import Credential, parse
from infisical_iac.workspace.credentials import DIRECTORY
from infisical_iac.workspace.isolation import GENERATIONS, Generation, IsolationPlace
from infisical_iac.workspace.reconcile import projects_here


class ReadSecret(NamedTuple):
    """A secret without its value: its place, name, version and the value's digest."""

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


def secret(environment: str, listed: Mapping[str, Any]) -> ReadSecret:
    """Return the secret of an entry of the server's list."""
    return ReadSecret(
        f"{environment}:{listed['secretPath']}",
        listed["secretKey"],
        listed["version"],
        sha256(listed["secretValue"].encode()).hexdigest(),
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


# The number of files tried: refused logins may count towards a ban.
_MOST_FILES = 3
NONE = "No service's credentials worked before the change: no service's access was compared."


@dataclass(frozen=True)
class Reach:
    """The secrets that a service's identity was shown.

    Attributes:
        name: the name of its credentials.
        credential: the credential that it logs in with.
        shown: the ids of secrets, for each generation of the secrets API that the server had.
    """

    name: str
    credential: Credential = field(repr=False)
    shown: Mapping[str, frozenset[str]]


def before(deployer: Client, slug: str, port: int) -> Reach | None:
    """Return the reach of the first service with working credentials on the host, or None."""
    with suppress(UserError):
        listed = run(f"ls {DIRECTORY} 2>/dev/null || true", doing="list the credentials").split()
        for name in [each for each in sorted(listed) if each.endswith(".env")][:_MOST_FILES]:
            credential = parse(run(f"cat {DIRECTORY}/{name}", doing=f"read {DIRECTORY}/{name}"))
            if credential is None:
                continue
            try:
                shown = _ids_shown(deployer, credential, slug, port)
            except ApiError as error:
                if error.status != 401:
                    raise
            else:
                # Without a project or an API of secrets, there is nothing to compare with.
                return Reach(name.removesuffix(".env"), credential, shown) if shown else None
    return None


def compare(deployer: Client, slug: str, port: int, then: Reach, there: Secrets) -> str:
    """Return a sentence on a service that is shown the same secrets as before.

    Args:
        then: the result of `before`.
        there: the secrets from before the change, for their names.

    Raises CheckFailed if it is shown more or fewer.
    """
    try:
        now = _ids_shown(deployer, then.credential, slug, port)
    except ApiError as error:
        raise CheckFailed(
            f"the credentials {then.name} no longer work: {error}", code="checks.reach"
        ) from None
    # Secrets that were written or deleted since are left out.
    common = there.keys() & set(_existing(deployer, slug))
    for generation in [each for each in then.shown if each in now]:
        _refuse_difference(then, generation, then.shown[generation] & common, now, common, there)
    gone = sorted(then.shown.keys() - now.keys())
    if not now or (gone and not now.keys() & then.shown.keys()):
        raise CheckFailed(
            f"no version of the secrets API answers the identity of {then.name}",
            code="checks.reach",
        )
    sentence = f"The identity of {then.name} reads the same secrets as before, and nothing else"
    lost = f"; the server no longer has {join_names(gone)} of the secrets API" if gone else ""
    return f"{sentence}{lost}."


def _refuse_difference(
    then: Reach,
    generation: str,
    had: frozenset[str],
    now: Mapping[str, frozenset[str]],
    common: set[str],
    there: Secrets,
) -> None:
    has = now[generation] & common
    for ids, how, code in (
        (has - had, "reads secrets that it was refused before, through", "checks.isolation"),
        (had - has, "no longer reads secrets that it may read, through", "checks.reach"),
    ):
        if ids:
            raise CheckFailed(
                f"the identity of {then.name} {how} {generation} of the secrets API: "
                f"{list_names(there[id] for id in ids)}",
                code=code,
            )


def _existing(deployer: Client, slug: str) -> list[str]:
    patient = deployer.with_patience()
    listed = [
        contents.secrets_of(patient, project, values=False)
        for project in projects_here(deployer, slug)
    ]
    return [each["id"] for found in listed for secrets in found.values() for each in secrets]


def _ids_shown(
    deployer: Client, credential: Credential, slug: str, port: int
) -> dict[str, frozenset[str]]:
    """Return the ids that an identity is shown, by the generation of the API."""
    reader = login.universal(session.api(port), credential.client_id, credential.client_secret)
    roots = [
        IsolationPlace(project["id"], each["slug"], "/")
        for project in projects_here(deployer, slug)
        for each in project["environments"]
    ]
    patient = reader.with_patience()

    def list_shown(generation: Generation) -> frozenset[str]:
        listed = gather(
            partial(generation.list_secrets, patient, root, recursive=True, values=False)
            for root in roots
        )
        return frozenset(each["id"] for secrets in listed for each in secrets)

    return {
        generation.name: list_shown(generation)
        for generation in GENERATIONS
        if any(generation.serves(reader, root) for root in roots)
    }
