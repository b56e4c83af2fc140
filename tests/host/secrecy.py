"""Secrets in the test process, and looking for them without letting anybody see them.

They reach the host on a command's standard input only: the arguments of a process are for
everybody to read.
"""

import re
import shlex
from collections.abc import Iterable

from tests.host.connection import Connection


class Secret:
    """A value that no message shows: it has no other representation than `***`."""

    def __init__(self, value: str) -> None:
        self._value = value

    def __repr__(self) -> str:
        return "***"

    def __len__(self) -> int:
        return len(self._value)

    def reveal(self) -> str:
        """The value itself, for a request or a command's standard input."""
        return self._value

    def has_the_form(self, pattern: str) -> bool:
        """Return whether the whole value matches a regular expression."""
        return re.fullmatch(pattern, self._value) is not None


# As nobody, `find` meets exactly what every user may read, with the modes of the directories
# above. The patterns go to grep through a pipe: only root sees the environment of its shell.
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
    """The files below `directories` that every user of the host may read and that hold one."""
    command = _OPEN_FILES.format(directories=shlex.join(directories))
    return sorted(connection.quietly(command, _lines(values)).splitlines())


def files_holding(
    values: Iterable[Secret], connection: Connection, patterns: Iterable[str]
) -> list[str]:
    """The files that hold one, among the files of the shell's `patterns`."""
    options = "--recursive --text --files-with-matches --fixed-strings --file=-"
    command = f"grep {options} -- {' '.join(patterns)}"
    return sorted(connection.quietly(command, _lines(values)).splitlines())


def lines_holding(values: Iterable[Secret], connection: Connection, command: str) -> int:
    """Return how many lines of what `command` prints hold one."""
    # The first cat makes a pipe of what sshd may have made a socket, which can't be reopened.
    search = "grep --text --count --fixed-strings --file=/dev/fd/3"
    counted = connection.quietly(
        f"cat | {{ exec 3<&0; {{ {command}; }} 2>&1 </dev/null | {search}; }}", _lines(values)
    )
    return int(counted)


def _lines(values: Iterable[Secret]) -> str:
    return "".join(f"{value.reveal()}\n" for value in values)
