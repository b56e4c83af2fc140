"""Hold secrets in the test process, and search a host for them without exposing them.

Secrets reach the host only on a command's standard input, because every user can read the
arguments of a process.
"""

import re
import shlex
import time
from collections.abc import Iterable

from tests.host.connection import Connection


class Secret:
    """A value that no message shows: its representation is `***`."""

    def __init__(self, value: str) -> None:
        self._value = value

    def __repr__(self) -> str:
        return "***"

    def __len__(self) -> int:
        return len(self._value)

    def reveal(self) -> str:
        """Return the value, for a request or a command's standard input."""
        return self._value

    def has_the_form(self, pattern: str) -> bool:
        """Return whether the whole value matches a regular expression."""
        return re.fullmatch(pattern, self._value) is not None


# As nobody, `find` lists exactly the files that every user may read, by the modes of the
# directories too. The patterns go to grep through a pipe, and to its shell in an environment that
# only root can read.
_OPEN_FILES = """
cd /; pattern=$(cat); export pattern
setpriv --reuid=65534 --regid=65534 --clear-groups \
    find {directories} -type f -readable -size -100M -print0 |
    xargs -0 --no-run-if-empty sh -c '
        printf "%s\\n" "$pattern" | grep --text --files-with-matches --fixed-strings \
            --file=- -- "$@"' search
"""


def open_files_holding(
    values: Iterable[Secret], connection: Connection, directories: Iterable[str]
) -> list[str]:
    """Return the files below `directories` that every user may read and that hold a value."""
    command = _OPEN_FILES.format(directories=shlex.join(directories))
    return sorted(connection.quietly(command, _lines(values)).splitlines())


def files_holding(
    values: Iterable[Secret], connection: Connection, patterns: Iterable[str]
) -> list[str]:
    """Return the files that hold a value, among the files of the shell's `patterns`."""
    options = "--recursive --text --files-with-matches --fixed-strings --file=-"
    command = f"grep {options} -- {' '.join(patterns)}"
    return sorted(connection.quietly(command, _lines(values)).splitlines())


def lasting_files_holding(
    values: Iterable[Secret], connection: Connection, patterns: list[str]
) -> list[str]:
    """Return the files that hold a value in two searches a second apart.

    runc writes a process's environment to a file of root's for some milliseconds at each
    `docker exec`, which a health check is too.
    """
    values = list(values)
    first = files_holding(values, connection, patterns)
    time.sleep(1)
    return sorted({*first} & {*files_holding(values, connection, patterns)})


def lines_holding(values: Iterable[Secret], connection: Connection, command: str) -> int:
    """Return how many lines of a command's output hold a value."""
    # sshd may give a socket as standard input, which can't be reopened; the first cat makes a pipe.
    search = "grep --text --count --fixed-strings --file=/dev/fd/3"
    counted = connection.quietly(
        f"cat | {{ exec 3<&0; {{ {command}; }} 2>&1 </dev/null | {search}; }}", _lines(values)
    )
    return int(counted)


def _lines(values: Iterable[Secret]) -> str:
    # grep takes each line as a pattern, so only the longest line of a private key is searched.
    return "".join(f"{max(value.reveal().splitlines(), key=len)}\n" for value in values)
