"""Names that must be typed before something is deleted with the secrets in it."""

from collections.abc import Collection, Iterable

import click

from infisical_iac.workspace.prune import PruneError, Removal


def confirm(removals: Iterable[Removal], names: Collection[str], *, ask: bool) -> None:
    """Return once every name that is needed was given.

    Args:
        names: those given as options.
        ask: whether to ask for the others.

    Raises PruneError for a name that is missing or wrong.
    """
    missing = [each for each in removals if each.name and each.name not in names]
    if missing and not ask:
        whats = ", ".join(f"{each.change.what} with {each.holds}" for each in missing)
        options = " ".join(f"--confirm {each.name}" for each in missing)
        raise PruneError(f"nothing was changed, for it would delete {whats}: add {options}")
    for name in sorted(set(names) - {each.name for each in removals}):
        raise PruneError(f"nothing was changed, for nothing named {name} is to be deleted")
    for each in missing:
        question = f"Type the name {each.name} to delete it with its {each.holds}"
        typed = click.prompt(question, default="", show_default=False, err=True)
        if typed != each.name:
            raise PruneError(f"that is not {each.name}: nothing was changed")
