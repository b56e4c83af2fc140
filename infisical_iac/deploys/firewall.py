"""The firewall on the host itself, up before anything of Docker is."""

from pyinfra.api.deploy import deploy

from infisical_iac.host import firewall as operation
from infisical_iac.host.openings import openings
from infisical_iac.host.preflight import Preflight

# Where nothing says another one.
_SSH_PORT = 22


@deploy("Firewall")
def firewall(known: Preflight) -> None:
    """Drop what the settings don't let in, or take the firewall away that did."""
    if known.settings.firewall == "off":
        operation.removed(name="Leave the host's firewall to others")
        return
    operation.kept(
        openings=openings(
            known.settings,
            *(known.machine.ssh_ports or (_SSH_PORT,)),
            peers=known.cluster.peers if known.cluster else (),
        ),
        machine=known.machine,
        in_cluster=known.cluster is not None,
        name="Drop what the settings don't let in",
    )
