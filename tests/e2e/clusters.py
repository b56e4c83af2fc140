"""Clusters of hosts that begin as the first deploy left one, each for a module of tests."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from tests.cluster.hosts import INVENTORY, Cluster
from tests.e2e.conftest import FirstDeploy, frozen
from tests.e2e.looking import reset_stack
from tests.staging import copies, ingress, stack
from tests.staging.cluster import StagingCluster
from tests.staging.host import StagingHost


@contextmanager
def fresh(first: FirstDeploy, name: str) -> Iterator[StagingCluster]:
    """A staging cluster of this name, without any host yet; what was made of it goes in the end."""
    first.run.ok()
    stack.ensure_cluster()
    staging = StagingCluster(name)
    staging.down()
    yield staging
    staging.down()


def boot(staging: StagingCluster, disk_gb: int = 0) -> list[StagingHost]:
    """Have the three hosts; returns those that were missing, which are single hosts now."""
    there = {host.name for host in staging.hosts}

    def copy(host: StagingHost) -> None:
        if host.name not in there:
            copies.copy(frozen(), host)

    staging.up(disk_gb=disk_gb, boot=copy)
    return [host for host in staging.hosts if host.name not in there]


def bare(staging: StagingCluster, disk_gb: int = 0) -> None:
    """The same; those that were missing have Docker and the images, and nothing of Infisical."""
    made = boot(staging, disk_gb)
    with ThreadPoolExecutor(len(made)) as pool:
        list(pool.map(reset_stack, made))


def deployed(
    staging: StagingCluster,
    inventory: str = INVENTORY,
    environment: Mapping[str, str] | None = None,
) -> Cluster:
    """The cluster of bare hosts, once deployed to; `environment` are variables of that run."""
    ingress.choose(staging, "caddy")
    made = Cluster(staging.name, inventory)
    made.deploy(environment=environment).ok()
    return made
