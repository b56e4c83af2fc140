"""Boot clusters whose hosts are copies of the host after its first deploy."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from tests.cluster.hosts import INVENTORY, Cluster
from tests.e2e.conftest import FirstDeploy, get_first_host
from tests.e2e.inspection import reset_stack
from tests.staging import copies, ingress, stack
from tests.staging.cluster import StagingCluster
from tests.staging.host import StagingHost


@contextmanager
def fresh(first: FirstDeploy, name: str) -> Iterator[StagingCluster]:
    """Yield a staging cluster of this name without hosts; remove it at the end."""
    first.run.ok()
    stack.ensure_cluster()
    staging = StagingCluster(name)
    staging.down()
    yield staging
    staging.down()


def boot(staging: StagingCluster, disk_gb: int = 0) -> list[StagingHost]:
    """Boot the three hosts; return those that were missing, now single hosts with Infisical."""
    there = {host.name for host in staging.hosts}

    def copy(host: StagingHost) -> None:
        if host.name not in there:
            copies.copy(get_first_host(), host)

    staging.up(disk_gb=disk_gb, boot=copy)
    return [host for host in staging.hosts if host.name not in there]


def bare(staging: StagingCluster, disk_gb: int = 0) -> None:
    """Boot the three hosts without Infisical; new ones have Docker and the images.

    The Infisical that is deployed to new ones starts as slowly as a real one.
    """
    made = boot(staging, disk_gb)
    with ThreadPoolExecutor(len(made)) as pool:
        list(pool.map(reset_stack, made))
    for host in made:
        stack.start_slowly(host)


def deploy_cluster(
    staging: StagingCluster,
    inventory: str = INVENTORY,
    environment: Mapping[str, str] | None = None,
) -> Cluster:
    """Yield a cluster that was deployed to bare hosts; `environment` is for that run."""
    ingress.choose(staging, "caddy")
    made = Cluster(staging.name, inventory)
    made.deploy(environment=environment).ok()
    return made
