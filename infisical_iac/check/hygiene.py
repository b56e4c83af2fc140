"""Find secrets that are old, weak, shared by production and others, uneven, or never read."""

import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from itertools import groupby, pairwise
from typing import NamedTuple

from infisical_iac.check.env_files import is_placeholder, is_sensitive
from infisical_iac.check.model import NAME, Cause, CheckFinding
from infisical_iac.core.wording import join_names, pluralize
from infisical_iac.migrate.find import mode
from infisical_iac.stack.access_log import FolderReads
from infisical_iac.workspace.model import Workspace
from infisical_iac.workspace.stored_secrets import StoredSecret

_PRODUCTION = "production"
_MOST_VERSIONS = 50
_ROTATE = "Make a new one at the service that issued it, and store it: `infisical-iac secrets set`."

# Returns an earlier version of a secret; None if the server no longer has it.
ReadVersion = Callable[[StoredSecret, int], StoredSecret | None]


class Age(NamedTuple):
    """The age of a value.

    Attributes:
        since: the time when the value was written; it may be older if `is_least`.
        is_least: whether versions before that were not compared.
    """

    since: datetime
    is_least: bool = False


def covers(pattern: str, secret: StoredSecret) -> bool:
    """Return whether a pattern names a secret, or the folder or environment that it is in."""
    around = [secret.path]
    while around[-1]:
        around.append(around[-1].rpartition("/")[0])
    names = (*filter(None, around), *(f"{secret.environment}{each}" for each in around))
    return any(fnmatchcase(each, pattern) for each in (secret.key, *names))


def find_limit(secret: StoredSecret, max_age: Mapping[str, int]) -> tuple[str, int] | None:
    """Return the pattern that covers a secret and allows the fewest days, with these days."""
    fitting = [(days, pattern) for pattern, days in max_age.items() if covers(pattern, secret)]
    return (min(fitting)[1], min(fitting)[0]) if fitting else None


def find_age(secret: StoredSecret, read: ReadVersion | None, until: datetime) -> Age:
    """Return the age of a secret's value.

    A change of a comment or tag makes a new version too. So versions are compared, from the latest
    one back, until one has another value.

    Args:
        read: function that reads an earlier version; None if values may not be read.
        until: the search ends at this time: a value that is older is past its limit in any case.
    """
    age = Age(secret.changed, is_least=secret.version > 1)
    if read is None or secret.value is None:
        return age
    for version in range(secret.version - 1, max(0, secret.version - 1 - _MOST_VERSIONS), -1):
        if age.since <= until:
            return age
        before = read(secret, version)
        if before is None or before.value is None:
            return age
        if before.value != secret.value:
            return age._replace(is_least=False)
        age = Age(before.created, is_least=version > 1)
    return age


def find_old(
    secrets: Iterable[StoredSecret],
    max_age: Mapping[str, int],
    now: datetime,
    read: ReadVersion | None,
) -> Iterator[CheckFinding]:
    """Yield findings on values that are older than the project file allows.

    Args:
        max_age: days by pattern.
        read: as for `find_age`.
    """
    unsure: Counter[str] = Counter()
    used: set[str] = set()
    for each in secrets:
        used.update(pattern for pattern in max_age if covers(pattern, each))
        if not (limit := find_limit(each, max_age)):
            continue
        pattern, days = limit
        until = now - timedelta(days=days)
        if each.created > until:
            continue  # no value is older than its secret
        age = find_age(each, read, until)
        if age.since > until:
            if age.is_least:
                unsure[each.environment] += 1
            continue
        least = "at least " if age.is_least else ""
        message = (
            f"{each.key} has had its value for {least}{pluralize((now - age.since).days, 'day')} "
            f"in {each.environment}; {pattern} allows {days}. {_ROTATE}"
        )
        place = f"{each.environment}{each.folder.rstrip('/')}"
        text = f"{{count}} values are older than the {days} days of {pattern}"
        cause = Cause(place, text, _ROTATE)
        yield CheckFinding("old-value", f"{place}/{each.key}", each.key, message, cause=cause)
    for slug, count in unsure.items():
        message = (
            f"{pluralize(count, 'secret')} changed within max_age, but maybe only in a comment or "
            "tag: give --values, with a login that may read values, to know how old the values are."
        )
        yield CheckFinding("not-checked", slug, "", message, is_note=True)
    for pattern in sorted(max_age.keys() - used):
        message = f"max_age has {pattern}, which matches no secret: correct or delete it."
        yield CheckFinding("unused-rule", "hygiene", "", message, is_note=True)


