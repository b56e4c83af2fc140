"""`infisical-iac init --upgrade`: rewrite the files of a repository for this version."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from infisical_iac.change import changelog
from infisical_iac.cli.init_questions import find_differences, read_file, write_files
from infisical_iac.cli.output import confirm, print_notes, show
from infisical_iac.core import bundle
from infisical_iac.core.change import Change
from infisical_iac.core.errors import FileError, SettingsError
from infisical_iac.core.own_repository import PYPROJECT
from infisical_iac.core.terminal import echo
from infisical_iac.core.wording import join_names, pluralize
from infisical_iac.init.upgrade import (
    Upgraded,
    upgrade_pin,
    upgrade_project_text,
    upgrade_settings_text,
)


def upgrade_settings(directory: Path, yes: bool) -> None:
    """Show how a repository's files would be rewritten for this version, ask, and rewrite them.

    That is `group_data/` and the pinned version in `pyproject.toml`. Comments stay. Nothing is
    written unless all files can be read.

    Args:
        directory: the repository.
        yes: whether to write without a question.

    Raises FileError or SettingsError for a file that can't be upgraded, and Abort for no.
    """
    upgraded = dict(_upgrade_all(directory))
    changed = {file: new.text for file, (old, new) in upgraded.items() if new.text != old}
    notes = [
        f"{_name(file, directory)}: {note}"
        for file, (_, new) in upgraded.items()
        for note in new.notes
    ]
    if not changed:
        echo("All files are up to date with this version.")
        print_notes(notes)
        return
    show(_differences(directory, {file: upgraded[file][0] for file in changed}, changed))
    print_notes(notes)
    confirm(f"Change {pluralize(len(changed), 'file')}?", yes=yes)
    write_files(changed)
    names = join_names(_name(file, directory) for file in changed)
    echo(f"Changed {names}. Run next:\n\n    infisical-iac plan")


def _upgrade_all(directory: Path) -> Iterator[tuple[Path, tuple[str, Upgraded]]]:
    """Yield each file with its text and the upgraded one."""
    folder = directory / "group_data"
    if not folder.is_dir():
        raise FileError(
            f"there is no {folder}: change to your repository, or make one by `infisical-iac init`",
            code="file.missing",
        )
    for file in sorted(folder.glob("*.py")):
        yield file, _upgrade_file(file, upgrade_settings_text)
    for file in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
        yield file, _upgrade_file(file, upgrade_project_text)
    pyproject, running = directory / PYPROJECT, bundle.version()
    if pyproject.is_file():
        text = read_file(pyproject)
        pin = changelog.find_pin(text, bundle.NAME)
        if pin and changelog.version_numbers(pin) < changelog.version_numbers(running):
            notes = ("run `uv lock` after it, if you have a uv.lock",)
            new = Upgraded(upgrade_pin(text, bundle.NAME, running), notes)
            yield pyproject, (text, new)


def _upgrade_file(file: Path, change: Callable[[str], Upgraded]) -> tuple[str, Upgraded]:
    text = read_file(file)
    try:
        return text, change(text)
    except SettingsError as error:
        raise SettingsError(f"{file}: {error}", code=error.code) from None


def _differences(
    directory: Path, old: Mapping[Path, str], new: Mapping[Path, str]
) -> Iterator[Change]:
    for file, text in new.items():
        lines = find_differences(_name(file, directory), old[file], text, context=2)
        yield Change("~", _name(file, directory), diff="\n".join(lines[2:]))


def _name(file: Path, directory: Path) -> str:
    return str(file.relative_to(directory))
