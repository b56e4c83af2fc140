"""Print what differs inside Infisical or is named no more, as text and as JSON."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from infisical_iac.cli.output import as_data, show
from infisical_iac.core.item import Item
from infisical_iac.core.terminal import console, echo, print_data
from infisical_iac.workspace.change import Change
from infisical_iac.workspace.foreign import ForeignAccess
from infisical_iac.workspace.prune import Removal

ENDING = (
    "access that the file does not give (*) stays: `infisical-iac workspace apply --prune` takes "
    "it away; what is wanted goes into `accepted` of the file"
)


_PLURALS = {
    "credentials": "credentials",
    "import": "imports",
    "folder": "folders",
    "environment": "environments",
}


def print_changes(changes: Iterable[Change], *, stderr: bool = False) -> None:
    show(changes, (), console(stderr=stderr))


def print_foreign(found: Iterable[Item], *, stderr: bool = False) -> None:
    """Print each access that the file does not give in a line, and what to do about them."""
    items = list(found)
    show(items, (), console(stderr=stderr))
    if items:
        print_notes([ENDING])


def print_shown(change: Change, *, stderr: bool = False) -> None:
    """Print what only the operator may see of a change that was made, once."""
    if change.shown:
        echo(change.shown, err=stderr)


def print_rotations(rotate: Mapping[str, Sequence[str]]) -> None:
    """Print which secrets people who lose access could read."""
    for email, secrets in rotate.items():
        echo(f"Rotate what {email} could read:" if secrets else f"{email} could read nothing.")
        for secret in secrets:
            echo(f"  {secret}")


def print_json(
    changes: Iterable[Change],
    unnamed: Iterable[Removal],
    foreign: Iterable[ForeignAccess],
    rotate: Mapping[str, Sequence[str]],
    notes: Sequence[str],
) -> None:
    """Print the changes, and apart from them what stays though the file does not name it.

    `rotate` holds, by e-mail, the secrets that people who lose access could read.
    """
    found = {
        "changes": as_data(changes),
        "unnamed": as_data(each.change for each in unnamed),
        "foreign": [each.data for each in foreign],
        "rotate": rotate,
        "notes": notes,
    }
    print_data(found)


def print_notes(notes: Iterable[str]) -> None:
    """Print sentences that are no changes, beside the output proper."""
    for note in notes:
        echo(f"Note: {note}", err=True)


def unnamed_notes(unnamed: Sequence[Removal]) -> list[str]:
    """Return sentences on what `--prune` would take away besides access, if there is anything."""
    kinds = [each.change.what.split()[0] for each in unnamed]
    counts = Counter(kind for kind in kinds if kind in _PLURALS)
    if not counts:
        return []
    words = [
        f"{counts[kind]} {kind if counts[kind] == 1 else plural}"
        for kind, plural in _PLURALS.items()
        if counts[kind]
    ]
    listed = " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
    one = counts.total() == 1
    summary = f"{listed} {'is' if one else 'are'} no longer in the file: --prune removes "
    return [
        f"{summary}{'it' if one else 'them'}",
        *(f"{each.change.what} still holds {each.holds}" for each in unnamed if each.holds),
    ]