def find_equal(secrets: Iterable[StoredSecret]) -> Iterator[CheckFinding]:
    """Yield findings on secrets with the same value in production and in another environment."""
    by_place: dict[tuple[str, str], list[StoredSecret]] = {}
    for each in secrets:
        by_place.setdefault(each.place, []).append(each)
    for there in by_place.values():
        for one in there:
            if mode(one.environment) != _PRODUCTION or not one.value:
                continue
            others = [
                each.environment
                for each in there
                if each.value == one.value and mode(each.environment) != _PRODUCTION
            ]
            if others and is_sensitive(one.key, one.value):
                where = join_names([*others, one.environment])
                cause = Cause(one.folder, f"{{count}} values are the same in {where}", _OWN_VALUE)
                message = f"{one.key} has the same value in {where}. {_OWN_VALUE}"
                yield CheckFinding("equal-value", one.path, one.key, message, cause=cause)


_OWN_VALUE = (
    "Give production values of its own: more people and machines read those of other environments."
)

_SECRET_NAME = re.compile(
    r"(?:.*_)?(?:PASSWORD|PASSWD|PASS|PWD|PASSPHRASE|SECRET|TOKEN|KEY|SALT|PEPPER|SEED)(?:_?\d+)?",
    re.IGNORECASE,
)
_PUBLIC_NAME = re.compile(r"(?:.*_)?(?:PUBLIC|PUBLISHABLE)(?:_.*)?", re.IGNORECASE)
_PASSWORD_IN_ADDRESS = re.compile(r"(?<=://)[^\s:@/]*:([^\s@/]+)@")
_COMMON = re.compile(
    r"admin|administrator|abc|abcd|abcdef|asdf|changeit|default|demo|dev|dragon|guest|hallo|"
    r"hello|iloveyou|infisical|letmein|local|login|master|monkey|mysql|pass|passw|passwd|"
    r"passwort|password|postgres|prod|production|qwerty|qwertz|redis|root|secret|staging|"
    r"supersecret|sysadmin|test|testing|token|user|welcome|zaq"
)
# Words that secrets are often put together from, with those above: `mysecretkey`, `keyboard cat`.
_JOINED = re.compile(
    rf"(?:{_COMMON.pattern}|and|api|app|auth|backend|cat|cookie|database|db|development|dummy|"
    r"example|fake|for|frontend|fruehling|herbst|is|jwt|key|keyboard|long|my|not|of|our|private|"
    r"random|session|sommer|some|spring|string|summer|autumn|super|the|this|top|very|winter|your)+"
)
_LONG_RUN = 4  # steps, as in `12345`
_LEAST_BITS = 56  # ten random letters and digits have more, and so have 16 hexadecimal digits


def is_weak(key: str, value: str) -> bool:
    """Return whether a password or key is easy to guess: common, short or repetitive."""
    found = _PASSWORD_IN_ADDRESS.findall(value)
    if not found:
        if "://" in value or not _SECRET_NAME.fullmatch(key) or _PUBLIC_NAME.fullmatch(key):
            return False
        found = [value]
    return any(map(_is_guessable, found)) and is_sensitive(key, value)


def _is_guessable(text: str) -> bool:
    word = re.sub(r"[^a-z]", "", text.lower())
    bare = re.sub(r"[^a-z]+$|^[^a-z]+", "", text.lower())
    is_common = any(map(_COMMON.fullmatch, (bare, word)))
    # Of a random text, the few letters may be a word.
    is_joined = len(word) >= len(text) / 2 and _JOINED.fullmatch(word) is not None
    return is_common or is_joined or is_placeholder(text) or _bits(text) < _LEAST_BITS


def _bits(text: str) -> float:
    """Return the binary logarithm of the number of texts with such characters and this length.

    Characters that continue a run, as in `aaaaa` or `12345`, do not count. Those of shorter runs,
    which random texts have too, count less.
    """
    steps = (ord(b) - ord(a) in (-1, 0, 1) for a, b in pairwise(text))
    runs = [sum(each) for is_run, each in groupby(steps) if is_run]
    lost = sum(each if each >= _LONG_RUN else each / 4 for each in runs)
    is_hex = bool(re.fullmatch(r"[0-9a-f]+|[0-9A-F]+", text))
    pools = ((r"[0-9]", 10), (r"[a-z]", 6 if is_hex else 26), (r"[A-Z]", 6 if is_hex else 26))
    pool = sum(size for pattern, size in pools if re.search(pattern, text))
    pool += 30 if re.search(r"[^0-9A-Za-z]", text) else 0
    # A text of few different characters is as weak as one of a small alphabet.
    pool = min(pool, 6 * len(set(text)))
    return (len(text) - lost) * math.log2(pool) if pool > 1 else 0.0


def find_weak(secrets: Iterable[StoredSecret]) -> Iterator[CheckFinding]:
    """Yield findings on passwords and keys that are easy to guess."""
    by_place: dict[tuple[str, str], list[str]] = {}
    paths: dict[tuple[str, str], str] = {}
    for each in secrets:
        if each.value and is_weak(each.key, each.value):
            by_place.setdefault(each.place, []).append(each.environment)
            paths[each.place] = each.path
    for (folder, key), slugs in by_place.items():
        where = join_names(slugs)
        cause = Cause(folder, f"{{count}} values in {where} are easy to guess", _STRONGER)
        message = f"{key} has a value in {where} that is easy to guess. {_STRONGER}"
        yield CheckFinding("weak-value", paths[folder, key], key, message, cause=cause)


