"""A deploy's run, told step by step while it is made, and one with a way back."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.text import Text

from infisical_iac.cli.output import confirm, count, show
from infisical_iac.core.errors import RunFailed, UserError
from infisical_iac.core.terminal import console, echo

if TYPE_CHECKING:
    from pyinfra.api.host import Host

    from infisical_iac.core.deployment import Deployment, DeployStep


def run(deployment: "Deployment", remedy: str | None = None) -> "list[DeployStep]":
    """Run the steps, tell each that has changed something, and return those.

    Args:
        remedy: what helps if one fails; None for another run.

    Raises RunFailed as the deployment does.
    """
    to = console(stderr=True)
    steps = []
    try:
        with to.status("") as status:
            for step in deployment.run(lambda name: status.update(f"{name} …"), remedy):
                to.print(f"[green]✓[/] {step.name}: {count(step.made)}, {step.seconds:.1f} s")
                steps.append(step)
    finally:
        # Also of a run that fails: nobody can ask for them again.
        for sentence in deployment.journal.shown:
            to.print(Text(sentence))
    return steps


def run_or_back(
    host: "Host",
    steps: Callable[[], object],
    back: Callable[[], str],
    *,
    name: str,
    what: str,
    remedy: str,
    question: str,
    done: str,
    yes: bool,
) -> None:
    """Show what is to be done, ask, and do it; go back if it fails. Raises RunFailed.

    Args:
        steps: those of the deploy.
        back: brings back what was before if need be, and returns sentences on what is so then.
        name: what it is, such as "restore".
        what: comes back, such as "The old data".
        remedy: what helps where it can't, for the end of a sentence.
        done: how it is called once it is made, such as "Restored".
    """
    from infisical_iac.core.connection import LOST
    from infisical_iac.core.deployment import look

    def told() -> str:
        try:
            return back()
        except (UserError, *LOST) as error:
            return f"{what} could not be brought back ({error}): {remedy}"

    deployment = look(host, steps)
    # What comes first may be of what comes later too.
    show(dict.fromkeys(deployment.journal.planned), deployment.journal.unknown)
    confirm(question, yes=yes)
    started = time.monotonic()
    try:
        run(deployment, remedy=f"the {name} ends here")
    except RunFailed as error:
        raise RunFailed(f"{error}. {told()}") from None
    except Exception:  # whatever it is, what was before comes back
        echo(told(), err=True)
        raise
    made = count(deployment.journal.made)
    echo(f"{done}, with {made}, in {time.monotonic() - started:.1f} s.")
