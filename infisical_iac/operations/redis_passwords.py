"""The passwords that the Redis servers and sentinels of a cluster take, while they get a new one.

All take both before any is made anew with the new one, so that whichever is asked lets in whoever
asks; at the end all take the one that is in its place alone.
"""

from infisical_iac.cluster.nodes import Cluster
from infisical_iac.operations import nodes
from infisical_iac.operations.remote import run
from infisical_iac.rendering import script


def admit(cluster: Cluster) -> None:
    """Have all that can be reached take the passwords that the lead has, in place or beside it.

    Raises CommandFailed where one runs and does not answer.
    """
    _each(cluster, "admit", *_hashes(), doing="let both passwords of Redis in")


def alone(cluster: Cluster) -> None:
    """Have them take the password that is in its place alone; raises as `admit`."""
    _each(cluster, "alone", _hashes()[0], doing="put the other password of Redis out")


def _hashes() -> list[str]:
    """The lead's, of what is in its place first; a hash is no secret."""
    return run(script("redis-passwords", "hashes"), doing="read the passwords of Redis").split()


def _each(cluster: Cluster, what: str, *hashes: str, doing: str) -> None:
    for node in cluster.connected:
        if node.number:
            with nodes.on(node.name):
                run(script("redis-passwords", what, *hashes), doing=f"{doing} on {node.name}")
