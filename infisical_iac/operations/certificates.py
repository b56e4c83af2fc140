"""The certificates by which the services of a cluster know each other."""

from datetime import UTC, datetime

from pyinfra.context import host

from infisical_iac.cluster.certificates import Certificates, Lacking
from infisical_iac.core import journal
from infisical_iac.core.operation import Commands, step, telling_operation
from infisical_iac.core.remote import run
from infisical_iac.core.rendering import script

_ROOT = "/etc/infisical"


@telling_operation
def made() -> Commands:
    """Have the authority of the deployment and a certificate for each service, on the lead.

    What ends within 60 days is made again, and rolled out with the stack: its Docker secret has
    another name then. Raises CommandFailed where the authority's key is gone.
    """
    lacking = host.get_fact(Certificates)
    if not lacking:
        host.noop("all certificates are there, and none ends soon")
        return
    for each in lacking:
        journal.item("+" if each.why == "missing" else "~", f"{_ROOT}/{each.file}", _detail(each))
    yield step(run, script("certificates", "make"), doing="make the certificates in /etc/infisical")


def _detail(lacking: Lacking) -> str:
    if lacking.why == "ends":
        return f"ends {datetime.fromtimestamp(lacking.ends, UTC):%Y-%m-%d} → made again"
    return "not of its key, its authority or its names" if lacking.why == "stale" else ""
