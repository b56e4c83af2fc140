"""Find the keys that a service's code needs, reads with a default, or only names; update samples.

Samples are files such as `.env.example`, which list these keys for people.
"""

import posixpath
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from infisical_iac.check import javascript, python
from infisical_iac.check.model import NAME, Cause, CheckFinding, Reads
from infisical_iac.core import atomic
from infisical_iac.core.wording import join_first, join_names, pluralize
from infisical_iac.dotenv import read
from infisical_iac.migrate import find
from infisical_iac.migrate.evidence import Text
from infisical_iac.migrate.find import is_env
from infisical_iac.migrate.findings import is_bootstrap, is_withheld
from infisical_iac.workspace.environment_contents import Names
from infisical_iac.workspace.model import JobAccount, Workspace

_CODE_READERS = (javascript, python)
_WORD = re.compile(r"\b[A-Za-z_][A-Za-z0-9_]*\b")
_TEST = re.compile(
    r"(.*/)?(tests?|__tests__|e2e|spec|__mocks__)/.*|(.*/)?(test_[^/]*|[^/]*_test|conftest)\.py"
    r"|.*\.(test|spec)\.[^/.]+"
)
# Generated and third-party files, and text for people.
_NO_CODE = re.compile(
    r"(.*/)?(dist|build|coverage|vendor)/.*|.*\.min\.js|.*\.map|.*\.(lock|md|rst|adoc|svg|log)"
    r"|(.*/)?(package-lock\.json|pnpm-lock\.yaml|LICENSE.*|CHANGELOG.*|README.*|\.[^/]*ignore)"
    r"|(.*/)?(migration(-report)?\.\w+|\.infisical(-check)?\.\w+)"
)


@dataclass
class Usage:
    """The keys that a service uses.

    Attributes:
        needed: the keys that its code reads without a default, with the place of the first such
            read.
        read: all keys that its code reads.
        in_service: the keys that code outside tests reads.
        used: the keys in `read`, and the words of files that are neither JavaScript nor Python or
            can't be parsed in full.
        dynamic: the places where code computes the name of a key when it runs.
        unread: the paths of code that can't be parsed in full, with the reason.
    """

    needed: dict[str, str] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)
    in_service: set[str] = field(default_factory=set)
    used: set[str] = field(default_factory=set)
    dynamic: list[str] = field(default_factory=list)
    unread: dict[str, str] = field(default_factory=dict)

    @property
    def optional(self) -> set[str]:
        """Return the keys that code reads but does not need."""
        return self.read - self.needed.keys()

    def note(self, path: str, reads: Reads) -> None:
        """Add the reads of a file; keys that only tests read are not needed."""
        counts = not is_test(path)
        for key, line, is_optional in reads.found:
            if counts and not is_optional:
                self.needed.setdefault(key, f"{path}:{line}")
            self.read.add(key)
            if counts:
                self.in_service.add(key)
            self.used.add(key)
        if counts:
            self.dynamic += (f"{path}:{line}" for line in reads.dynamic)
        if reads.error:
            self.unread[path] = reads.error


def usage(paths: Iterable[str], text: Text) -> Usage:
    """Return the keys that the files of one service need and use."""
    found = Usage()
    paths = [path for path in paths if is_code(path)]
    for reader in _CODE_READERS:
        texts = {path: text(path) for path in paths if path.endswith(reader.ENDINGS)}
        for path, reads in sorted(reader.read(texts).items()):
            found.note(path, reads)
        if found.dynamic:
            found.used |= reader.words(texts)
    endings = tuple(end for reader in _CODE_READERS for end in reader.ENDINGS)
    # In other files any word may be a key.
    for path in {path for path in paths if not path.endswith(endings)} | found.unread.keys():
        found.used.update(_WORD.findall(text(path)))
    return found


def is_code(path: str) -> bool:
    """Return whether a file is searched for keys."""
    return not _NO_CODE.fullmatch(path) and not is_env(posixpath.basename(path))


def is_test(path: str) -> bool:
    """Return whether a file belongs to tests, which run with keys of their own."""
    return bool(_TEST.fullmatch(path))


