"""Boot staging clusters: hosts in their own Docker network, each with its own address.

The hosts are staging hosts named `<cluster>-1`, `<cluster>-2` and so on; the files of the
cluster itself are in `.staging/<cluster>/`.
"""

import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from zlib import crc32

from tests.staging import access, engine
from tests.staging import host as hosts
from tests.staging.host import StagingHost
from tests.staging.shell import STATE, StagingError, docker, run

# Reserved for tests of networks (RFC 2544): no route, bridge or overlay uses it.
_SUBNETS = tuple(f"198.18.{number}" for number in range(256))
_SUBNET_TEMPLATE = "{{range .IPAM.Config}}{{.Subnet}}{{end}}"


class StagingCluster:
    """The staging cluster of a given name, whether it is up or not."""

    def __init__(self, name: str = "cluster"):
        self.name = name
        self.network = f"{StagingHost(name).container}-network"
        self.directory = STATE / name

    @property
    def hosts(self) -> list[StagingHost]:
        """Return the cluster's existing hosts, by number."""
        return [
            StagingHost(name, place=(self.network, access.read(STATE / name).address))
            for name in members(_list_known(), self.name)
        ]

    def host(self, number: int, disk_gb: int = 0) -> StagingHost:
        """Return the host with a number, from 1, which need not exist; the network must."""
        prefix = docker("network", "inspect", "--format", _SUBNET_TEMPLATE, self.network)
        # The first address is the gateway's: this machine.
        address = f"{prefix.rpartition('.')[0]}.{10 + number}"
        place = (self.network, address)
        return StagingHost(f"{self.name}-{number}", place=place, disk_gb=disk_gb)

    def up(
        self, count: int = 3, disk_gb: int = 0, boot: Callable[[StagingHost], None] = StagingHost.up
    ) -> None:
        """Boot the hosts 1 to `count`, and make those that are missing.

        `disk_gb` is the size of the disk for each one's Docker; 0 for no limit. `boot` boots one.

        Raises StagingError when a host doesn't boot.
        """
        engine.ensure()
        self.directory.mkdir(parents=True, exist_ok=True)
        self._have_network()
        for number in range(1, count + 1):
            boot(self.host(number, disk_gb))

    def down(self) -> None:
        """Remove the hosts with their disks, the network, and their files in `.staging/`.

        Hosts without files are removed too.
        """
        for name in members({*_list_known(), *hosts.list_labelled()}, self.name):
            StagingHost(name).down()
        hosts.remove(f"{self.name}-network")
        shutil.rmtree(self.directory, ignore_errors=True)

    def _have_network(self) -> None:
        if docker("network", "ls", "--quiet", "--filter", f"name=^{self.network}$"):
            return
        first = crc32(self.name.encode()) % len(_SUBNETS)
        label = f"{hosts.LABEL}={self.name}-network"
        for subnet in (*_SUBNETS[first:], *_SUBNETS[:first]):
            options = ("--label", label, "--subnet", f"{subnet}.0/24")
            done = run("docker", "network", "create", *options, self.network, check=False)
            if done.returncode == 0:
                return
            if "overlaps" not in done.stderr:
                break
        raise StagingError(f"the network of the cluster can't be made: {done.stderr.strip()}")


def _list_known() -> Iterator[str]:
    """Return the names of the hosts with files in `.staging/`."""
    return (file.parent.name for file in STATE.glob("*/host.json"))


def members(names: Iterable[str], cluster: str) -> list[str]:
    """Return which of `names` are a cluster's hosts, by number."""
    pattern = re.compile(rf"{re.escape(cluster)}-(\d+)")
    found = {name: pattern.fullmatch(name) for name in names}
    return sorted(
        (name for name, match in found.items() if match),
        key=lambda name: int(name.rpartition("-")[2]),
    )
