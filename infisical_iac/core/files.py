"""Manage whole configuration files: compare them in one command, and write each atomically."""

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from difflib import unified_diff
from hashlib import sha256

from infisical_iac.agent.files import MASK, PathState, masked_text, states, texts
from infisical_iac.core.agent import Question, ask, inspect, is_answered, question
from infisical_iac.core.change import Change
from infisical_iac.core.operation import Commands, or_up_to_date, planned_operation, step
from infisical_iac.core.remote import write

_WORD = re.compile(r"[^\s\"'=:,;{}\[\]()<>]+")
# Values that reveal nothing: common words of configuration, sizes, small numbers.
_HARMLESS = re.compile(
    r"true|false|null|none|yes|no|on|off|\d{1,3}|\d{1,6}(k|m|g|kb|mb|gb|s|ms|min)"
)
_BEFORE_A_NAME = re.compile(r"(^|[{,])\s*(- |export )?\s*[\"']?$")
_NAME = re.compile(r"[A-Za-z_][\w./-]{0,63}")
# Padding of base64 at the end of a line is not a sign that a value follows.
_AFTER_A_NAME = re.compile(r"[\"']?\s*(:|=(?!=*\s*$))")
_PRIVATE_WORD = r"pass|secret|token|key|credential|auth|private|pin"
# The values of these names are always masked.
_PRIVATE = re.compile(rf"(?i)([\w-]*(?:{_PRIVATE_WORD})[\w-]*[\"']?\s*[:=]\s*)(\S.*)")
# Names whose value is no secret, if it has the form given here and the line holds nothing else.
# Elsewhere, a text of this form may be a password.
_PUBLIC = {
    r"(?i:(?:[a-z_-]+[_-])?port|published|target)": r"\d{1,5}",
    r"(?i:(?:[a-z_-]+[_-])?version)": r"v?\d{1,5}(?:\.\d{1,5}){0,3}",
    r"(?i:site_url)": r"https?://[A-Za-z0-9.-]+(?::\d{1,5})?/?",
    r"(?i:(?:[a-z_-]+[_-])?email)": r"[\w.+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+",
}


def _line_of(name: str, value: str) -> str:
    return rf"\s*(?:- )?[\"']?{name}[\"']?(?:\s*[:=]\s*|\s+)[\"']?{value}[\"']?,?\s*"


_PUBLIC_LINE = re.compile("|".join(_line_of(*each) for each in _PUBLIC.items()))
# An image of a registry, with its version, its digest or both. Other tags are masked, except a few
# common words.
_TAG = (
    r"(?:v?\d{1,8}(?:\.\d{1,8}){0,3}(?:[._-](?:[a-z]{1,10}\d{0,3}|\d{1,3})){0,3}"
    "|latest|stable|edge|main|nightly|alpine|bookworm|trixie)"
)
_DIGEST = "@sha256:[0-9a-f]{64}"
_IMAGE_LINE = re.compile(
    _line_of(
        "image",
        r"(?:[a-z0-9.-]+(?::\d{1,5})?/)?[a-z0-9]+(?:[._/-]+[a-z0-9]+)*"
        rf"(?::{_TAG}(?:{_DIGEST})?|{_DIGEST})",
    )
)
_ADDRESS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}(?:/\d{1,2})?")
# A port of the host, as compose publishes it.
_PUBLISHED = re.compile(rf"\s*- [\"']?{_ADDRESS.pattern}:\d{{1,5}}:\d{{1,5}}[\"']?")


def diff(actual: str, desired: str) -> str:
    """Return the unified diff from the actual to the desired text.

    In lines that would be removed, words that the desired text lacks are masked: somebody else may
    have written a secret there. Lines that would be added hold no secret.

    Names of values are never masked, and neither are harmless values: common words, small numbers,
    images with their versions and network addresses; and, after the name of such a value, ports,
    versions, the site's address and e-mail addresses.
    """
    known = set(_WORD.findall(desired))
    lines = unified_diff(actual.splitlines(), desired.splitlines(), lineterm="", n=1)
    return "\n".join(
        f"-{_mask_line(line[1:], known)}" if line[:1] == "-" else line
        for line in lines
        if not line.startswith(("---", "+++"))
    )