_GIVEN = re.compile(
    r"""
      NODE_ENV | PORT | HOST | HOSTNAME | HOME | PATH | PWD | USER | LOGNAME | SHELL | LANG | TZ
    | TERM | TMPDIR | TMP | TEMP | CI | DEBUG | EDITOR | NO_COLOR | FORCE_COLOR | DYNO | APP_NAME
    | (?:https?|no|all)_proxy | VIRTUAL_ENV | JEST_WORKER_ID
    | (?:INFISICAL|LC|XDG|SSH|NODE|NPM|NEXT|NUXT|VITEST|PYTEST|PYTHON|UVICORN|GUNICORN
        |GITHUB|GITLAB|RUNNER|VERCEL|RAILWAY|RENDER|FLY|DOKPLOY|KUBERNETES|COMPOSE|DOCKER
        |SYSTEMD|LD|DYLD)_\w+
    """,
    re.VERBOSE | re.IGNORECASE,
)
_OURS = re.compile(
    r"NEXT_PUBLIC_\w+|NUXT_(PUBLIC_)?\w*(KEY|SECRET|TOKEN|URL)"
    r"|(?!INFISICAL_)\w+_(SECRET|PASSWORD|(API|PRIVATE|ACCESS|SECRET)_KEY|API_TOKEN)"
)


def is_given(key: str) -> bool:
    """Return whether a service gets a key without Infisical, so that Infisical need not have it.

    That includes the names that the loaders withhold.
    """
    return (bool(_GIVEN.fullmatch(key)) and not _OURS.fullmatch(key)) or is_withheld(key)


class ServiceCode(NamedTuple):
    """The keys that a service uses, and those that images and compose files set."""

    usage: Usage
    given: Collection[str]


Place = tuple[str, str]
"""An environment and a folder."""


def find_doubtful(
    code: Mapping[str, ServiceCode], names: Names, workspace: Workspace
) -> Iterator[tuple[Place, str]]:
    """Yield the folders that look empty and lack needed keys, each with one of these keys.

    A folder that the login may not see looks empty too.
    """
    yet: set[Place] = set()
    for name, (usage, given) in code.items():
        needed = sorted(key for key in usage.needed if not is_given(key) and key not in given)
        for slug, keys in _keys_by_environment(name, names, workspace).items():
            lacking = [key for key in needed if key not in keys]
            places = [(slug, folder) for folder in _folders(name, workspace)]
            for place in places if lacking else ():
                if not names.get(place) and place not in yet:
                    yet.add(place)
                    yield place, lacking[0]


def find_unseen(unseen: Collection[Place]) -> Iterator[CheckFinding]:
    """Yield findings on the folders whose secrets the login may not see."""
    environments: dict[str, list[str]] = {}
    for slug, folder in sorted(unseen):
        environments.setdefault(folder, []).append(slug)
    for folder, slugs in environments.items():
        message = (
            f"The login may not see the secrets of {folder} in {join_names(slugs)}, so nothing "
            "was compared there. Use an identity that may see the names of all secrets."
        )
        yield CheckFinding("not-seen", folder, "", message)


def _folders(service: str, workspace: Workspace) -> tuple[str, ...]:
    return (workspace.services[service].folder, *workspace.services[service].imports)


def _keys_by_environment(service: str, names: Names, workspace: Workspace) -> dict[str, set[str]]:
    """Return the keys that a service gets from Infisical, by environment."""
    folders = _folders(service, workspace)
    return {
        each.slug: {key for folder in folders for key in names.get((each.slug, folder), ())}
        for each in workspace.environments
    }


def find_missing(
    code: Mapping[str, ServiceCode],
    names: Names,
    workspace: Workspace,
    unseen: Collection[Place] = (),
) -> Iterator[CheckFinding]:
    """Yield findings on the keys that a service needs and an environment lacks.

    Missing optional keys are a note. There is one finding for an environment that is empty while
    others are not, and one for an environment in which only the service's own folder is empty.

    Args:
        unseen: the folders that the login may not see; services that read them are not compared.
    """
    filled = {slug for (slug, _), keys in names.items() if keys} | {slug for slug, _ in unseen}
    empty = {each.slug for each in workspace.environments} - filled if filled else set()
    needing: dict[str, list[str]] = {}  # by empty environment, each service once for each key
    for name, (usage, given) in code.items():
        blind = {slug for slug, folder in unseen if folder in _folders(name, workspace)}
        found = _keys_by_environment(name, names, workspace)
        there = {slug: keys for slug, keys in found.items() if slug not in blind}
        needed = {
            key: place
            for key, place in sorted(usage.needed.items())
            if not is_given(key) and key not in given
        }
        folder = workspace.services[name].folder
        has_secrets = {slug for slug in there if names.get((slug, folder))}
        absent = there.keys() - has_secrets - empty if has_secrets else set()
        for slug in sorted(absent):
            if count := len(needed.keys() - there[slug]):
                yield _empty_folder(slug, folder, name, count)
        for key, place in needed.items():
            for slug in sorted(empty):
                needing.setdefault(slug, []).append(name)
            compared = {slug: keys for slug, keys in there.items() if slug not in empty | absent}
            lacking = [slug for slug, keys in compared.items() if key not in keys]
            if lacking:
                missing_in = f"not in {join_names(lacking)}"
                message = f"{name} reads {key}, which is {missing_in}. {_ADD}"
                cause = Cause(name, f"{name} reads {{count}} keys that are {missing_in}", _ADD)
                yield CheckFinding("missing-key", place, key, message, cause=cause)
        if blind:
            continue
        nowhere = usage.optional.difference(*there.values())
        if left := sorted(key for key in nowhere if not is_given(key) and key not in given):
            message = f"{name} also reads {', '.join(left)} if set, which Infisical does not have."
            yield CheckFinding("optional", name, "", message, is_note=True)
    for slug, services in needing.items():
        missing = f"{pluralize(len(services), 'key')} {'is' if len(services) == 1 else 'are'}"
        message = (
            f"This environment has no secrets, and {missing} missing for "
            f"{join_names(dict.fromkeys(services))}. Add them in Infisical, delete the "
            f"environment from the project file, or accept {slug} in {NAME} until it is used."
        )
        yield CheckFinding("empty-environment", slug, "", message)


