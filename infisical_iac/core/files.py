"""Configuration files, owned whole: read together, written one by one, each atomically."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from pyinfra.context import host

from infisical_iac.core import journal
from infisical_iac.core.operation import Commands, step, telling_operation
from infisical_iac.core.remote import run, write
from infisical_iac.core.rendering import script
from infisical_iac.diffs import diff
from infisical_iac.facts.files import Paths, PathState


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
    states = host.get_fact(Paths, paths=[file.path for file in files])
    wrong = differing(files, states)
    if not wrong:
        host.noop(f"{', '.join(file.path for file in files)} as they should be")
    yield from written(wrong, states)


def differing(files: Sequence[File], states: Mapping[str, PathState]) -> list[File]:
    """Those of `files` that are not as they should be, by what is at their paths."""
    return [file for file in files if not file.matches(states.get(file.path))]


def written(wrong: Sequence[File], states: Mapping[str, PathState]) -> Commands:
    """Tell how each file that is `wrong` differs, and write it."""
    for file in wrong:
        tell(file, states.get(file.path))
        yield step(write, file.path, file.content, mode=file.mode, check=file.check)


def tell(file: File, there: PathState | None) -> None:
    """Tell how `file` differs from what is there, with a diff that shows no secret."""
    if there is None:
        journal.item("+", file.path)
        return
    wanted = file.state
    details = [
        f"{what} {is_} → {should_be}"
        for what, is_, should_be in (
            ("kind", there.kind, wanted.kind),
            ("mode", there.mode, wanted.mode),
            ("owner", there.owner, wanted.owner),
        )
        if is_ != should_be
    ]
    lines = ""
    if there.sha256 and there.sha256 != wanted.sha256:
        text = run(script("content", file.path), doing=f"read {file.path}")
        lines = diff(text, file.content)
    journal.item("~", file.path, ", ".join(details), lines)
