"""A new password for the repositories of backups, which open by the host's file all the while.

It is let in everywhere before it takes the old one's place on the host, and the old one is put out
after that. On a cluster each data node has repositories of its own, by the same password: the lead
decides how far the rotation is, and the others follow, step by step.
"""

from collections.abc import Collection, Iterable, Mapping

from infisical_iac.change.keys import Key, RotationError
from infisical_iac.cluster import share, topology
from infisical_iac.core.remote import CommandFailed, remove, run, write
from infisical_iac.core.rendering import script
from infisical_iac.rotation.state import Unfinished, targets

# What was started over a connection that is gone may be at work still.
_DIRECTORY = "/etc/infisical/keys"
# By each other node, the targets that it has for itself alone, if it has any.
Own = Mapping[str, Iterable[str]]


def made(key: Key, own: Own) -> list[str]:
    """Replace the password of all repositories, and return what is to be said of it.

    Raises RotationError: with nothing changed where a repository does not open, else with what
    opens the repositories then, which the host's file always does.
    """
    names = _targets()
    _refuse_unreachable(names, own)
    _step("prepare", key.file, doing="make the next password")
    hand_out(own, f"{key.file}.next")
    failed = _each("admit", names, own, f"{_DIRECTORY}/{key.file}.next")
    if failed:
        raise RotationError(f"{failed}; {_undone(key, names, own)}")
    _step("switch", doing="put the new password in place")
    _finish(key, names, own)
    return [
        f"Opened by the new password alone: {', '.join(names)}, with all their snapshots"
        f"{f', on {len(own) + 1} nodes' if any(own.values()) else ''}."
    ]


def recover(unfinished: Unfinished, own: Own) -> str:
    """End a rotation that was interrupted, and return how.

    Raises RotationError where a repository does not answer; it opens by the host's file, and the
    rotation is ended by a later run.
    """
    key, names = unfinished.key, _targets()
    if unfinished.way == "undo":
        return f"The rotation of the {key.name} key: {_undone(key, names, own)}."
    if unfinished.way == "complete":
        _step("switch", doing="put the new password in place")
        _finish(key, names, own)
    else:
        _step("end", doing="end the rotation")
    return f"The new {key.name} key is in use."


def _targets() -> list[str]:
    return targets(_step("targets", doing="read the backup targets").splitlines())


def _refuse_unreachable(names: Iterable[str], own: Own) -> None:
    if failed := _each("reach", names, own):
        raise RotationError(
            f"{failed}; nothing was changed: bring it back (`infisical-iac backup now` makes a "
            "repository that never was), or take the target out of backup_targets and apply"
        )


def _undone(key: Key, names: Iterable[str], own: Own) -> str:
    """Put the next password out again where it was let in, and say what is in use."""
    if failed := _each("dismiss", names, own, f"{_DIRECTORY}/{key.file}.next"):
        raise RotationError(
            f"the old {key.name} key opens every repository, but the new one could not be put out "
            f"again: {failed}; the next `infisical-iac apply` tries again"
        )
    forget(own, key)
    _step("end", doing="end the rotation")
    return "the old one is in use, and the new one was given up"


def _finish(key: Key, names: Iterable[str], own: Own) -> None:
    hand_out(own, f"{key.file}.old")
    if own:
        # With a serial, by which no node that was away leads with the old one.
        share.spread(topology.known())
    if failed := _each("dismiss", names, own, f"{_DIRECTORY}/{key.file}.old"):
        raise RotationError(
            f"the new {key.name} key opens every repository, but so does the old one still: "
            f"{failed}; the next `infisical-iac apply` puts it out"
        )
    forget(own, key)
    _step("end", doing="end the old password")


def hand_out(to: Collection[str], *files: str) -> None:
    """Give files of the lead's keys, where it has them, to other nodes."""
    for file in files if to else ():
        path = f"{_DIRECTORY}/{file}"
        text = run(f"cat {path} 2>/dev/null || true", doing=f"read {path}")
        for node in to if text else ():
            with topology.on(node):
                write(path, f"{text}\n")


def forget(of: Collection[str], key: Key) -> None:
    """Let other nodes forget the passwords that are not in their place."""
    old = [f"{_DIRECTORY}/{key.file}.{which}" for which in ("next", "old")]
    for node in of:
        with topology.on(node):
            remove(*old, doing="forget the old password")


def _each(what: str, names: Iterable[str], own: Own, *arguments: str) -> str:
    """Do it in each repository; what failed, empty if nothing did."""
    failed = [_failure(what, name, arguments) for name in names]
    for node, theirs in own.items():
        with topology.on(node):
            failed += [_failure(what, name, arguments, of=node) for name in theirs]
    return "; ".join(filter(None, failed))


def _failure(what: str, name: str, arguments: Iterable[str], of: str = "") -> str:
    command, doing = script("backup-target", what, name, *arguments), f"{what} {name}"
    try:
        run(f"flock --wait 600 {_DIRECTORY} {command}", doing=doing)
    except CommandFailed as error:
        reason = str(error).removeprefix(f"could not {doing}: ").rpartition(" / ")[2]
        return f"{name}{f' on {of}' if of else ''}: {reason}"
    return ""


def _step(name: str, *arguments: str, doing: str) -> str:
    return run(script("rotation", name, *arguments), doing=doing)