def _empty_folder(slug: str, folder: str, service: str, count: int) -> CheckFinding:
    place = f"{slug}{folder}"
    message = (
        f"This folder has no secrets, and {service} lacks {pluralize(count, 'key')}. Add them in "
        f"Infisical, or accept {place} in {NAME} if {service} does not run in {slug}."
    )
    return CheckFinding("empty-folder", place, "", message)


_ADD = "Add such keys in Infisical, or give them a default in the code."


def find_unused(
    code: Mapping[str, ServiceCode], elsewhere: Collection[str], names: Names, workspace: Workspace
) -> Iterator[CheckFinding]:
    """Yield findings on secrets that no service with access to them uses.

    There is only a note on a folder if the code of one of its readers is not in this repository, or
    if only jobs of pipelines read the folder.

    Args:
        elsewhere: the words of files that belong to no service; a key among them counts as used.
    """
    for folder in dict.fromkeys(folder for _, folder in names):
        readers = [
            name
            for name, service in workspace.services.items()
            if folder in (service.folder, *service.imports)
        ]
        absent = [name for name in readers if name not in code]
        if absent:
            verb = "is" if len(absent) == 1 else "are"
            message = (
                f"Its use was not checked: {join_names(absent)} {verb} not in this repository."
            )
            yield CheckFinding("not-checked", folder, "", message, is_note=True)
            continue
        jobs = [each.service for each in workspace.jobs() if _reads_folder(each, folder)]
        if jobs and not readers:
            message = f"Its use was not checked: only ci.{', ci.'.join(jobs)} reads it."
            yield CheckFinding("not-checked", folder, "", message, is_note=True)
            continue
        used = {*elsewhere}.union(*(code[name].usage.used for name in readers))
        unsure = [name for name in readers if code[name].usage.dynamic]
        who = "no service reads the folder"
        if readers:
            who = f"no code of {' or '.join(readers)} uses it"
        keys = {key for (_, at), there in names.items() if at == folder for key in there}
        for key in sorted(keys - (used if readers else set())):
            slugs = [
                each.slug
                for each in workspace.environments
                if key in names.get((each.slug, folder), ())
            ]
            place = f"{folder.rstrip('/')}/{key}"
            message, cause = f"It is in {join_names(slugs)}, and {who}", None
            if unsure:
                message += f" by its name; {join_names(unsure)} may read it in another way."
            else:
                message, cause = f"{message}. {_DELETE}", Cause(place, "", _DELETE)
            yield CheckFinding("left-over", place, key, message, bool(unsure), cause)


def _reads_folder(job: JobAccount, folder: str) -> bool:
    return job.sees_values and any(folder in folders for folders in job.places.values())


_DELETE = f"Delete such secrets in Infisical, or accept them in {NAME} if a library reads them."


_NAME = re.compile(r"\.env\.(?:example|sample|template|dist|defaults)|(?:example|sample)\.env")
MARK = "# not read by the code: "
_ASSIGNED = re.compile(r"(?:export\s+)?([A-Za-z_]\w*)\s*=")
_COMMENTED = re.compile(r"\s*#\s*(?:export\s+)?([A-Za-z_]\w*)\s*=")
_OTHER_LINE_END = re.compile(r"\r(?!\n)")
_MOST_NAMED = 10


class Sample(NamedTuple):
    """A sample of a service, and its up-to-date text.

    Attributes:
        path: relative to the root.
        missing: the keys that the code reads and the sample lacks.
        unread: the keys in it that no code reads.
    """

    path: str
    text: str
    missing: Sequence[str]
    unread: Sequence[str]


