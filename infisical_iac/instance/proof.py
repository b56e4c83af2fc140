"""Prove from the host that Infisical can use a server, before it uses it."""

from collections.abc import Callable, Iterable, Mapping

from infisical_iac.core.change import Row
from infisical_iac.core.errors import UserError
from infisical_iac.core.settings import Settings
from infisical_iac.host.model import DeployedInfisical
from infisical_iac.instance import authorities
from infisical_iac.instance.settings import GivenSecret


def is_deployed(
    settings: Settings,
    deployed: DeployedInfisical,
    variables: Mapping[str, str | None],
    secrets: Iterable[GivenSecret],
    *,
    by_tls: bool = True,
) -> bool:
    """Return whether the deployed Infisical uses a server with the configuration of the settings.

    Args:
        variables: its desired variables for the server; None for one that it must not have.
        secrets: its secrets for the server. A new one is proven before the host keeps it.
        by_tls: whether it checks the server's certificate, so that changed authorities count too.
    """
    return (
        all(deployed.variables.get(name) == each for name, each in variables.items())
        and {each.key for each in secrets} <= deployed.given
        and not (by_tls and authorities.has_changed(settings, deployed.authorities))
    )


def row(name: str, find_trouble: Callable[[], str], text: str) -> Row:
    """Return the row of `status` on a server, with `text` for a healthy one."""
    try:
        trouble = find_trouble()
    except UserError as error:
        trouble = str(error)
    return Row(name, trouble or text, ok=not trouble)
