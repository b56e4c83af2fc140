"""The keys that the code of a service needs, reads with a default, or only names."""

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from infisical_iac.check import javascript, python
from infisical_iac.check.model import Reads
from infisical_iac.migrate.evidence import Text
from infisical_iac.migrate.find import is_env

_LANGUAGES = (javascript, python)
_WORD = re.compile(r"\b[A-Za-z_][A-Za-z0-9_]*\b")
_TEST = re.compile(
    r"(.*/)?(tests?|__tests__|e2e|spec|__mocks__)/.*|(.*/)?(test_[^/]*|[^/]*_test|conftest)\.py"
    r"|.*\.(test|spec)\.[^/.]+"
)
# Made from the code, or of others; and words for people, which are no code.
_NO_CODE = re.compile(
    r"(.*/)?(dist|build|coverage|vendor)/.*|.*\.min\.js|.*\.map|.*\.(lock|md|rst|adoc|svg|log)"
    r"|(.*/)?(package-lock\.json|pnpm-lock\.yaml|LICENSE.*|CHANGELOG.*|README.*|\.[^/]*ignore)"
    r"|(.*/)?(migration(-report)?\.\w+|\.infisical(-check)?\.\w+)"
)


@dataclass
class Usage:
    """The keys that matter to a service, by what it does with them.

    Attributes:
        needed: with the place of the first read that has no default.
        read: all that its code reads.
        used: that too, and what files name that are neither JavaScript nor Python, or can't be
            read in full.
        dynamic: the places that read keys of which the code does not show the name.
        unread: the paths of code that can't be read, with the reason.
    """

    needed: dict[str, str] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)
    used: set[str] = field(default_factory=set)
    dynamic: list[str] = field(default_factory=list)
    unread: dict[str, str] = field(default_factory=dict)

    @property
    def optional(self) -> set[str]:
        """Return the keys that code reads, and can do without."""
        return self.read - self.needed.keys()

    def note(self, path: str, reads: Reads) -> None:
        """Take in what a file reads; what tests read need not be there."""
        counts = not is_test(path)
        for key, line, is_optional in reads.found:
            if counts and not is_optional:
                self.needed.setdefault(key, f"{path}:{line}")
            self.read.add(key)
            self.used.add(key)
        if counts:
            self.dynamic += (f"{path}:{line}" for line in reads.dynamic)
        if reads.error:
            self.unread[path] = reads.error


def usage(paths: Iterable[str], text: Text) -> Usage:
    """Return what the files of one service need and use."""
    found = Usage()
    paths = [path for path in paths if is_code(path)]
    for language in _LANGUAGES:
        texts = {path: text(path) for path in paths if path.endswith(language.ENDINGS)}
        for path, reads in sorted(language.read(texts).items()):
            found.note(path, reads)
        if found.dynamic:
            found.used |= language.words(texts)
    endings = tuple(end for language in _LANGUAGES for end in language.ENDINGS)
    others = {path for path in paths if not path.endswith(endings)}
    # Whether the words in these are keys, nobody can tell here.
    found.used.update(
        word for path in others | found.unread.keys() for word in _WORD.findall(text(path))
    )
    return found


def is_code(path: str) -> bool:
    """Return whether what a file says of keys counts."""
    return not _NO_CODE.fullmatch(path) and not is_env(posixpath.basename(path))


def is_test(path: str) -> bool:
    """Return whether a file is of tests, which run with keys of their own."""
    return bool(_TEST.fullmatch(path))
