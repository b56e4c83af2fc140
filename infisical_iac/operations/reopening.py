"""Set right what a lead that died left of a cluster's database and of its password."""

import shlex

from infisical_iac.cluster import topology
from infisical_iac.cluster.model import Cluster
from infisical_iac.core.remote import run
from infisical_iac.core.rendering import script

# Each node's own rotation, where it led one and died, is ended by what the node keeps of it.
_FORGET = """\
test -e /var/lib/infisical-rotation/state ||
    test "$(sha256sum </etc/infisical/keys/postgres_password)" != {} ||
    rm -f /etc/infisical/keys/postgres_password.old /etc/infisical/keys/postgres_password.next"""
_HASH = "sha256sum </etc/infisical/keys/postgres_password"


def reopened(cluster: Cluster) -> None:
    """Have the database let Infisical in by the key in its place, which is the current host's.

    Once it does, no connected node that has that one keeps the password before or after it. Raises
    CommandFailed.
    """
    if run(script("reopen"), doing="see that the database lets Infisical in") != "known":
        return
    known = shlex.quote(run(_HASH, doing="see which password it is"))
    for node in cluster.connected:
        if node.number:
            with topology.on(node.name):
                run(_FORGET.format(known), doing="forget the password of a rotation that has ended")
