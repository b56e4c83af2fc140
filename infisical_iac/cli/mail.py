"""`infisical-iac mail`: test the mail server that Infisical sends by."""

import re
from typing import TYPE_CHECKING

import click

from infisical_iac.cli.options import inventory_option, json_option, open_host
from infisical_iac.core.errors import SettingsError
from infisical_iac.core.terminal import echo, print_data
from infisical_iac.core.validation import EMAIL

if TYPE_CHECKING:
    from infisical_iac.core.settings import Settings


@click.group()
def mail() -> None:
    """Test the mail server that Infisical sends by: the setting `smtp`."""


@mail.command(short_help="Send a mail by Infisical's mail server.")
@click.argument("address")
@inventory_option
@json_option
def test(address: str, inventory: str, as_json: bool) -> None:
    """Send a mail to ADDRESS from the host, with the login that Infisical has.

    Exit status: 0 when the mail server has accepted the mail; 1 for an error.
    """
    if not re.fullmatch(EMAIL, address):
        raise SettingsError(
            f"{address!r} is not an e-mail address; write one such as you@example.com",
            code="settings.address",
        )
    with open_host(inventory, check=_require_server) as (_, settings):
        # These load pyinfra, which the help does not need.
        from infisical_iac.instance import proof

        smtp = settings.instance.smtp
        assert smtp
        proof.prove_mail(settings, to=address)
    if as_json:
        print_data({"host": smtp.host, "port": smtp.port, "to": address})
    else:
        echo(f"{smtp.host} has accepted the mail to {address}: look for it there, in spam too.")


def _require_server(settings: "Settings") -> None:
    if settings.instance.smtp is None:
        raise SettingsError(
            "no mail server is set: set smtp, as `infisical-iac docs mail` describes, and apply",
            code="settings.no_mail",
        )
