"""A `.env` file before its migration, and secrets by their place in the project."""

from dataclasses import dataclass, field
from typing import NamedTuple, Self

from infisical_iac.dotenv import Finding, Reading


class Name(NamedTuple):
    """The place of a secret in the project."""

    environment: str
    folder: str
    key: str

    def __str__(self) -> str:
        return f"{self.environment}{self.folder.rstrip('/')}/{self.key}"


@dataclass(frozen=True)
class Secret:
    """A value to be stored in Infisical, with its place today.

    Attributes:
        file: relative to the plan's root.
        is_literal: whether a person allowed text that Infisical takes for a reference.
    """

    name: Name
    value: str = field(repr=False)
    file: str
    line: int
    is_literal: bool = False


@dataclass(frozen=True)
class Stored:
    """A secret as Infisical has it; `is_hidden` if Infisical does not show the value."""

    value: str = field(repr=False)
    comment: str = ""
    is_hidden: bool = False


# The kinds of findings that a person must decide before any write: the value in Infisical would
# differ from the one that the service reads today, or that value or its place is unknown.
BLOCKING = frozenset(
    {
        *("unreadable-file", "invalid-utf-8", "utf-16", "cut-at-line-end", "torn-value"),
        "cut-secret",
        *(
            "glued-name",
            "glued-value",
            "grammars-disagree",
            "undefined-reference",
            "literal-reference",
        ),
        *("trimmed", "nul", "refused-name", "long-name", "long-value", "reserved-name"),
        *("no-service", "no-environment", "same-target", "lacking"),
        *("personal-file", "personal-conflict"),
    }
)


def join_reasons(why: str, release: str) -> str:
    """Return the reasons for a grammar, and for its release if any, as one sentence."""
    return f"{why}, and {release}" if release else why


@dataclass(frozen=True)
class FileFinding:
    """A finding on a line of a file, with the remedy; never a value.

    Attributes:
        file: the path, as in `Source`.
        line: counted from 1; 0 if it is about the whole file.
        kind: a slug, such as `trimmed`.
        key: the name that it is about, or "".
        blocking: `migrate apply` refuses unless the plan decides.
    """

    file: str
    line: int
    kind: str
    key: str
    message: str
    remedy: str
    blocking: bool

    @classmethod
    def of(cls, file: str, finding: Finding) -> Self:
        """Return a finding of a grammar, or of this package, in its file.

        The remedy of a blocking finding names the decision to write into the plan.
        """
        blocks = finding.kind in BLOCKING
        if blocks and "`decision: " not in finding.remedy:
            place = "" if finding.line else " on this file"
            again = " Or" if "plan again" in finding.remedy else " Then plan again, or"
            remedy = f"{finding.remedy}{again} leave it out: `decision: skip`{place}."
            finding = finding._replace(remedy=remedy)
        return cls(file, *finding, blocks)


@dataclass(frozen=True)
class Source:
    """A `.env` file, its target, and how the service reads it today.

    Attributes:
        path: relative to the scanned root, with slashes.
        service: its name in the project file, or "" if none fits.
        environment: the slug, or "" if the project file has none that fits.
        folder: the service's folder, or "".
        grammar: one of `infisical_iac.dotenv.GRAMMARS`.
        why: the reason for this grammar, as a sentence.
        data: the file's bytes; none if it can't be read.
        loader: one of `cascades.CASCADES` if it reads several files together, or "".
        layers: the names of those files, itself among them; the last one wins.
        overridden: the keys that another file overrides.
        is_left_out: whether the other files are read without it, and not compared with it.
        release: a sentence on the release of the program, if others read this file differently.
    """

    path: str
    service: str
    environment: str
    folder: str
    grammar: str
    why: str
    data: bytes = field(repr=False)
    reading: Reading = field(repr=False)
    findings: tuple[FileFinding, ...] = ()
    loader: str = ""
    layers: tuple[str, ...] = ()
    overridden: frozenset[str] = frozenset()
    is_left_out: bool = False
    release: str = ""

    @property
    def reason(self) -> str:
        """Return the reason for the grammar, with that for its release."""
        return join_reasons(self.why, self.release)

    @property
    def target(self) -> tuple[str, str]:
        """Return the environment and the folder that its keys go to."""
        return self.environment, self.folder

    def line(self, key: str) -> int:
        """Return the line at which the effective entry of a key begins, 0 if there is none."""
        return self.reading.lines.get(key, 0)
