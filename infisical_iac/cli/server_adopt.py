"""`infisical-iac server adopt`: what an earlier version made, labelled as this deployment's."""

import click

from infisical_iac.cli.items import console, count, echo, show
from infisical_iac.cli.options import yes_option


@click.command()
@yes_option
def adopt(yes: bool) -> None:
    """Label what an earlier version of this project made at Hetzner Cloud as this deployment's.

    Such things carry the label managed-by=infisical-iac alone, and are not changed until they are
    adopted. Those of the setting `server_name` are shown with what they get, and labelled after a
    question; nothing else of them is changed. What belongs to another deployment, or may, is left
    alone. Exit status: 0 when nothing is left to adopt, 1 for an error, or for no to the question.
    """
    from infisical_iac.cli.server_showing import make_all
    from infisical_iac.hetzner import plan as session

    found = session.begun(adopts=True)
    changes = [each.change() for each in found.adoptable]
    name = found.want.first.family
    if not changes:
        echo(f"Nothing is left to adopt for the deployment {name}.")
        return
    show([each.item for each in changes], (), console(stderr=True))
    if not yes:
        click.confirm(
            f"Label these as the deployment {name}'s, which may then change and delete them?",
            abort=True,
            err=True,
        )
    make_all(changes)
    echo(f"{count(changes)} made: they are the deployment {name}'s from now on.")
