"""Delete `.env` files whose secrets are verified, write examples, and find references to them."""

import os
import re
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pydantic.dataclasses
from pydantic import BaseModel, ConfigDict, ValidationError

from infisical_iac.core.errors import FileError, UserError
from infisical_iac.dotenv import GRAMMARS, all_grammars, read
from infisical_iac.dotenv.grammar import LANGUAGES
from infisical_iac.migrate import git
from infisical_iac.migrate.find import OWN_FILE, content, is_env, is_personal, shared_part, walk
from infisical_iac.migrate.findings import is_bootstrap
from infisical_iac.migrate.plan_file import PLAN_FILE, load_key, of_bytes
from infisical_iac.migrate.report import REPORT, VERIFIED_AT

NAME = ".env.local.example"

_TEXT = """\
# Copy to .env.local, `chmod 600` it, fill in: with these, the service reads its secrets.
INFISICAL_CLIENT_ID=
INFISICAL_CLIENT_SECRET=
INFISICAL_ENVIRONMENT=development
NODE_ENV=development
"""


def plan(root: Path, paths: Iterable[str]) -> list[Path]:
    """Return the missing examples, one for each directory of the files at `paths`."""
    directories = {(root / path).parent for path in paths}
    return [
        directory / NAME
        for directory in sorted(directories)
        if directory.is_dir() and not (directory / NAME).exists()
    ]


def write(file: Path) -> None:
    """Write an example; never replace an existing one.

    Raises FileError if it exists, even as a broken link, or can't be written.
    """
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(_TEXT)
    except OSError as error:
        raise FileError(
            f"{file} can't be written ({error.strerror}): check what is there", code="file.example"
        ) from None


_RECENT = timedelta(hours=1)


@pydantic.dataclasses.dataclass(frozen=True, config=ConfigDict(extra="ignore", strict=True))
class MovedFile:
    """A file in the report of `migrate apply`.

    Attributes:
        path: relative to the root, with slashes.
        digest: the keyed hash of the file's bytes when it was verified.
        keys: the names that are in Infisical.
        skipped: the names that the plan left out; only the file has their values.
        verified: whether its values were read back from Infisical, byte for byte.
    """

    path: str
    digest: str
    service: str
    environment: str
    keys: tuple[str, ...]
    skipped: tuple[str, ...] = ()
    verified: bool = False

    @property
    def is_for_login(self) -> bool:
        """Return whether the file has only variables of a service's login, so that it stays."""
        return not self.keys and bool(self.skipped) and all(map(is_bootstrap, self.skipped))


@pydantic.dataclasses.dataclass(frozen=True, config=ConfigDict(extra="ignore", strict=True))
class SkippedPart:
    """A key that the plan skipped, or with an empty `key` a whole file."""

    file: str
    key: str


class Report(BaseModel):
    """The report of `migrate apply`, as `read_report` returns it.

    Attributes:
        deleted: the files of an earlier apply that did not exist at this one.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    root: str
    sources: tuple[MovedFile, ...]
    skipped: tuple[SkippedPart, ...] = ()
    deleted: tuple[MovedFile, ...] = ()
    project: str = ""
    verified_at: str = ""

    @property
    def unverified_paths(self) -> set[str]:
        """Return the paths of files that were not read back in full from all their targets."""
        left = {each.path for each in self.login_files} | {*self.left_out_paths}
        return {each.path for each in self.sources if not each.verified} - left

    @property
    def left_out_paths(self) -> list[str]:
        """Return the paths of files that a person decided to skip, such as a personal one.

        An `.env.override`, which an earlier version took for a file to migrate, is left out too.
        """
        whole = {each.file for each in self.skipped if not each.key}
        others = {each.path for each in self.login_files}
        others |= {each.path for each in self.sources if each.keys}
        own = {each.path for each in self.sources if PurePosixPath(each.path).name == OWN_FILE}
        return sorted((whole - others) | own)

    @property
    def login_files(self) -> list[MovedFile]:
        """Return the files with only variables of a service's login, each once."""
        others = {each.path for each in self.sources if not each.is_for_login}
        found = {each.path: each for each in self.sources if each.path not in others}
        return [*found.values()]

    @property
    def verified_files(self) -> list[MovedFile]:
        """Return the files that were read back in full."""
        left = self.unverified_paths | {each.path for each in self.login_files}
        left |= {*self.left_out_paths}
        return [each for each in self.sources if each.path not in left]

    def require_recent(self, now: datetime) -> None:
        """Raise FileError unless `migrate verify` found all unchanged within the last hour."""
        try:
            at = datetime.strptime(self.verified_at, VERIFIED_AT).replace(tzinfo=UTC)
        except ValueError:
            at = datetime.min.replace(tzinfo=UTC)
        if not timedelta() <= now - at <= _RECENT:
            raise FileError(
                "nothing was deleted: without an archive, secrets must have been verified within "
                "the last hour; run `infisical-iac migrate verify` first",
                code="file.not_verified",
            )


