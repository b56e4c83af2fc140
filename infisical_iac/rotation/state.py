"""Read what a host says of a rotation that has not ended, and of the targets that it concerns."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from infisical_iac.change.keys import Key, RotationError, of_file

Way = Literal["undo", "complete", "go back", "forget"]

_WAYS: dict[str, Way] = {
    "prepared": "undo",
    "switching": "complete",
    "switched": "complete",
    "backing": "go back",
    "back": "go back",
    "proven": "forget",
}
_TOLD = {
    "undo": "undone, for nothing was changed yet",
    "complete": "completed if it is well, else undone",
    "go back": "undone",
    "forget": "completed",
}


class Unfinished(NamedTuple):
    """A rotation that has not ended: of which key, and how far rotation.sh got."""

    key: Key
    phase: str

    @property
    def way(self) -> Way:
        """Return how it is ended."""
        return _WAYS[self.phase]

    @property
    def ends_new(self) -> bool:
        """Return whether the new key is the one in use, once it has been ended."""
        return self.way in ("complete", "forget")

    @property
    def told(self) -> str:
        """The same for people."""
        if self.key.name == "restic":
            return "completed" if self.ends_new else "undone"
        return _TOLD[self.way]


def unfinished(state: str) -> Unfinished | None:
    """The rotation that a host's state tells of, None for an empty one.

    Raises RotationError for a state that was not written by this version.
    """
    if not state:
        return None
    try:
        file, phase = state.split()
        found = Unfinished(of_file(file), phase)
        _ = found.way
    except (ValueError, KeyError, StopIteration):
        raise RotationError(
            f"/var/lib/infisical-rotation/state on the host says {state!r}, which this version "
            "does not know: use the one that wrote it"
        ) from None
    return found


def targets(lines: Sequence[str]) -> list[str]:
    """The backup targets in what `rotation.sh targets` prints.

    Raises RotationError if there are none, or if the host has backups in a repository that is no
    target any more: that one would keep the old password, which nobody would have.
    """
    found = [line.split(" ", 1)[1] for line in lines if line.startswith("target ")]
    others = [line.split(" ", 1)[1] for line in lines if line.startswith("other ")]
    if not found:
        raise RotationError("backups are not set up on the host: `infisical-iac apply` does it")
    if others:
        raise RotationError(
            "the host has backups in a repository that is no target any more, and would not open "
            "by the new password: name it in backup_targets again and apply, or give it up by "
            f"removing {', '.join(others)} on the host; nothing was changed"
        )
    return found
