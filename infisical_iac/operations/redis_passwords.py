"""The passwords that the Redis servers and sentinels of a cluster take, while they get a new one.

All take both before any is made anew with the new one, so that whichever is asked lets in whoever
asks; at the end all take the one that is in its place alone.
"""

from pyinfra import logger

from infisical_iac.cluster import topology
from infisical_iac.cluster.model import Cluster
from infisical_iac.core.remote import CommandFailed, run
from infisical_iac.core.rendering import script


def admit(cluster: Cluster, *, all_of_them: bool = True) -> None:
    """Have all that can be reached take the passwords that the lead has, in place or beside it.

    One that runs and does not answer takes them from its next start on, which is told; where
    `all_of_them` are needed, CommandFailed is raised.
    """
    _each(cluster, "admit", _hashes(), "let both passwords of Redis in", all_of_them)


def alone(cluster: Cluster) -> None:
    """Have them take the password that is in its place alone, from the next start on at least."""
    _each(cluster, "alone", _hashes()[:1], "put the other password of Redis out", False)


def _hashes() -> list[str]:
    """The lead's, of what is in its place first; a hash is no secret."""
    return run(script("redis-passwords", "hashes"), doing="read the passwords of Redis").split()


def _each(cluster: Cluster, what: str, hashes: list[str], doing: str, all_of_them: bool) -> None:
    for node in cluster.connected:
        if node.number:
            with topology.on(node.name):
                try:
                    run(script("redis-passwords", what, *hashes), doing=f"{doing} on {node.name}")
                except CommandFailed as error:
                    if all_of_them:
                        raise
                    logger.warning(f"{error}; it does so when it starts again")
