"""Compare the keys, values and logins of several files."""

import posixpath
import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence, Set
from functools import partial
from typing import NamedTuple
from urllib.parse import unquote

from infisical_iac.core.wording import join_names
from infisical_iac.dotenv import Finding, Reading, read
from infisical_iac.migrate import find
from infisical_iac.migrate.cascades import OVERRIDDEN
from infisical_iac.migrate.find import SAMPLES, words
from infisical_iac.migrate.findings import is_bootstrap, is_plain, safe_name
from infisical_iac.migrate.model import FileFinding, Source

PERSONAL_CONFLICT = "personal-conflict"
"""The kind of the finding on a key with another value only in a personal file.

The decision on that file comes first.
"""
KINDS = frozenset(
    {
        *("same-target", PERSONAL_CONFLICT, "same-value", "shared-candidate"),
        *("other-password", "differs-across-services"),
    }
)
"""The kinds of all findings of this module."""

_SHORTEST = 8  # characters; two files hardly have such a value in common by chance
_NAMED = 3  # other places in a message


class _Place(NamedTuple):
    source: Source
    key: str
    value: str
    line: int

    def __str__(self) -> str:
        return f"{self.source.path}:{self.line}"

    @property
    def at(self) -> tuple[str, int]:
        """Return the file and the line."""
        return self.source.path, self.line

    @property
    def counts(self) -> bool:
        """Return whether the loader uses this value, and no other file overrides it."""
        return self.key not in self.source.overridden

    @property
    def is_personal(self) -> bool:
        """Return whether the file is one person's own."""
        return find.is_personal(posixpath.basename(self.source.path))

    @property
    def is_telling(self) -> bool:
        """Return whether an equal value in another file is hardly a coincidence."""
        return len(self.value) >= _SHORTEST and not is_plain(self.key, self.value)


_IsOther = Callable[[_Place, _Place], bool]


def compare_files(sources: Iterable[Source]) -> Iterator[FileFinding]:
    """Yield the findings on keys and values of several files, one at each place."""
    sources = [each for each in sources if not each.is_left_out]
    places = [
        _Place(source, key, value, source.line(key))
        for source in sources
        for key, value in source.reading.values.items()
        if not is_bootstrap(key)
    ]
    placed = [each for each in places if all(each.source.target)]
    conflicts = [*_find_conflicts(each for each in placed if each.counts)]
    yield from conflicts
    overridden = (one for each in sources for one in each.findings if one.kind == OVERRIDDEN)
    # A conflict with a personal file is a part of the decision on that file.
    shared_conflicts = (each for each in conflicts if each.kind != PERSONAL_CONFLICT)
    reported = {(each.file, each.line) for each in (*shared_conflicts, *overridden)}
    # A personal value is only migrated by a decision, so it need not fit the other services.
    shared = [each for each in placed if each.value and not each.is_personal]
    passwords = [*_find_other_passwords(each for each in shared if each.at not in reported)]
    yield from passwords
    reported.update((each.file, each.line) for each in passwords)
    yield from _compare_services(shared, reported)
    telling = (each for each in places if each.is_telling and each.source.environment)
    for group in _group_equal(telling, lambda each: (each.source.environment, each.value)):
        yield from _report(
            group,
            "same-value",
            "Has the same value as {others}.",
            "Give each its own, so that one can be rotated without the other.",
            is_other=lambda each, other: each.key != other.key,
            names=True,
        )


def compare_with_samples(
    sources: Sequence[Source], samples: Mapping[str, bytes]
) -> Iterator[FileFinding]:
    """Yield the keys that only a sample or only the files next to it have.

    The files of one directory and environment count as one, because `.env.local` holds only what
    differs from `.env`.

    Args:
        samples: the bytes of each sample, by its path.
    """
    for path, data in samples.items():
        directory, name = posixpath.split(path)
        suffix = [each for each in words(name) if each not in SAMPLES]
        groups: dict[str, list[Source]] = {}
        for each in sources:
            parent, other = posixpath.split(each.path)
            if parent == directory and (not suffix or words(other)[: len(suffix)] == suffix):
                groups.setdefault(each.environment, []).append(each)
        for group in groups.values():
            # Files with a service's login only, as after a migration, lack all others.
            keys = {key for each in group for key in each.reading.values}
            if "INFISICAL_CLIENT_SECRET" in keys and all(map(is_bootstrap, keys)):
                continue
            yield from _compare_sample(path, read(data, group[0].grammar), group)


