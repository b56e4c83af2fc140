"""git, asked about a repository in whatever environment this program was started."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from infisical_iac.errors import UserError

# Where git would look instead of in the repository that is named.
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
# No hook of a repository that is merely looked at may run.
_NO_HOOK = ("-c", "core.fsmonitor=false")
_SECONDS = 60


_NO_GIT = "git is not installed: install it, or put it into PATH"


class GitError(UserError):
    """git is not there, or can't read the repository."""


def run(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A git command that has ended, whatever its exit status; undecodable bytes are kept.

    Raises GitError if there is no git, or if it does not answer within a minute.
    """
    try:
        return subprocess.run(
            ("git", *_NO_HOOK, "-C", directory, *arguments),
            env=_environment(),
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=_SECONDS,
        )
    except OSError:
        raise GitError(_NO_GIT) from None
    except subprocess.TimeoutExpired:
        raise GitError(f"git did not answer in {directory}: see what else uses it") from None


@contextmanager
def output(repository: Path, *arguments: str, stdin: str = "") -> Iterator[IO[bytes]]:
    """The output of a git command, to be read to its end.

    Raises GitError if there is no git, or if the command fails.
    """
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as errors:
        given.write(stdin.encode())
        given.seek(0)
        with _started(repository, arguments, given, errors) as process:
            assert process.stdout is not None
            try:
                yield process.stdout
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            errors.seek(0)
            raise GitError(f"{repository} can't be searched: git says {_reason(errors.read())}")


def _started(
    repository: Path, arguments: tuple[str, ...], given: IO[bytes], errors: IO[bytes]
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            ("git", "-C", repository, *arguments),
            env=_environment() | _AS_STORED,
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=errors,
            bufsize=1 << 20,
        )
    except FileNotFoundError:
        raise GitError(_NO_GIT) from None


def _environment() -> dict[str, str]:
    """This program's own, with messages in English and no other repository to look in."""
    kept = {name: text for name, text in os.environ.items() if name not in _ELSEWHERE}
    return kept | {"LC_ALL": "C"}


def _reason(errors: bytes) -> str:
    lines = errors.decode(errors="replace").split("\n")
    told = [line.removeprefix("fatal: ") for line in lines if line.startswith("fatal: ")]
    return told[0] if told else "nothing more"
