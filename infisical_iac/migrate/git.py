"""Run git in a work tree: find its top and its tracked files."""

import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from infisical_iac.core.errors import FileError
from infisical_iac.dotenv.grammar import INSTALLED

# Variables that make git use another repository than the named one.
_ELSEWHERE = {
    *("GIT_DIR", "GIT_COMMON_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_NAMESPACE"),
    *("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_SHALLOW_FILE"),
}
# Objects as they are stored, nothing fetched, nothing written.
_AS_STORED = {
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
}
# Inspecting a repository must not run its hooks.
_NO_HOOK = ("-c", "core.fsmonitor=false")
# Long enough for a disk that other work keeps busy: the limit is for a git that hangs.
_SECONDS = 300


_NO_GIT = "git is not installed: install it, or put it into PATH"


def run(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a git command to its end, whatever its exit status; undecodable bytes are kept.

    Raises FileError if git is missing, or does not answer within five minutes.
    """
    try:
        return subprocess.run(
            ("git", *_NO_HOOK, "-C", directory, *arguments),
            env=_build_environment(),
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=_SECONDS,
        )
    except OSError:
        raise FileError(_NO_GIT, code="file.no_git") from None
    except subprocess.TimeoutExpired:
        raise FileError(f"git did not answer in {directory}: see what else uses it") from None


@contextmanager
def output(repository: Path, *arguments: str, stdin: str = "") -> Iterator[IO[bytes]]:
    """Open the output of a git command, to be read to its end.

    Raises FileError if git is missing, or if the command fails.
    """
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as errors:
        given.write(stdin.encode())
        given.seek(0)
        try:
            process = subprocess.Popen(
                ("git", "-C", repository, *arguments),
                env=_build_environment() | _AS_STORED,
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=errors,
                bufsize=1 << 20,
            )
        except FileNotFoundError:
            raise FileError(_NO_GIT, code="file.no_git") from None
        with process:
            assert process.stdout is not None
            try:
                yield process.stdout
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            errors.seek(0)
            lines = errors.read().decode(errors="replace").split("\n")
            reasons = (line.removeprefix("fatal: ") for line in lines if line.startswith("fatal: "))
            reason = next(reasons, "nothing more")
            raise FileError(
                f"{repository} can't be searched: git says {reason}", code="file.not_searched"
            )


def _build_environment() -> dict[str, str]:
    """Return this program's environment, with messages in English and no other repository."""
    own = {name: text for name, text in os.environ.items() if name not in _ELSEWHERE}
    return own | {"LC_ALL": "C"}


_LITERAL = "--literal-pathspecs"  # a name such as .env[1] is not a pattern


def top(directory: Path) -> Path | None:
    """Return the top of the working tree of a directory; None if there is none.

    Raises FileError if git fails for another reason.
    """
    done = run(directory, "rev-parse", "--show-toplevel")
    if done.returncode == 0:
        return Path(done.stdout.removesuffix("\n")).resolve()
    if "not a git repository" in done.stderr:
        return None
    raise FileError(f"git can't list the tracked files in {directory}: {_last(done.stderr)}")


def is_tracked(file: Path) -> bool:
    """Return whether the file is in git's index."""
    done = run(file.parent, _LITERAL, "ls-files", "--error-unmatch", "--", file.name)
    return done.returncode == 0


def is_ignored(file: Path) -> bool:
    """Return whether git ignores the file, which need not exist."""
    return run(file.parent, "check-ignore", "--quiet", "--", file.name).returncode == 0


def would_add(file: Path) -> bool:
    """Return whether git would add the file, which need not exist; False if git fails."""
    try:
        return top(file.parent) is not None and not is_ignored(file)
    except FileError:
        return False


def untrack(file: Path) -> None:
    """Remove the file from the index; it stays on disk.

    Raises FileError if git refuses, for example for staged changes that exist nowhere else.
    """
    done = run(file.parent, _LITERAL, "rm", "--cached", "--quiet", "--", file.name)
    if done.returncode:
        raise FileError(
            f"git can't remove it from its index: {_last(done.stderr)}", code="file.index"
        )


def _last(errors: str) -> str:
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    errors_only = (line for line in lines if line.startswith(("error:", "fatal:")))
    return next(errors_only, lines[-1] if lines else "nothing")


def tracked_paths(root: Path, paths: Iterable[str]) -> set[str]:
    """Return the paths, relative to `root`, that a repository tracks.

    The root may be a repository, be within one, or contain any number of them.

    Raises FileError if git can't list a repository.
    """
    top = root.resolve()
    by_repository: dict[Path, list[str]] = {}
    for path in paths:
        if repository := repository_of((top / path).parent):
            by_repository.setdefault(repository, []).append(path)
    found: set[str] = set()
    for repository, inside in by_repository.items():
        try:
            answer = run(repository, "ls-files", "-z")
            if answer.returncode:
                raise FileError(answer.stderr.partition("\n")[0])
        except FileError as error:
            raise FileError(
                f"git can't say what it tracks in {repository} ({error}): see that `git ls-files` "
                "works there",
                code="file.not_listed",
            ) from None
        names = set(answer.stdout.split("\0"))
        found.update(each for each in inside if os.path.relpath(top / each, repository) in names)
    return found


def repository_of(directory: Path) -> Path | None:
    """Return the top of the repository that a directory is in, found without git, or None."""
    around = (directory, *directory.parents)
    return next((each for each in around if (each / ".git").exists()), None)


def versions(file: Path) -> Iterator[bytes]:
    """Yield the bytes of each version of a file in the history of its repository, each once.

    The file and its directory need not exist. There is none if it is in no repository.

    Raises FileError if git is missing, or can't read the history.
    """
    if not (repository := repository_of(file.parent)):
        return
    path = file.relative_to(repository).as_posix()
    where = ("--all", "--reflog", "--full-history", "--objects", "--", path)
    with output(repository, _LITERAL, "rev-list", *where) as stream:
        lines = [line.rstrip(b"\n").partition(b" ") for line in stream]
    for name in dict.fromkeys(name.decode() for name, _, at in lines if at == os.fsencode(path)):
        with output(repository, "cat-file", "blob", name) as stream:
            yield stream.read()


def repositories(directory: Path) -> list[Path]:
    """Return the directory if it is in a repository, or else the repositories below it.

    Raises FileError if there is none.
    """
    done = run(directory, "rev-parse", "--git-dir")
    # git reports any other problem, such as another owner, when the repository is read.
    if done.returncode == 0 or "not a git repository" not in done.stderr:
        return [directory]
    found = []
    for place, inside, files in os.walk(directory):
        is_bare = "HEAD" in files and {"objects", "refs"} <= {*inside}
        if ".git" in inside or ".git" in files or is_bare:
            found.append(Path(place))
            inside.clear()
        # Unlike in migrate/find.py, caches are searched: a repository there has its own history.
        inside[:] = sorted(each for each in inside if each not in INSTALLED)
    if not found:
        raise FileError(
            f"{directory} is in no git repository, and has none below it: name a repository",
            code="file.no_repository",
        )
    return found