def _compare_sample(path: str, sample: Reading, group: Sequence[Source]) -> Iterator[FileFinding]:
    keys = {key for each in group for key in each.reading.values}
    lines = sample.lines
    if lines and all(map(is_bootstrap, lines)):
        return  # a sample by `migrate clean` has a login only, none of the service's keys
    for key in (each for each in lines if each not in keys):
        message = f"{path}:{lines[key]} names this key, but no file next to it has it."
        remedy = "Check whether the service needs it, and add it before the migration."
        found = Finding(0, "missing", safe_name(key, sample.values[key]), message, remedy)
        yield FileFinding.of(group[0].path, found)
    for each in group:
        values = each.reading.values
        for key in (name for name in values if name not in lines and not is_bootstrap(name)):
            remedy = "Add its name there, or remove it here if nothing reads it."
            message = f"{path} doesn't name this key."
            name = safe_name(key, values[key])
            found = Finding(each.line(key), "not-in-sample", name, message, remedy)
            yield FileFinding.of(each.path, found)


def _find_conflicts(places: Iterable[_Place]) -> Iterator[FileFinding]:
    """Yield the values that differ and go to the same place.

    Where only a personal file has another value, the finding has a kind of its own.
    """
    for group in _group_equal(places, lambda each: (*each.source.target, each.key)):
        personal = dict.fromkeys(each.source.path for each in group if each.is_personal)
        for each in group:
            others = [other for other in group if _has_other_value(each, other)]
            is_personal = each.is_personal or all(other.is_personal for other in others)
            remedy = (
                "Keep the one of this file: `decision: store` here, `decision: skip` there; or the "
                "other way round."
            )
            if each.is_personal:
                remedy = (
                    "Leave it to that person: `decision: skip` on this file, then plan again; give "
                    "it to everybody: `decision: store` on this file and here, `decision: skip` "
                    "there."
                )
            elif personal:
                remedy = (
                    f"Keep this one: `decision: skip` on {join_names(personal)}, then plan "
                    "again; keep the other one: `decision: store` on that file and on the key "
                    "there, `decision: skip` here."
                )
            yield from _report(
                group,
                PERSONAL_CONFLICT if is_personal else "same-target",
                "Has {length} characters here, another value in {others}, and both go to the same "
                "place.",
                remedy,
                is_other=_has_other_value,
                of=(each,),
            )


_SHARE = (
    "To keep such a value once: declare a folder in `shared_folders` of the project file and in "
    "`imports` of each service, write `decision: skip` on the key in each of the files, and store "
    "the key in that folder by `infisical-iac secrets set`."
)


def _compare_services(
    shared: Iterable[_Place], reported: Set[tuple[str, int]]
) -> Iterator[FileFinding]:
    """Yield the keys that several services have, with the same value or with different ones.

    Args:
        reported: the files and lines that already have a finding.
    """
    unreported = (each for each in shared if each.at not in reported)
    for group in _group_equal(unreported, lambda each: (each.source.environment, each.key)):
        if len({each.source.service for each in group}) < 2:
            continue
        if len({each.value for each in group}) == 1:
            if group[0].is_telling:
                yield from _report(
                    group,
                    "shared-candidate",
                    "Has the same value in {others}.",
                    _SHARE,
                    is_other=lambda each, other: each is not other,
                )
        elif not all(is_plain(each.key, each.value) for each in group):
            yield from _report(
                group,
                "differs-across-services",
                "Has another value in {others}.",
                "Leave each service its own, or make it one value in a shared folder.",
                is_other=lambda each, other: (
                    each.source.service != other.source.service and each.value != other.value
                ),
            )


