"""Ask git what it knows of a file in a working tree, and tell it to forget it."""

from pathlib import Path

from infisical_iac.migrate.git import GitError, run

_LITERAL = "--literal-pathspecs"  # a name such as .env[1] is no pattern


class WorktreeError(GitError):
    """git refuses."""


def top(directory: Path) -> Path | None:
    """The top of the working tree that a directory is in; None if it is in none."""
    done = run(directory, "rev-parse", "--show-toplevel")
    if done.returncode == 0:
        return Path(done.stdout.removesuffix("\n")).resolve()
    if "not a git repository" in done.stderr:
        return None
    raise WorktreeError(f"git can't tell what is tracked in {directory}: {_last(done.stderr)}")


def is_tracked(file: Path) -> bool:
    """Return whether the file is in git's index."""
    done = run(file.parent, _LITERAL, "ls-files", "--error-unmatch", "--", file.name)
    return done.returncode == 0


def is_ignored(file: Path) -> bool:
    """Return whether git would leave the file out; it need not be there."""
    return run(file.parent, "check-ignore", "--quiet", "--", file.name).returncode == 0


def untrack(file: Path) -> None:
    """Take the file out of the index; it stays where it is.

    Raises WorktreeError if git refuses, such as for staged changes that are nowhere else.
    """
    done = run(file.parent, _LITERAL, "rm", "--cached", "--quiet", "--", file.name)
    if done.returncode:
        raise WorktreeError(f"git won't take it out of its index: {_last(done.stderr)}")


def _last(errors: str) -> str:
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    told = (line for line in lines if line.startswith(("error:", "fatal:")))
    return next(told, lines[-1] if lines else "nothing")
