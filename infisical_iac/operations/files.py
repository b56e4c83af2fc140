"""Configuration files, owned whole: read together, written one by one, each atomically."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from pyinfra.context import host

from infisical_iac.facts.files import Paths, PathState
from infisical_iac.operations.remote import write
from infisical_iac.operations.telling import Commands, step, telling_operation


@dataclass(frozen=True)
class File:
    """A file as it should be: `content` holds no secret, for it may be shown.

    `check` is a command in which `{}` stands for the new file, run before it takes its place.
    """

    path: str
    content: str
    mode: str = "644"
    check: str = ""

    def matches(self, state: PathState | None) -> bool:
        """Whether `state` is this very file, owned by root."""
        return state == PathState(
            "regular file", self.mode, "root:root", sha256(self.content.encode()).hexdigest()
        )


@telling_operation
def contents(files: Sequence[File]) -> Commands:
    """Make `files` what they should be."""
    states = host.get_fact(Paths, paths=[file.path for file in files])
    wrong = [file for file in files if not file.matches(states.get(file.path))]
    if not wrong:
        host.noop(f"{', '.join(file.path for file in files)} as they should be")
        return
    for file in wrong:
        yield step(write, file.path, file.content, mode=file.mode, check=file.check)