def _mask_line(line: str, known: Set[str]) -> str:
    if _IMAGE_LINE.fullmatch(line) or _PUBLISHED.fullmatch(line):
        return line
    is_private = re.search(_PRIVATE_WORD, line, re.IGNORECASE)
    if not is_private and _PUBLIC_LINE.fullmatch(line):
        return line
    line = _PRIVATE.sub(rf"\1{MASK}", line)

    def mask(match: re.Match[str]) -> str:
        word = match[0]
        is_name = (
            _NAME.fullmatch(word)
            and _BEFORE_A_NAME.search(line[: match.start()])
            and _AFTER_A_NAME.match(line, match.end())
        )
        is_address = not is_private and _ADDRESS.fullmatch(word)
        harmless = is_name or is_address or word in known or _HARMLESS.fullmatch(word.lower())
        return word if harmless else MASK

    return _WORD.sub(mask, line)


@dataclass(frozen=True)
class File:
    """A desired file.

    Attributes:
        path: its absolute path on the host.
        content: its text, without secrets, as plans show it.
        mode: its permissions, such as "644"; it is owned by root.
        check: a command that validates the new file before it replaces the old one; `{}` stands for
            the new file's path.
    """

    path: str
    content: str
    mode: str = "644"
    check: str = ""

    @property
    def state(self) -> PathState:
        """The state that the agent reads if the file is as desired."""
        digest = sha256(self.content.encode()).hexdigest()
        return PathState("regular file", self.mode, "root:root", digest)

    def matches(self, state: PathState | None) -> bool:
        """Return whether `state` is the desired state."""
        return state == self.state


def question_for(files: Sequence[File]) -> Question[dict[str, PathState]]:
    """Return the question that `contents` asks."""
    return question(states, paths=[file.path for file in files])


def text_question(path: str) -> Question[dict[str, str]]:
    """Return the question that `read_text` asks, so that it can be asked ahead."""
    return question(texts, paths=[path])


def read_text(path: str) -> str:
    """Return the text of a file on the current host, without printing it; empty if there is none.

    It is read now, unless it was asked ahead and the run has changed nothing since.
    """
    asked = text_question(path)
    found = inspect(asked) if is_answered(asked) else ask(asked)
    return found.get(path, "")


@planned_operation
def contents(files: Sequence[File]) -> Commands:
    """Write the files that are not as desired.

    Example:
        contents(files=[File("/etc/motd", "Managed host.\n")], name="Write the message")
    """
    found = inspect(question_for(files))
    yield from decide(files, found)


def decide(files: Sequence[File], states: Mapping[str, PathState]) -> Commands:
    """Decide which files to write, given the `states` of their paths."""
    paths = ", ".join(file.path for file in files)
    yield from or_up_to_date(rewrite(find_differing(files, states), states), f"{paths} as desired")


def find_differing(files: Sequence[File], states: Mapping[str, PathState]) -> list[File]:
    """Return the files that are not as desired, given the states of their paths."""
    return [file for file in files if not file.matches(states.get(file.path))]


def rewrite(wrong: Sequence[File], states: Mapping[str, PathState]) -> Commands:
    """Report how each `wrong` file differs, and write it."""
    for file in wrong:
        yield difference(file, states.get(file.path))
        yield step(write, file.path, file.content, mode=file.mode, check=file.check)


@dataclass(frozen=True)
class Rewritten(Change):
    """A change of a file's text to `content`; its diff shows no secret."""

    content: str = field(default="", kw_only=True, repr=False)

    def read(self) -> Change:
        text = ask(question(masked_text, path=self.what))
        return Change(self.kind, self.what, self.detail, diff=diff(text, self.content))


_OF_PATH = ("kind", "mode", "owner")


def difference(file: File, actual: PathState | None) -> Change:
    """Return the change from the actual state of a path, or from no file, to `file`."""
    if actual is None:
        return Change("+", file.path)
    desired = file.state
    pairs = ((each, getattr(actual, each), getattr(desired, each)) for each in _OF_PATH)
    detail = ", ".join(f"{what} {is_} → {then}" for what, is_, then in pairs if is_ != then)
    if actual.sha256 and actual.sha256 != desired.sha256:
        return Rewritten("~", file.path, detail, content=file.content)
    return Change("~", file.path, detail)
