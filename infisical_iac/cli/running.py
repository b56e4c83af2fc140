"""A deploy's run, told step by step while it is made."""

from typing import TYPE_CHECKING

from rich.text import Text

from infisical_iac.cli.output import console, count

if TYPE_CHECKING:
    from infisical_iac.core.deployment import Deployment, Step


def run(deployment: "Deployment", remedy: str | None = None) -> "list[Step]":
    """Run the steps, tell each that has changed something, and return those.

    Args:
        remedy: what helps if one fails; None for another run.

    Raises DeployError as the deployment does.
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
