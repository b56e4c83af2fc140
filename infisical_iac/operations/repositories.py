"""A new password for the repositories of backups, which open by the host's file all the while.

It is let in everywhere before it takes the old one's place on the host, and the old one is put out
after that.
"""

from collections.abc import Iterable

from infisical_iac.operations.remote import CommandFailed, run
from infisical_iac.rendering import script
from infisical_iac.rotation.known import Key, RotationError
from infisical_iac.rotation.state import Unfinished, targets

# What was started over a connection that is gone may be at work still.
_DIRECTORY = "/etc/infisical/keys"


def made(key: Key) -> list[str]:
    """Replace the password of all repositories, and return what is to be said of it.

    Raises RotationError: with nothing changed where a repository does not open, else with what
    opens the repositories then, which the host's file always does.
    """
    names = _targets()
    _refuse_unreachable(names)
    _step("prepare", key.file, doing="make the next password")
    failed = _each("admit", names, f"{_DIRECTORY}/{key.file}.next")
    if failed:
        raise RotationError(f"{failed}; {_undone(key, names)}")
    _step("switch", doing="put the new password in place")
    _finish(key, names)
    return [f"Opened by the new password alone: {', '.join(names)}, with all their snapshots."]


def recover(unfinished: Unfinished) -> str:
    """End a rotation that was interrupted, and return how.

    Raises RotationError where a repository does not answer; it opens by the host's file, and the
    rotation is ended by a later run.
    """
    key, names = unfinished.key, _targets()
    if unfinished.way == "undo":
        return f"The rotation of the {key.name} key: {_undone(key, names)}."
    if unfinished.way == "complete":
        _step("switch", doing="put the new password in place")
        _finish(key, names)
    else:
        _step("end", doing="end the rotation")
    return f"The new {key.name} key is in use."


def _targets() -> list[str]:
    return targets(_step("targets", doing="read the backup targets").splitlines())


def _refuse_unreachable(names: Iterable[str]) -> None:
    if failed := _each("reach", names):
        raise RotationError(
            f"{failed}; nothing was changed: bring it back (`infisical-iac backup now` makes a "
            "repository that never was), or take the target out of backup_targets and apply"
        )


def _undone(key: Key, names: Iterable[str]) -> str:
    """Put the next password out again where it was let in, and say what is in use."""
    if failed := _each("dismiss", names, f"{_DIRECTORY}/{key.file}.next"):
        raise RotationError(
            f"the old {key.name} key opens every repository, but the new one could not be put out "
            f"again: {failed}; the next `infisical-iac apply` tries again"
        )
    _step("end", doing="end the rotation")
    return "the old one is in use, and the new one was given up"


def _finish(key: Key, names: Iterable[str]) -> None:
    if failed := _each("dismiss", names, f"{_DIRECTORY}/{key.file}.old"):
        raise RotationError(
            f"the new {key.name} key opens every repository, but so does the old one still: "
            f"{failed}; the next `infisical-iac apply` puts it out"
        )
    _step("end", doing="end the old password")


def _each(what: str, names: Iterable[str], *arguments: str) -> str:
    """Do it in each target; what failed, empty if nothing did."""
    failed = []
    for name in names:
        command, doing = script("backup-target", what, name, *arguments), f"{what} {name}"
        try:
            run(f"flock --wait 600 {_DIRECTORY} {command}", doing=doing)
        except CommandFailed as error:
            reason = str(error).removeprefix(f"could not {doing}: ").rpartition(" / ")[2]
            failed.append(f"{name}: {reason}")
    return "; ".join(failed)


def _step(name: str, *arguments: str, doing: str) -> str:
    return run(script("rotation", name, *arguments), doing=doing)
