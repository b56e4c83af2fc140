"""The languages of services, and the base of the grammars of their `.env` files.

A language is recognized by the names of files, and a grammar by signs of the program that uses it.
CONTRIBUTING.md, "Adding a kind", lists what a third language needs. The readers of code, which find
the keys that a service uses, are in `check/usage.py`.
"""

import posixpath
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from infisical_iac.dotenv.text import Entry, FileRefused, Finding, Text


@dataclass(frozen=True)
class Language:
    """A language, by the files that list the dependencies of a package.

    Attributes:
        manifest: the pattern of the names of files with a package's own dependencies.
        roots: the names among them that mark their directory as a package.
        locks: the names of files with all installed packages.
        installed: the names of directories with installed packages, which nobody searches.
    """

    name: str
    manifest: re.Pattern[str]
    roots: frozenset[str]
    locks: frozenset[str]
    installed: frozenset[str]

    def is_manifest(self, path: str) -> bool:
        """Return whether a file lists the dependencies of a package."""
        return bool(self.manifest.fullmatch(posixpath.basename(path)))

    def is_lock(self, path: str) -> bool:
        """Return whether a file is a lock file."""
        return posixpath.basename(path) in self.locks


NODE = Language(
    "Node",
    manifest=re.compile(r"package\.json"),
    roots=frozenset({"package.json"}),
    locks=frozenset({"package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml"}),
    installed=frozenset({"node_modules"}),
)
PYTHON = Language(
    "Python",
    manifest=re.compile(r"requirements[^/]*\.(txt|in)|pyproject\.toml|Pipfile|setup\.(cfg|py)"),
    roots=frozenset({"pyproject.toml", "requirements.txt"}),
    locks=frozenset({"poetry.lock", "uv.lock", "pdm.lock", "Pipfile.lock"}),
    # `migrate` and `init` also skip a virtual environment of another name, by its pyvenv.cfg.
    installed=frozenset({".venv", "venv", "site-packages", ".tox", ".nox"}),
)
LANGUAGES = (NODE, PYTHON)
ROOTS = frozenset(name for each in LANGUAGES for name in each.roots)
INSTALLED = frozenset(name for each in LANGUAGES for name in each.installed)


_BOM = "\ufeff"
_UTF_8 = "Save the file as UTF-8 and scan again."
_UTF_16 = "The file is in UTF-16 (as PowerShell's > writes it): no name is read correctly."

Merging = Literal["in-turn", "together", "as-written"]
"""The ways in which references see the other files.

    in-turn      the winning file is read first, and each sees those read before it
    together     all are merged before references are replaced, so that each sees all
    as-written   no reference is replaced
"""


Release = tuple[int, int]
"""The major and minor number of a release of a program."""


@dataclass(frozen=True)
class Cascade:
    """A loader that reads several files of a directory; a later file wins.

    Attributes:
        title: the name of the loader, for people.
        files: the names of the files, with `{mode}` for the mode.
        modes: the modes of the loader; none for any mode.
        parser: the grammar of the files before references are replaced, where they are merged.
    """

    title: str
    files: tuple[str, ...]
    merging: Merging
    modes: tuple[str, ...] = ()
    parser: str = "dotenv"

    def names(self, mode: str) -> list[str]:
        """Return the names of the files in a mode; a later file wins."""
        return [each.format(mode=mode) for each in self.files]


@dataclass(frozen=True)
class Package:
    """A package that reads by a grammar, as named in a manifest or a lock file.

    Attributes:
        exact: whether it follows the grammar exactly; some have rules of their own.
        rank: the package with the lowest rank reads the files: frameworks are before libraries.
        cascade: the name of the grammar's cascade by which it reads several files, or "".
        remark: a difference of its reading, as the end of a sentence.
        earlier: the last release with another cascade, and the name of that cascade.
        brings: the packages that it calls itself; their presence adds no evidence.
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
    """A command line that passes a file to a program which reads by a grammar.

    Attributes:
        pattern: the pattern of the line, with the file as the group `file`.
        action: the use of the file, as the end of a sentence.
        exact: whether the program follows the grammar exactly.
        rank: the lowest rank comes first where several patterns match a line.
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

    To add a grammar, write a subclass in a module of `infisical_iac.dotenv.grammars`; it is found
    there. Override `decode` and `order` where the program differs.

    Attributes:
        name: the name in plans and options, which is unique and never changes: the program's, with
            its language if another one has that name, such as `ruby-dotenv`.
        place: the position in lists of all grammars, which is unique.
        packages: the packages that read by it, by their language.
        node_calls: functions of Node itself that read by it, such as ("process", "loadEnvFile").
        python_calls: functions of its Python package; their arguments may turn interpolation off.
        mentions: patterns of code that reads `.env` by it without naming the file; `migrate clean`
            lists the places.
        uninterpolated: the grammar of these functions without interpolation, or "".
        commands: the command lines that pass files to such a program.
        reads_compose_files: whether it reads the files that a compose file names or has next to it.
        file_names: beginnings of file names, each with the reason for this grammar as a sentence.
        cascades: loaders that read several files by it, by name.
        by_release: the first releases of the program that read by another grammar, with its name,
            in order. Only the grammar with the signs of the program has them.
    """

    name: ClassVar[str]
    place: ClassVar[int]
    packages: ClassVar[Mapping[Language, tuple[Package, ...]]] = {}
    node_calls: ClassVar[tuple[tuple[str, str], ...]] = ()
    python_calls: ClassVar[frozenset[str]] = frozenset()
    mentions: ClassVar[tuple[str, ...]] = ()
    uninterpolated: ClassVar[str] = ""
    commands: ClassVar[tuple[Command, ...]] = ()
    reads_compose_files: ClassVar[bool] = False
    file_names: ClassVar[Mapping[str, str]] = {}
    cascades: ClassVar[Mapping[str, Cascade]] = {}
    by_release: ClassVar[tuple[tuple[Release, str], ...]] = ()

    # Whether its parser refuses bytes that are not UTF-8, or text in UTF-16.
    _refuses_bytes: ClassVar[bool] = False
    _refuses_utf_16: ClassVar[bool] = False
    # The effect of the mark that some editors put before the first line.
    _mark: ClassVar[str] = "The byte order mark is ignored by this parser, not by others."
    _keeps_mark: ClassVar[bool] = False
    _refuses_mark: ClassVar[bool] = False

    @abstractmethod
    def parse(self, text: Text, environ: Mapping[str, str]) -> list[Entry]:
        """Return the assignments of a file, with references replaced as by the program.

        Args:
            environ: the environment of the program.

        Raises FileRefused where the program refuses the whole file.
        """

    def of_release(self, release: Release) -> str:
        """Return the name of the grammar by which a release of the program reads."""
        earlier = (name for first, name in reversed(self.by_release) if first <= release)
        return next(earlier, self.name)

    def order(self, values: dict[str, str]) -> dict[str, str]:
        """Return values, given in the order of their first assignment, in the program's order.

        The order decides which values a reference sees.
        """
        return values

    def expand(self, text: Text, key: str, value: str, line: int, values: dict[str, str]) -> None:
        """Add a value of merged files to `values`, with its references replaced by those there.

        Only a grammar with a cascade that merges the files together has this.

        Args:
            line: the line of the value in the text.

        Raises FileRefused if that takes too much work.
        """
        raise NotImplementedError

    def decode(self, data: bytes) -> Text:
        """Return the text of a file, with findings about its encoding.

        Raises FileRefused if the parser refuses the encoding.
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
        """Return the text with the parser's line ends."""
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