# An address with a password; and a key of a password, with the ends of the keys that belong to it.
_ADDRESS = re.compile(
    r"(?P<scheme>[a-z][a-z0-9.-]*)(?:\+[a-z0-9+.-]*)?://(?P<user>[^\s:@/]*):(?P<password>[^\s@/]+)@"
    r"(?P<host>[^\s/?#]+)",
    re.IGNORECASE,
)
_PASSWORD = re.compile(r"(.+?_?)(?:PASSWORD|PASSWD|PASS|PWD)", re.IGNORECASE)
_HOSTS = ("HOST", "HOSTNAME", "SERVER", "ADDRESS", "ADDR")
_USERS = ("USER", "USERNAME", "LOGIN")


class _FoundLogin(NamedTuple):
    """A password, with the account that it is for: the kind of server, the user and the host."""

    account: tuple[str, str, str]
    password: str
    place: _Place


def _find_other_passwords(shared: Iterable[_Place]) -> Iterator[FileFinding]:
    """Yield the passwords that differ in one environment for the same user at the same host."""
    groups: dict[Hashable, list[_FoundLogin]] = {}
    for each in _find_logins(shared):
        groups.setdefault((each.place.source.environment, each.account), []).append(each)
    for group in groups.values():
        yield from _report(
            [each.place for each in group],
            "other-password",
            "Has the user and the host of {others}, but another password.",
            "If it is the same server, correct the wrong one before the migration.",
            is_other=partial(_has_other_password, {each.place.at: each.password for each in group}),
        )


def _has_other_password(
    passwords: Mapping[tuple[str, int], str], each: _Place, other: _Place
) -> bool:
    return passwords[each.at] != passwords[other.at]


def _find_logins(shared: Iterable[_Place]) -> Iterator[_FoundLogin]:
    """Yield the logins in addresses, and in keys with the same beginning, such as `DB_PASSWORD`."""
    families: dict[str, dict[str, str]] = {}
    shared = list(shared)
    for each in shared:
        families.setdefault(each.source.path, {})[each.key.upper()] = each.value
    for each in shared:
        if address := _ADDRESS.match(each.value):
            scheme = address["scheme"].lower().replace("postgresql", "postgres")
            account = (f"{scheme}://", unquote(address["user"]), address["host"].lower())
            yield _FoundLogin(account, unquote(address["password"]), each)
        elif named := _PASSWORD.fullmatch(each.key):
            beginning, values = named[1].upper(), families[each.source.path]
            host = _first_value(values, beginning, _HOSTS)
            if host:
                port = values.get(f"{beginning}PORT", "")
                user = _first_value(values, beginning, _USERS)
                yield _FoundLogin((beginning, user, f"{host.lower()}:{port}"), each.value, each)


def _first_value(values: dict[str, str], beginning: str, ends: Iterable[str]) -> str:
    return next((values[f"{beginning}{end}"] for end in ends if f"{beginning}{end}" in values), "")


def _has_other_value(each: _Place, other: _Place) -> bool:
    return each.value != other.value


def _group_equal(
    places: Iterable[_Place], by: Callable[[_Place], Hashable]
) -> Iterator[Sequence[_Place]]:
    groups: dict[Hashable, list[_Place]] = {}
    for each in places:
        groups.setdefault(by(each), []).append(each)
    return (group for group in groups.values() if len(group) > 1)


def _report(
    group: Sequence[_Place],
    kind: str,
    message: str,
    remedy: str,
    *,
    is_other: _IsOther,
    of: Iterable[_Place] | None = None,
    names: bool = False,
) -> Iterator[FileFinding]:
    """Yield the finding at each place that has `others` in its group.

    Args:
        message: has `{others}` for the other places, and `{length}` for the value's length.
        is_other: returns whether the finding at the first place names the second one.
        of: the places to report; by default all of the group.
        names: whether the finding also names the keys of the others.
    """
    for each in group if of is None else of:
        others = [other for other in group if is_other(each, other)]
        if not others:
            continue
        named = [
            f"{safe_name(other.key, other.value)} in {other}" if names else str(other)
            for other in others[:_NAMED]
        ]
        more = [f"{len(others) - _NAMED} more"] if len(others) > _NAMED else []
        written = message.format(others=join_names([*named, *more]), length=len(each.value))
        finding = Finding(each.line, kind, safe_name(each.key, each.value), written, remedy)
        yield FileFinding.of(each.source.path, finding)
