"""Compare secrets, and what a service's identity is shown, before and after a change of version."""

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, NamedTuple

from infisical_iac.api import contents, login
from infisical_iac.api.client import Client
from infisical_iac.core.errors import ApiError, CheckFailed, UserError
from infisical_iac.core.remote import run
from infisical_iac.stack import session
from infisical_iac.workspace.credential_file import Credential, parse
from infisical_iac.workspace.credentials import DIRECTORY
from infisical_iac.workspace.isolation import GENERATIONS, IsolationPlace
from infisical_iac.workspace.reconcile import project_here


class ReadSecret(NamedTuple):
    """A secret without its value: where it is, its name, version and the value's digest."""

    place: str
    name: str
    version: int
    digest: str

    @property
    def environment(self) -> str:
        """The slug of its environment."""
        return self.place.partition(":")[0]


# So many deletions are people's, whatever there is.
_MOST_DELETED = 5
Secrets = Mapping[str, ReadSecret]


def secret(environment: str, listed: Mapping[str, Any]) -> ReadSecret:
    """The Secret of an entry that the server has listed."""
    return ReadSecret(
        f"{environment}:{listed['secretPath']}",
        listed["secretKey"],
        listed["version"],
        sha256(listed["secretValue"].encode()).hexdigest(),
    )


@dataclass(frozen=True)
class Differences:
    """The differences between secrets and what was read before.

    Attributes:
        unreadable: those that the database has, and that are not read as they were.
        deleted: those that it has no more, or whose environment waits for its deletion.
        of: how many there were before.
    """

    unreadable: list[ReadSecret]
    deleted: list[ReadSecret]
    of: Counter[str]

    @property
    def is_damage(self) -> bool:
        """Return whether more are deleted than people delete meanwhile: a migration may have."""
        deleted = Counter(each.environment for each in self.deleted)
        emptied = any(number > 1 and number == self.of[name] for name, number in deleted.items())
        return emptied or deleted.total() > max(_MOST_DELETED, self.of.total() // 10)


def find_altered(before: Secrets, after: Secrets) -> Iterator[ReadSecret]:
    """Yield those that have another value in the same version: nobody has written them."""
    for id, old in before.items():
        new = after.get(id)
        if new and new.version == old.version and new.digest != old.digest:
            yield old


def compare_secrets(
    before: Secrets, after: Secrets, *, present: Container[str], closed: Container[str]
) -> Differences:
    """Return how secrets differ from `before`.

    Args:
        present: the ids of those that are not in `after`, and of which the database has a row.
        closed: the environments that somebody has deleted, which keep their rows for a while.
    """
    missing = {id: old for id, old in before.items() if id not in after}
    kept = {
        id: old for id, old in missing.items() if id in present and old.environment not in closed
    }
    gone = [old for id, old in missing.items() if id not in kept]
    of = Counter(each.environment for each in before.values())
    return Differences([*find_altered(before, after), *kept.values()], gone, of)


def list_names(secrets: Iterable[ReadSecret]) -> str:
    """Return the first three names and places, and how many there are besides."""
    names = sorted({f"{each.name} in {each.place}" for each in secrets})
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"


# So many files are tried: a login that is refused may count towards a ban.
_MOST_FILES = 3
NONE = "No service's credentials are known to have worked before: no identity of one was asked."


@dataclass(frozen=True)
class Reach:
    """The secrets that the identity of a service was shown.

    Attributes:
        name: of its credentials.
        credential: what it logs in with.
        shown: the ids of secrets by the generation of the secrets API, of each that there was.
    """

    name: str
    credential: Credential = field(repr=False)
    shown: Mapping[str, frozenset[str]]


def before(deployer: Client, slug: str, port: int) -> Reach | None:
    """Return what the first service is shown whose credentials on the host work; None without."""
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
                # Without a project, or an API to ask, there is nothing to compare with.
                return Reach(name.removesuffix(".env"), credential, shown) if shown else None
    return None


def compare(deployer: Client, slug: str, port: int, then: Reach, there: Secrets) -> str:
    """Return a sentence on a service that is shown what it was shown before, and nothing else.

    Args:
        then: as `before` had it.
        there: the secrets of before, whose names are told.

    Raises CheckFailed for one that is shown more, or less.
    """
    try:
        now = _ids_shown(deployer, then.credential, slug, port)
    except ApiError as error:
        raise CheckFailed(
            f"the credentials {then.name} do not work any more: {error}", code="checks.reach"
        ) from None
    # What somebody has written or deleted meanwhile says nothing.
    common = there.keys() & set(_existing(deployer, slug))
    for generation in [each for each in then.shown if each in now]:
        _refuse_difference(then, generation, then.shown[generation] & common, now, common, there)
    gone = sorted(then.shown.keys() - now.keys())
    if not now or (gone and not now.keys() & then.shown.keys()):
        raise CheckFailed(
            f"no generation of the secrets API answers the identity of {then.name}",
            code="checks.reach",
        )
    told = f"The identity of {then.name} is shown what it was shown before, and nothing else"
    lost = f"; the server has {' and '.join(gone)} of the secrets API no more" if gone else ""
    return f"{told}{lost}."


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
        (has - had, "is shown what it was refused before, by", "checks.isolation"),
        (had - has, "is not shown any more what it may read, by", "checks.reach"),
    ):
        if ids:
            raise CheckFailed(
                f"the identity of {then.name} {how} {generation} of the secrets API: "
                f"{list_names(there[id] for id in ids)}",
                code=code,
            )


def _existing(deployer: Client, slug: str) -> list[str]:
    project = project_here(deployer, slug)
    found = contents.secrets_of(deployer.with_patience(), project, values=False) if project else {}
    return [each["id"] for secrets in found.values() for each in secrets]


def _ids_shown(
    deployer: Client, credential: Credential, slug: str, port: int
) -> dict[str, frozenset[str]]:
    """Return the ids that an identity is shown by each generation that there is."""
    reader = login.universal(session.api(port), credential.client_id, credential.client_secret)
    project = project_here(deployer, slug)
    if project is None:
        return {}
    roots = [IsolationPlace(project["id"], each["slug"], "/") for each in project["environments"]]
    patient = reader.with_patience()
    return {
        generation.name: frozenset(
            each["id"]
            for root in roots
            for each in generation.list_secrets(patient, root, recursive=True, values=False)
        )
        for generation in GENERATIONS
        if roots and generation.serves(reader, roots[0])
    }