def is_sample_of_service(path: str) -> bool:
    """Return whether a file is a sample of all keys, not of one environment or the credentials."""
    return bool(_NAME.fullmatch(posixpath.basename(path)))


def find_samples(
    root: Path,
    paths: Collection[str],
    services: Mapping[str, Sequence[str]],
    code: Mapping[str, ServiceCode],
    elsewhere: Collection[str],
) -> Iterator[Sample]:
    """Yield the samples whose keys differ from those that their service's code reads.

    Args:
        paths: the files below the root.
        services: the directories of each service; samples are searched in these.
        elsewhere: the words in files that belong to no service; a key among them counts as read.
    """
    for name, homes in services.items():
        usage, given = code[name]
        wanted = [
            key
            for key in sorted(usage.in_service)
            if not is_given(key) and not is_bootstrap(key) and key not in given
        ]
        # Code that can't be parsed, or that computes names of keys when it runs, may read the key.
        is_sure = not usage.dynamic and not usage.unread
        used = {*usage.used, *elsewhere, *given}
        for path in sorted(paths):
            is_own = posixpath.dirname(path) in homes and is_sample_of_service(path)
            if is_own and not (root / path).is_symlink():
                data, problem = find.content(root, path)
                sample = None if problem else synchronize(path, data, wanted, used, is_sure=is_sure)
                if sample and (sample.missing or sample.unread or sample.text.encode() != data):
                    yield sample


def synchronize(
    path: str, data: bytes, wanted: Sequence[str], used: Collection[str], *, is_sure: bool = True
) -> Sample | None:
    """Return the up-to-date text of a sample; None if the sample can't be read.

    Comments, order, values and line ends stay. Missing keys come last, with empty values. A key
    that no code reads becomes a comment that says so; once code reads it, it is a key again. A key
    that somebody has commented out is not added.

    Args:
        wanted: the keys that the code reads.
        used: the names that may be keys.
        is_sure: whether a key that is not in `used` is surely not read.
    """
    reading = read(data, "dotenv")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    if reading.error or _OTHER_LINE_END.search(text):
        return None
    end = "\r\n" if "\r\n" in text else "\n"
    lines = [each for each in re.split(r"(?<=\n)", text) if each]
    unread: list[str] = []
    for entry in reading.entries:
        is_kept = entry.key in used or is_bootstrap(entry.key) or is_given(entry.key)
        if is_sure and not is_kept and _ASSIGNED.match(lines[entry.first_line - 1].lstrip()):
            unread.append(entry.key)
            for number in range(entry.first_line - 1, min(entry.last_line, len(lines))):
                lines[number] = f"{MARK}{lines[number]}"
    lines = [*_restore(lines, {*wanted, *used})]
    there = {entry.key for entry in reading.entries}
    there |= {found[1] for line in lines if (found := _COMMENTED.match(line))}
    there |= {found[1] for line in lines if (found := _ASSIGNED.match(line.lstrip()))}
    missing = [key for key in wanted if key not in there]
    if missing and lines and not lines[-1].endswith("\n"):
        lines[-1] += end
    lines += (f"{key}={end}" for key in missing)
    return Sample(path, "".join(lines), missing, unread)


def _restore(lines: Sequence[str], used: Collection[str]) -> Iterator[str]:
    """Yield the lines, without the mark on keys that code reads again."""
    for is_marked, group in groupby(lines, lambda line: line.startswith(MARK)):
        block = list(group)
        if is_marked:
            bare = [each.removeprefix(MARK) for each in block]
            for entry in read("".join(bare).encode(), "dotenv").entries:
                if entry.key in used:
                    at = slice(entry.first_line - 1, entry.last_line)
                    block[at] = bare[at]
        yield from block


def find_outdated(samples: Iterator[Sample]) -> Iterator[CheckFinding]:
    """Yield notes on samples whose keys differ from those that the code reads."""
    for each in samples:
        problems = []
        if each.missing:
            problems.append(f"lacks {join_first(each.missing, _MOST_NAMED)}")
        if each.unread:
            problems.append(f"has {join_first(each.unread, _MOST_NAMED)}, which no code reads")
        what = join_names(problems) or "marks keys that code reads again"
        message = f"It {what}. `infisical-iac check --fix` corrects it."
        yield CheckFinding("sample-file", each.path, "", message, is_note=True)


def write_samples(root: Path, samples: Iterator[Sample]) -> list[Path]:
    """Write the up-to-date samples; return the changed files. Raises FileError."""
    written = []
    for each in samples:
        file = root / each.path
        with atomic.explain_failure(file):
            atomic.write(file, each.text, mode=file.stat().st_mode & 0o777)
        written.append(file)
    return written