def read_report(plan_file: Path) -> tuple[Path, Report]:
    """Return the report next to a plan, and the directory that its paths are relative to.

    Raises FileError if there is no plan, no report, no such directory, or no verified file in it.
    """
    if not plan_file.is_file():
        raise FileError(
            f"there is no {plan_file}: make it with `infisical-iac migrate plan`",
            code="file.missing",
        )
    file = plan_file.with_name(f"{REPORT}.json")
    try:
        report = Report.model_validate_json(file.read_bytes())
    except OSError as error:
        raise FileError(
            f"{file}, the record of verified files, can't be read ({error.strerror}): run migrate "
            "apply first",
            code="file.no_report",
        ) from None
    except ValidationError:
        raise FileError(
            f"{file} is not as migrate apply writes it: run migrate apply again", code="file.report"
        ) from None
    root = (plan_file.parent / report.root).resolve()
    if not root.is_dir():
        raise FileError(
            f"{root}, the migrated directory, does not exist: run this where it exists",
            code="file.no_root",
        )
    is_left = bool(report.login_files or report.left_out_paths or report.deleted)
    if not report.verified_files and (report.unverified_paths or not is_left):
        raise FileError(
            f"no file of {plan_file} is verified yet: run migrate apply",
            code="file.nothing_verified",
        )
    return root, report


def proven_keys(root: Path, directories: Iterable[Path], project: str) -> dict[str, frozenset[str]]:
    """Return the keys that are proven to be in a project, by the path of their file below `root`.

    A file counts if it is unchanged since `migrate apply` read all of its secrets back. A report
    without its key, or one that can't be read, proves nothing.

    Args:
        directories: the directories that may have a plan, its report, and the key of its hashes.
        project: the slug of the project; a migration into another one proves nothing.
    """
    found: dict[str, frozenset[str]] = {}
    for directory in {each.resolve() for each in directories}:
        try:
            at, report = read_report(directory / PLAN_FILE)
            key = load_key(directory / PLAN_FILE)
        except UserError:
            continue
        for file in report.verified_files if report.project == project else ():
            path = (at / file.path).resolve()
            if path.is_relative_to(root.resolve()) and _is_as_moved(path, file, key):
                found[path.relative_to(root.resolve()).as_posix()] = frozenset(file.keys)
    return found


def _is_as_moved(path: Path, file: MovedFile, key: bytes) -> bool:
    try:
        return of_bytes(key, path.read_bytes()) == file.digest
    except OSError:
        return False


@dataclass(frozen=True)
class Ready:
    """A file that may be deleted, with its bytes."""

    file: MovedFile
    data: bytes = field(repr=False)
    is_tracked: bool


class KeptFile(NamedTuple):
    """A file that is not deleted, the reason with its remedy, and the reason's code."""

    path: str
    reason: str
    code: str = ""

    def __str__(self) -> str:
        return f"{self.path} is kept: {self.reason}"


class Examined(NamedTuple):
    """The files to delete and to keep; files that no longer exist are in neither."""

    ready: list[Ready]
    kept: list[KeptFile]


def examine_files(
    root: Path, files: Iterable[MovedFile], key: bytes, *, archived: bool
) -> Examined:
    """Sort the files into those to delete and to keep; change nothing.

    Without an archive, a file with skipped keys is kept.
    """
    found = Examined([], [])
    for file in files:
        try:
            data = _read(root, file, key)
            if not file.keys:
                raise FileError(
                    "none of its values are in Infisical: delete it by hand if you don't need it",
                    code="file.not_migrated",
                )
            if file.skipped and not archived:
                names = ", ".join(file.skipped)
                raise FileError(
                    f"{names} would be lost without an archive: make an archive",
                    code="file.no_archive",
                )
            if shared_part(file.path, data) != data:
                raise FileError(
                    "it has your own values below `# overrides`: delete the lines above by hand",
                    code="file.overrides",
                )
            found.ready.append(Ready(file, data, git.is_tracked(root / file.path)))
        except FileNotFoundError:
            continue
        except UserError as error:
            found.kept.append(KeptFile(file.path, str(error), error.code))
    return found


def examine_login_files(
    root: Path, files: Iterable[MovedFile], key: bytes
) -> tuple[list[str], list[KeptFile]]:
    """Return the paths of unchanged login files, and the other ones with their problems."""
    unchanged, kept = [], []
    for file in files:
        try:
            _read(root, file, key, deletes=False)
            unchanged.append(file.path)
        except FileNotFoundError:
            continue
        except UserError as error:
            kept.append(KeptFile(file.path, str(error), error.code))
    return unchanged, kept


def delete(root: Path, ready: Ready, key: bytes) -> KeptFile | None:
    """Remove the file from git's index and delete it, if it is still the examined one.

    Return the reason if it is kept. A file that no longer exists is not kept.
    """
    path = root / ready.file.path
    try:
        _read(root, ready.file, key)
        if ready.is_tracked:
            git.untrack(path)
        path.unlink(missing_ok=True)
    except FileNotFoundError:
        return None
    except UserError as error:
        return KeptFile(ready.file.path, str(error), error.code)
    except OSError as error:
        reason = f"it can't be deleted ({error.strerror}): see who owns it"
        return KeptFile(ready.file.path, reason, "file.not_deleted")
    return None


