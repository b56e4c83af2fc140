"""`infisical-iac credentials`: what services log in with."""

import click

from infisical_iac.cli.credentials_push import push
from infisical_iac.cli.credentials_rotate import revoke, rotate
from infisical_iac.cli.credentials_show import list_command, show


@click.group()
def credentials() -> None:
    """Look at, hand out, replace and deliver what services log in with.

    Each service has a client secret in each environment, in a file on the host. With
    INFISICAL_API_URL set, as for `infisical-iac workspace`, they are those of the Infisical there,
    and their files are in the directory of --credentials.
    """


for command in (list_command, show, rotate, revoke, push):
    credentials.add_command(command)