_STRONGER = "Take a random one, such as `openssl rand -base64 24` prints."


def find_uneven(
    secrets: Iterable[StoredSecret],
    unseen: Collection[tuple[str, str]],
    reported: Iterable[CheckFinding],
    workspace: Workspace,
) -> Iterator[CheckFinding]:
    """Yield notes on secrets that only some environments have.

    Keys that are already reported, and folders that are empty in an environment, are left out. So
    are environments where all services that read the folder get the key from another one.

    Args:
        unseen: environments and folders that the login may not see.
        reported: the findings so far.
    """
    known = {each.key for each in reported if each.kind in ("missing-key", "left-over")}
    folders: dict[str, set[str]] = {}
    keys: dict[tuple[str, str], set[str]] = {}
    for each in secrets:
        folders.setdefault(each.folder, set()).add(each.environment)
        keys.setdefault(each.place, set()).add(each.environment)
    slugs = [each.slug for each in workspace.environments]
    for (folder, key), there in sorted(keys.items()):
        lacking = [
            slug
            for slug in slugs
            if slug in folders[folder] - there and (slug, folder) not in unseen
            if not _is_elsewhere(slug, folder, key, keys, workspace)
        ]
        if lacking and key not in known:
            has = join_names([slug for slug in slugs if slug in there])
            where = f"in {has}, and not in {join_names(lacking)}"
            path = f"{folder.rstrip('/')}/{key}"
            cause = Cause(folder, f"{{count}} keys are {where}", "")
            yield CheckFinding("uneven-key", path, key, f"{key} is {where}.", True, cause)


def _is_elsewhere(
    slug: str,
    folder: str,
    key: str,
    keys: Mapping[tuple[str, str], Collection[str]],
    workspace: Workspace,
) -> bool:
    """Return whether all services that read a folder get the key from another of their folders.

    Args:
        keys: the environments of each folder and key.
    """
    readers = [each.readable for each in workspace.services.values() if folder in each.readable]
    found = [any(slug in keys.get((each, key), ()) for each in there) for there in readers]
    return bool(found) and all(found)


def find_hidden(secrets: Iterable[StoredSecret]) -> Iterator[CheckFinding]:
    """Yield notes on the folders whose values the login may not read."""
    hidden = Counter(f"{each.environment}{each.folder}" for each in secrets if each.value is None)
    for place, count in sorted(hidden.items()):
        message = (
            f"The login may not read {pluralize(count, 'value')}, so they were not searched for "
            "weak or equal ones, and their age is the time since their last change."
        )
        yield CheckFinding("values-hidden", place, "", message, is_note=True)


def find_unread(
    secrets: Sequence[StoredSecret],
    reads: FolderReads,
    projects: Collection[str],
    workspace: Workspace,
    days: int,
    now: datetime,
) -> Iterator[CheckFinding]:
    """Yield findings on folders that nobody has read for some days, according to the access log.

    Loaders read whole folders, so the log does not show single secrets. A folder also counts as
    read if a folder above it was read, or the folder of a service that imports it. Folders whose
    secrets are all younger are left out.

    Args:
        reads: the reads in the access log, of at least these days if the log goes back so far.
        projects: the ids and slugs of the projects.
    """
    since = now - timedelta(days=days)
    if reads.began is None or reads.began > since or reads.has_unplaced:
        why = "some of its reads name no folder"
        if not reads.has_unplaced:
            why = f"it begins on {reads.began:%Y-%m-%d}" if reads.began else "there is none"
        message = f"The access log can't show which folders nobody has read for {days} days: {why}."
        yield CheckFinding("not-checked", "hygiene", "", message, is_note=True)
        return
    read = {(slug, folder) for project, slug, folder in reads.places if project in projects}
    oldest: dict[tuple[str, str], datetime] = {}
    for each in secrets:
        at = (each.environment, each.folder)
        oldest[at] = min(each.created, oldest.get(at, each.created))
    for (slug, folder), created in oldest.items():
        readers = [
            service.folder for service in workspace.services.values() if folder in service.imports
        ]
        around = {parent for each in (folder, *readers) for parent in _upwards(each)}
        if created <= since and not any((slug, each) in read for each in around):
            place = f"{slug}{folder}"
            message = (
                f"The access log has no read of it in {days} days. Delete what "
                f"is not needed, or accept {place} in {NAME}."
            )
            yield CheckFinding("not-read", place, "", message)


def _upwards(folder: str) -> list[str]:
    found = [folder]
    while found[-1] not in ("", "/"):
        found.append(found[-1].rpartition("/")[0] or "/")
    return found
