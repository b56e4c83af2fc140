"""Configuration files, owned whole: read together, written one by one, each atomically."""

import re
import shlex
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from difflib import unified_diff
from hashlib import sha256

from pyinfra.context import host

from infisical_iac.core.facts import Fact
from infisical_iac.core.item import Item
from infisical_iac.core.operation import Commands, or_up_to_date, step, telling_operation
from infisical_iac.core.remote import run, write
from infisical_iac.core.rendering import script


@dataclass(frozen=True)
class PathState:
    """Hold what stands at a path. `sha256` is None for what is no readable regular file."""

    kind: str
    mode: str
    owner: str
    sha256: str | None = None


class Paths(Fact[dict[str, PathState]]):
    """The state of those of `paths` that exist."""

    def command(self, paths: list[str]) -> str:
        return read_command(shlex.join(paths))

    def process(self, output: list[str]) -> dict[str, PathState]:
        hashes, states = {}, {}
        for line in output:
            first, _, rest = line.partition(" ")
            if len(first) == 64:
                hashes[rest.strip()] = first
            else:
                owner, _, named = rest.partition(" ")
                path, _, kind = named.rpartition("|")
                states[path] = PathState(kind=kind, mode=first, owner=owner)
        return {
            path: PathState(state.kind, state.mode, state.owner, hashes.get(path))
            for path, state in states.items()
        }


def read_command(paths: str) -> str:
    """The command whose output `Paths` understands; `paths` are words of the shell."""
    return (
        f"stat --format='%a %U:%G %n|%F' -- {paths} 2>/dev/null; "
        f"sha256sum -- {paths} 2>/dev/null; true"
    )


_MASK = "***"
_WORD = re.compile(r"[^\s\"'=:,;{}\[\]()<>]+")
# What can stand alone without giving anything away: words of configuration, sizes, small numbers.
_HARMLESS = re.compile(
    r"true|false|null|none|yes|no|on|off|\d{1,3}|\d{1,6}(k|m|g|kb|mb|gb|s|ms|min)"
)
_BEFORE_A_NAME = re.compile(r"(^|[{,])\s*(- |export )?\s*[\"']?$")
_NAME = re.compile(r"[A-Za-z_][\w./-]{0,63}")
# Padding of base64 at the end of a line is no sign that a value follows.
_AFTER_A_NAME = re.compile(r"[\"']?\s*(:|=(?!=*\s*$))")
_PRIVATE_WORD = r"pass|secret|token|key|credential|auth|private|pin"
# A value of these is masked whatever it is.
_PRIVATE = re.compile(rf"(?i)([\w-]*(?:{_PRIVATE_WORD})[\w-]*[\"']?\s*[:=]\s*)(\S.*)")
# The names whose value is no secret if it is all of the line and has the form that belongs to the
# name. Elsewhere a text of such a form, such as a version, may be somebody's password.
_PUBLIC = {
    r"(?i:(?:[a-z_-]+[_-])?port|published|target)": r"\d{1,5}",
    r"(?i:(?:[a-z_-]+[_-])?version)": r"v?\d{1,5}(?:\.\d{1,5}){0,3}",
    r"(?i:site_url)": r"https?://[A-Za-z0-9.-]+(?::\d{1,5})?/?",
    r"(?i:(?:[a-z_-]+[_-])?email)": r"[\w.+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+",
}


def _line_of(name: str, value: str) -> str:
    return rf"\s*(?:- )?[\"']?{name}[\"']?(?:\s*[:=]\s*|\s+)[\"']?{value}[\"']?,?\s*"


_PUBLIC_LINE = re.compile("|".join(_line_of(*each) for each in _PUBLIC.items()))
# An image of a registry, with its version, its digest or both. A tag that is no version, such as a
# random one, stays masked but for a few words.
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
# A port of the host as compose publishes it.
_PUBLISHED = re.compile(rf"\s*- [\"']?{_ADDRESS.pattern}:\d{{1,5}}:\d{{1,5}}[\"']?")


def diff(there: str, wanted: str) -> str:
    """The unified diff from the text that is there to the one that is wanted.

    In lines that would be taken away, whatever the wanted text does not hold is masked, but for
    the names that values have and what is harmless: somebody else wrote it, who may have written
    a secret. An image with its version is harmless, and so are ports, addresses of networks, the
    site's address and e-mail addresses where a name says that they are such. Lines that would be
    added hold no secret.
    """
    known = set(_WORD.findall(wanted))
    lines = unified_diff(there.splitlines(), wanted.splitlines(), lineterm="", n=1)
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
    line = _PRIVATE.sub(rf"\1{_MASK}", line)

    def mask(match: re.Match[str]) -> str:
        word = match[0]
        is_name = (
            _NAME.fullmatch(word)
            and _BEFORE_A_NAME.search(line[: match.start()])
            and _AFTER_A_NAME.match(line, match.end())
        )
        is_address = not is_private and _ADDRESS.fullmatch(word)
        harmless = is_name or is_address or word in known or _HARMLESS.fullmatch(word.lower())
        return word if harmless else _MASK

    return _WORD.sub(mask, line)


@dataclass(frozen=True)
class File:
    """A file as it should be: `content` holds no secret, for it may be shown.

    `check` is a command in which `{}` stands for the new file, run before it takes its place.
    """

    path: str
    content: str
    mode: str = "644"
    check: str = ""

    @property
    def state(self) -> PathState:
        """Return what `Paths` reads of this very file, owned by root."""
        digest = sha256(self.content.encode()).hexdigest()
        return PathState("regular file", self.mode, "root:root", digest)

    def matches(self, state: PathState | None) -> bool:
        """Return whether `state` is that of this very file."""
        return state == self.state


@telling_operation
def contents(files: Sequence[File]) -> Commands:
    """Make `files` what they should be."""
    there = host.get_fact(Paths, paths=[file.path for file in files])
    yield from decide(files, there)


def decide(files: Sequence[File], there: Mapping[str, PathState]) -> Commands:
    """Decide which files are to be written, by what is `there` at their paths."""
    paths = ", ".join(file.path for file in files)
    yield from or_up_to_date(
        rewrite(find_differing(files, there), there), f"{paths} as they should be"
    )


def find_differing(files: Sequence[File], states: Mapping[str, PathState]) -> list[File]:
    """Those of `files` that are not as they should be, by what is at their paths."""
    return [file for file in files if not file.matches(states.get(file.path))]


def rewrite(wrong: Sequence[File], states: Mapping[str, PathState]) -> Commands:
    """Tell how each file that is `wrong` differs, and write it."""
    for file in wrong:
        yield difference(file, states.get(file.path))
        yield step(write, file.path, file.content, mode=file.mode, check=file.check)


@dataclass(frozen=True)
class Rewritten(Item):
    """A file with another text than `content`, whose diff shows no secret."""

    content: str = field(default="", kw_only=True, repr=False)

    def read(self) -> Item:
        text = run(script("content", self.what), doing=f"read {self.what}")
        return Item(self.kind, self.what, self.detail, diff=diff(text, self.content))


_OF_PATH = ("kind", "mode", "owner")


def difference(file: File, there: PathState | None) -> Item:
    """Return how `file` differs from what is there."""
    if there is None:
        return Item("+", file.path)
    wanted = file.state
    pairs = ((each, getattr(there, each), getattr(wanted, each)) for each in _OF_PATH)
    detail = ", ".join(f"{what} {is_} → {then}" for what, is_, then in pairs if is_ != then)
    if there.sha256 and there.sha256 != wanted.sha256:
        return Rewritten("~", file.path, detail, content=file.content)
    return Item("~", file.path, detail)
