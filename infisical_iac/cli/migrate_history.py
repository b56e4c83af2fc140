"""`infisical-iac migrate history`: values that git repositories still hold."""

import json
from collections.abc import Sequence
from pathlib import Path

import click
from rich.text import Text

from infisical_iac.cli.items import console
from infisical_iac.cli.migrate_found import as_data, lines
from infisical_iac.cli.options import json_option
from infisical_iac.errors import UserError
from infisical_iac.migrate import rotation
from infisical_iac.migrate.history import Searched, search
from infisical_iac.migrate.needles import Needles

_FOUND = 2


class HistoryError(UserError):
    """The values could not be read, or the hashes could not be written."""


@click.command()
@click.argument(
    "repositories",
    metavar="REPO...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
)
@click.option(
    "--env-file",
    "env_files",
    multiple=True,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file with the values to look for; may be given again.",
)
@click.option("--grammar", default="dotenv", show_default=True, help="How to read these files.")
@click.option(
    "--filter-repo",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the hashes of the files' versions with a value to this file, for git-filter-repo.",
)
@json_option
@click.pass_context
def history(
    ctx: click.Context,
    repositories: Sequence[Path],
    env_files: Sequence[Path],
    grammar: str,
    filter_repo: Path | None,
    as_json: bool,
) -> None:
    """Search all of git's objects for the values, and tell what must be rotated.

    Every branch, tag, stash, reflog and object that nothing refers to any more is searched, for
    each value as it is, base64, URL-encoded and JSON-escaped. Values that are short or common are
    skipped and named. No value is ever shown. Exit status: 0 if nothing is found, 2 if something
    is, 1 for an error.
    """
    needles = Needles(_values(env_files, grammar))
    searched = [search(repository, needles) for repository in repositories]
    command = _written(filter_repo, searched) if filter_repo else ""
    if as_json:
        click.echo(json.dumps(as_data(searched, needles, command), indent=2, ensure_ascii=False))
    else:
        to = console()
        for line in lines(searched, needles, command):
            to.print(Text(line))
    ctx.exit(_FOUND if any(each.hits for each in searched) else 0)


def _values(env_files: Sequence[Path], grammar: str) -> dict[str, str]:
    from infisical_iac.dotenv import GRAMMARS, read

    if grammar not in GRAMMARS:
        raise HistoryError(f"{grammar} is no grammar: name one of {', '.join(GRAMMARS)}")
    values: dict[str, str] = {}
    for file in env_files:
        try:
            reading = read(file.read_bytes(), grammar)
        except OSError as error:
            raise HistoryError(f"{file} can't be read: {error.strerror}") from None
        if reading.error:
            raise HistoryError(f"{file} can't be read by {grammar}: {reading.error}")
        values |= {f"{file} {key}": value for key, value in reading.values.items()}
    return values


def _written(hashes: Path, searched: Sequence[Searched]) -> str:
    """Write the hashes, and return the command that takes them; empty if there are none."""
    names = rotation.blobs(searched)
    try:
        hashes.write_text("".join(f"{name}\n" for name in names))
    except OSError as error:
        raise HistoryError(f"{hashes} can't be written: {error.strerror}") from None
    return rotation.filter_repo(hashes) if names else ""
