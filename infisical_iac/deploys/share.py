"""Share what all hosts of a cluster have in common, once all of it is made."""

from pyinfra.api.deploy import deploy

from infisical_iac.cluster.share import shared
from infisical_iac.host.preflight import Preflight


@deploy("Share")
def share(known: Preflight) -> None:
    """Bring the lead's state to all others; nothing of it on a host of its own."""
    if known.cluster is not None:
        shared(cluster=known.cluster, name="Share the lead's keys, credentials and records")
