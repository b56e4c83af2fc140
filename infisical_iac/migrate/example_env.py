"""`.env.local.example`: the three variables that a service needs to read its secrets."""

from collections.abc import Iterable
from pathlib import Path

from infisical_iac.errors import UserError

NAME = ".env.local.example"

_TEXT = """\
# Copy to .env.local, `chmod 600` it, fill in: with these, the service reads its secrets.
INFISICAL_CLIENT_ID=
INFISICAL_CLIENT_SECRET=
NODE_ENV=development
"""


class ExampleError(UserError):
    """An example can't be written."""


def plan(root: Path, paths: Iterable[str]) -> list[Path]:
    """The examples that are not there yet, one beside the files at `paths` in each directory."""
    directories = {(root / path).parent for path in paths}
    return [
        directory / NAME
        for directory in sorted(directories)
        if directory.is_dir() and not (directory / NAME).exists()
    ]


def write(file: Path) -> None:
    """Write an example; one that is there is never replaced.

    Raises ExampleError if it is there, even as a broken link, or can't be written.
    """
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(_TEXT)
    except OSError as error:
        raise ExampleError(
            f"{file} can't be written ({error.strerror}): see what is there"
        ) from None