def _read(root: Path, file: MovedFile, key: bytes, *, deletes: bool = True) -> bytes:
    """Return the bytes of a file that is unchanged since it was verified.

    Raises FileNotFoundError if it is gone, and FileError if it has changed. With `deletes`, a
    directory that does not allow the deletion raises FileError too.
    """
    relative = PurePosixPath(file.path)
    if relative.is_absolute() or ".." in relative.parts or not relative.parts:
        raise FileError(f"it is outside {root}: delete it by hand", code="file.outside")
    path = root / relative
    if path.parent.resolve() != path.parent:
        raise FileError(
            "a directory in its path is a symbolic link: delete it by hand",
            code="file.linked_directory",
        )
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            raise FileError(
                "it is a symbolic link: delete it and what it points to by hand", code="file.link"
            )
        if not stat.S_ISREG(mode):
            raise FileError("it is not a regular file: see what it is", code="file.not_regular")
        data = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise FileError(
            f"it can't be read ({error.strerror}): see who owns it", code="file.not_readable"
        ) from None
    if of_bytes(key, data) != file.digest:
        raise FileError(
            "it has changed since it was verified: plan and apply again", code="file.changed"
        )
    if deletes and not os.access(path.parent, os.W_OK | os.X_OK):
        raise FileError(
            "its directory can't be written to: see who owns that", code="file.read_only"
        )
    return data


def has_unread_values(root: Path, path: str) -> bool:
    """Return whether a person's own file has values above its overrides that no loader reads."""
    data, problem = content(root, path)
    if problem or not is_personal(PurePosixPath(path).name):
        return False
    return not all(map(is_bootstrap, read(shared_part(path, data), GRAMMARS[0]).values))


LIMIT = 500
_LARGEST = 2 << 20
_HEAD = 8192
# Calls and packages that read `.env` without naming it.
_LOADERS = tuple(mention for each in all_grammars() for mention in each.mentions)
# A match is neither a property such as process.env nor a part of a longer name.
_BEFORE, _AFTER = r"(?<![\w.)\]?-])", r"(?![\w-]|\.\w)"
# Files that name `.env` files only to exclude them, or that repeat another file.
_SILENT = re.compile(r".*ignore|.*\.lock|migration-report\.\w+|migration\.patch")


class Reference(NamedTuple):
    """A line that names a file or loads one, with the matched text only."""

    path: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


class FoundReferences(NamedTuple):
    """The result of a search.

    Attributes:
        references: at most LIMIT of them, by path and line.
        more: whether there are more.
        unread: the paths of texts that are too large to be searched, or can't be read.
    """

    references: list[Reference]
    more: bool
    unread: list[str]


def pattern(paths: Iterable[str]) -> re.Pattern[bytes]:
    """Return a pattern for loaders, and for the files at `paths` by name or end of path."""
    split = [path.split("/") for path in paths]
    ends = {"/".join(parts[start:]) for parts in split for start in range(len(parts))}
    names = "|".join(re.escape(end) for end in sorted(ends, key=lambda end: (-len(end), end)))
    return re.compile(f"{_BEFORE}(?:{names}){_AFTER}|{'|'.join(_LOADERS)}".encode())


def matches(data: bytes, pattern: re.Pattern[bytes]) -> list[tuple[int, str]]:
    """Return the line and the text of each match, the same text once a line."""
    found: dict[tuple[int, str], None] = {}
    line, last = 1, 0
    for match in pattern.finditer(data):
        line += data.count(b"\n", last, match.start())
        last = match.start()
        found[line, match[0].decode(errors="replace")] = None
    return list(found)


def search(root: Path, paths: Sequence[str], leave_out: Iterable[str] = ()) -> FoundReferences:
    """Search the texts under `root` for references to the files at `paths`.

    Skips `.env` files and samples, ignore and lock files, binary files, the directories that
    `find.walk` skips, and the paths in `leave_out`.

    Raises FileError for a directory that can't be listed.
    """
    desired, silent = pattern(paths), set(leave_out)
    references: list[Reference] = []
    unread = []
    for path in walk(root):
        name = path.rpartition("/")[2]
        is_env_file = is_env(name) and not name.startswith(".envrc")
        repeats = any(each.is_lock(name) for each in LANGUAGES)
        if path in silent or repeats or _SILENT.fullmatch(name) or is_env_file:
            continue
        try:
            data = _text(root / path)
        except (OSError, OverflowError):
            unread.append(path)
            continue
        references += (Reference(path, *match) for match in matches(data, desired))
        if len(references) > LIMIT:
            return FoundReferences(references[:LIMIT], True, unread)
    return FoundReferences(references, False, unread)


def _text(file: Path) -> bytes:
    """Return the bytes of a text, none of a binary file. Raises OverflowError if too large."""
    with file.open("rb") as stream:
        head = stream.read(_HEAD)
        if b"\0" in head:
            return b""
        data = head + stream.read(_LARGEST - len(head) + 1)
    if len(data) > _LARGEST:
        raise OverflowError(file)
    return data
