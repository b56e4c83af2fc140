"""The base of the grammars: decoding, order, and the signs that a program reads by one."""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from infisical_iac.dotenv.model import Entry, Finding
from infisical_iac.dotenv.text import FileRefused, Text

_BOM = "\ufeff"
_UTF_8 = "Save the file as UTF-8 and scan again."
_UTF_16 = "The file is in UTF-16 (as PowerShell's > writes it): no name is read as it is meant."

Merging = Literal["in-turn", "together", "as-written"]
"""The ways in which references see the other files.

    in-turn      the file that wins is read first, and each sees what was read before it
    together     all are merged, then replaced, so that each sees all
    as-written   nothing is replaced
"""


@dataclass(frozen=True)
class Cascade:
    """A loader that reads several files of a directory, of which a later one wins.

    Attributes:
        title: the name of the loader, for people.
        files: their names, with `{mode}` for the mode.
        modes: those that it has; without any it has all.
        parser: the grammar that files are read by before references are replaced, where they are
            read together.
    """

    title: str
    files: tuple[str, ...]
    merging: Merging
    modes: tuple[str, ...] = ()
    parser: str = "dotenv"

    def names(self, mode: str) -> list[str]:
        """Return the names of its files in a mode, of which a later one wins."""
        return [each.format(mode=mode) for each in self.files]


@dataclass(frozen=True)
class Package:
    """A package that reads by a grammar, as a manifest or a lock file names it.

    Attributes:
        exact: whether it reads just so; some have rules of their own.
        rank: the package of the lowest is the one that reads: frameworks are before libraries.
        cascade: the name of the grammar's cascade that it reads several files by, or "".
        remark: what its reading has of its own, as the end of a sentence.
        earlier: the last release that reads by another cascade, and the name of that.
        brings: packages that it calls itself: that they are there as well says nothing more.
    """

    name: str
    exact: bool = True
    rank: int = 0
    cascade: str = ""
    remark: str = ""
    earlier: tuple[int, str] | None = None
    brings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Command:
    """A command line that gives a file to a program which reads by a grammar.

    Attributes:
        pattern: with the file as the group `file`.
        action: what the line does with the file, as the end of a sentence.
        exact: whether it reads just so.
        rank: where several fit one line, the lowest is the first.
    """

    pattern: re.Pattern[str]
    action: str
    exact: bool = True
    rank: int = 0


FILE = r"""(?P<file>"[^"\n]*"|'[^'\n]*'|\\"[^"\n]*\\"|[^\s"';&|)<>]+)"""
OPTION = rf"[^\n|&;]*?\s--env-file(?:-if-exists)?[= ]+{FILE}"
"""A file, and one after `--env-file`, in the pattern of a command."""


class Grammar(ABC):
    """The way in which one program reads `.env` files.

    To add one, write a module of `infisical_iac.dotenv.grammars` with a subclass: it is found by
    being there. Override what the program does otherwise than `decode` and `order` here.

    Attributes:
        name: as plans and options name it.
        place: where it stands in lists of all grammars.
        node_packages, python_packages: what reads by it, of each language in `languages`.
        node_calls: functions of Node itself that do, such as ("process", "loadEnvFile").
        python_calls: functions of its Python package, whose arguments say more. `migrate clean`
            looks for packages and calls by patterns of its own, in migrate/cleaning.py.
        uninterpolated: the grammar of these where they are told not to interpolate, or "".
        commands: the command lines that give files to such a program.
        reads_compose_files: whether it reads what a compose file names, or has beside it.
        file_names: beginnings of file names, each with the sentence why this grammar reads it.
        cascades: loaders that read several files by it, by name.
    """

    name: ClassVar[str]
    place: ClassVar[int]
    node_packages: ClassVar[tuple[Package, ...]] = ()
    python_packages: ClassVar[tuple[Package, ...]] = ()
    node_calls: ClassVar[tuple[tuple[str, str], ...]] = ()
    python_calls: ClassVar[frozenset[str]] = frozenset()
    uninterpolated: ClassVar[str] = ""
    commands: ClassVar[tuple[Command, ...]] = ()
    reads_compose_files: ClassVar[bool] = False
    file_names: ClassVar[Mapping[str, str]] = {}
    cascades: ClassVar[Mapping[str, Cascade]] = {}

    # Whether its parser refuses bytes that are not UTF-8, or what looks like UTF-16.
    _refuses_bytes: ClassVar[bool] = False
    _refuses_utf_16: ClassVar[bool] = False
    # What it makes of the mark that some editors put before the first line.
    _mark: ClassVar[str] = "The byte order mark is ignored by this parser, not by others."
    _keeps_mark: ClassVar[bool] = False
    _refuses_mark: ClassVar[bool] = False

    @abstractmethod
    def parse(self, text: Text, environ: Mapping[str, str]) -> list[Entry]:
        """Return the assignments of a file, with references replaced as the program does.

        Args:
            environ: the environment in which the program would run.

        Raises FileRefused where the program refuses the whole file.
        """

    def order(self, values: dict[str, str]) -> dict[str, str]:
        """Return values, in the order of their first assignment, as the program orders them.

        The order decides what a reference can see.
        """
        return values

    def decode(self, data: bytes) -> Text:
        """Return the text of a file, with findings about its encoding.

        Raises FileRefused if the parser takes UTF-8 only and this is not, or if it would see bytes
        that no text can hold.
        """
        invalid = self._find_invalid_bytes(data)
        utf_16 = None
        if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data[:2]:
            utf_16 = Finding(1, "utf-16", "", _UTF_16, _UTF_8)
        finding = utf_16 or invalid
        if finding and ((self._refuses_bytes and invalid) or (self._refuses_utf_16 and utf_16)):
            raise FileRefused(finding)
        text = self._characters(data)
        decoded = Text(self._lines(text if self._keeps_mark else text.removeprefix(_BOM)))
        if finding:
            decoded.findings.append(finding)
        elif text.startswith(_BOM):
            remedy = "Save the file without a byte order mark."
            if self._refuses_mark:
                decoded.refuse(0, "bom", self._mark, remedy)
            decoded.note(0, "bom", self._mark, remedy)
        return decoded

    def _characters(self, data: bytes) -> str:
        return data.decode(errors="replace")

    def _lines(self, text: str) -> str:
        """Return the text with line ends as the parser sees them."""
        return text.replace("\r\n", "\n").replace("\r", "\n")

    def _find_invalid_bytes(self, data: bytes) -> Finding | None:
        try:
            data.decode()
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            happens = "the file can't be read" if self._refuses_bytes else "they are read as U+FFFD"
            message = f"Bytes that are not UTF-8: {happens}."
            return Finding(line, "invalid-utf-8", "", message, _UTF_8)
        return None
