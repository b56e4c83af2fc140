"""Remove Infisical from all nodes of a cluster, for `destroy`."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from pyinfra.api.host import Host

from infisical_iac.cluster import swarm
from infisical_iac.core.connection import HOST_DEPLOYMENT, current, each_of, with_others
from infisical_iac.core.errors import CommandFailed, Refused
from infisical_iac.core.remote import run
from infisical_iac.core.rendering import script
from infisical_iac.stack.deploy import HostRemoval


@dataclass(frozen=True)
class ClusterRemoval(HostRemoval):
    """Remove Infisical from all nodes of a cluster; `leader` is a working manager."""

    called: str = "the inventory's"
    kept: str = "Data and keys are kept, and the Swarm, which records the data of each node."
    leader: Host = field(kw_only=True)

    @classmethod
    def of(cls, host: Host, inventory: str) -> Self:
        if deployment := host.data.get(HOST_DEPLOYMENT):
            return cls(str(deployment), called="the cluster's", leader=host)
        return cls(Path(inventory).stem, leader=host)

    @property
    def _hosts(self) -> list[Host]:
        return with_others(self.leader)

    def list_deployed(self) -> str:
        """Return what is present on all nodes, one line each."""
        found = each_of(self._hosts, lambda _: _run("inspect", doing="list what is deployed"))
        return "\n".join(filter(None, found))

    def back_up(self, directory: str) -> str:
        """Dump the database into a directory on the node with the primary.

        Raises Refused, or CommandFailed.
        """
        roles = each_of(self._hosts, lambda _: _run("primary", doing="find the primary"))
        primaries = [host for host, role in zip(self._hosts, roles, strict=True) if role]
        if len(primaries) != 1:
            raise Refused(
                f"the cluster has {len(primaries)} primaries, and a dump needs exactly one"
            )
        each_of(primaries, lambda _: _run("backup", directory, doing="back up first"))
        return primaries[0].name

    def remove(self, *, volumes: bool) -> None:
        """Remove the stack; with `volumes`, remove the data and the Swarm too.

        Without `volumes` the Swarm stays: it records which node has which part of the data, so that
        the next deploy finds them. Raises CommandFailed.
        """
        _on_each(self._hosts, lambda: run(script("destroy", "stack"), doing="stop the timers"))
        # If an earlier run was killed while hosts left the swarm, no manager is left to stop them.
        if _run("remove", doing="remove the services") == "removed":
            self._wait_for_containers_to_end()
        if volumes:
            self._leave()
            self._wait_for_containers_to_end()
            _on_each(self._hosts, lambda: _run("volumes", doing="remove the volumes"))
            _on_each(
                self._hosts, lambda: run(script("destroy", "everything"), doing="remove Infisical")
            )

    def _wait_for_containers_to_end(self) -> None:
        _on_each(self._hosts, lambda: _run("gone", doing="wait until the containers have stopped"))

    def _leave(self) -> None:
        # One by one: all at once, most hosts would wait for a majority that is leaving too.
        for each in sorted(self._hosts, key=lambda host: host.name == self.leader.name):
            with current(each), _name_host_in_errors(each):
                swarm.leave()


def _on_each(hosts: Sequence[Host], call: Callable[[], str]) -> None:
    def call_on(host: Host) -> None:
        with _name_host_in_errors(host):
            call()

    each_of(hosts, call_on)


@contextmanager
def _name_host_in_errors(host: Host) -> Iterator[None]:
    try:
        yield
    except CommandFailed as error:
        raise CommandFailed(f"{host.name}: {error}") from None


def _run(*step: str, doing: str) -> str:
    return run(script("destroy-cluster", *step), doing=doing)
