"""Connect network namespaces as Docker does: an outside, a host and its container."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

# Addresses reserved for documentation.
HOST4, HOST6 = "192.0.2.1", "2001:db8:1::1"
OUTSIDE4, OUTSIDE6 = "192.0.2.2", "2001:db8:1::2"
NEIGHBOUR4, NEIGHBOUR6 = "192.0.2.66", "2001:db8:1:66::66"
CONTAINER4, CONTAINER6 = "172.30.0.2", "fd00:30::2"
FAR4, FAR6 = "198.51.100.2", "2001:db8:2::2"
# Addresses that the outside has too: two in private networks for each IP version, and a cloud's
# metadata.
INNER4, INNER6, OTHER4, OTHER6 = "10.1.0.2", "fd00:1::2", "10.2.0.2", "fd00:2::2"
METADATA = "169.254.169.254"
BRIDGE = "br-0123456789ab"

# Published port of the host → port in the container; one only on a loopback address.
PUBLISHED = {443: 8443, 8000: 8000, 9100: 9100}
LOOPBACK4, ON_LOOPBACK = "127.0.0.5", 8080
SERVED_BY_HOST = (22, 80, 3000, 9100, 2377)
SERVED_BY_CONTAINER = (8443, 8000, 8080, 9100)


def _docker(family: str, container: str, loopback: str) -> str:
    """Return the rules that Docker's engine adds in its own tables."""
    to = f"[{container}]" if family == "ip6" else container
    published = "\n".join(f"tcp dport {at} dnat to {to}:{port}" for at, port in PUBLISHED.items())
    return f"""
table {family} nat {{
    chain PREROUTING {{
        type nat hook prerouting priority dstnat;
        fib daddr type local jump DOCKER
    }}
    chain POSTROUTING {{
        type nat hook postrouting priority srcnat;
        oifname != "{BRIDGE}" {family} saddr {container} masquerade
    }}
    chain DOCKER {{
        iifname "{BRIDGE}" return
        {published}
        {family} daddr {loopback} tcp dport {ON_LOOPBACK} dnat to {to}:8080
    }}
}}
table {family} filter {{
    chain FORWARD {{
        type filter hook forward priority filter; policy accept;
    }}
}}
"""


@dataclass(frozen=True)
class World:
    """The network namespaces by name, and the processes in them."""

    prefix: str

    def within(self, place: str, *command: str, input: str = "") -> str:
        """Run a command in a namespace and return its output."""
        done = subprocess.run(
            [*self._enter(place), *command],
            input=input,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def probe(self, place: str, *arguments: str) -> list[str]:
        """Run `tests.network.probe` in a namespace and return its lines."""
        words = (sys.executable, "-m", "tests.network.probe", *arguments)
        return self.within(place, *words).splitlines()

    def find_reachable(
        self, targets: Sequence[str], *, source4: str = OUTSIDE4, source6: str = OUTSIDE6
    ) -> set[str]:
        """Return which `address:port` answer from outside, by one source per IP version."""
        return set(self.probe("outside", "reach", f"{source4},{source6}", *targets))

    def load(self, ruleset: str) -> None:
        """Load a ruleset on the host."""
        self.within("host", "nft", "-f", "-", input=ruleset)

    def start(self, place: str, *arguments: str) -> subprocess.Popen[str]:
        """Start `tests.network.probe` in a namespace."""
        words = (*self._enter(place), sys.executable, "-m", "tests.network.probe", *arguments)
        return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def _enter(self, place: str) -> tuple[str, ...]:
        return ("ip", "netns", "exec", f"{self.prefix}-{place}")


@contextmanager
def built() -> Iterator[World]:
    """Yield the namespaces with Docker's rules, but without rules of this project."""
    world = World(f"iac{os.getpid()}")
    places = ("far", "outside", "host", "container")
    serving = []
    try:
        for place in places:
            _ip(f"netns add {world.prefix}-{place}")
        _wire(world)
        for place, ports in (("host", SERVED_BY_HOST), ("container", SERVED_BY_CONTAINER)):
            server = world.start(place, "serve", *map(str, ports))
            serving.append(server)
            assert _stdout(server).readline() == "serving\n"
        yield world
    finally:
        for server in serving:
            server.kill()
            server.communicate()
        for place in places:
            subprocess.run(["ip", "netns", "delete", f"{world.prefix}-{place}"], check=False)


def _stdout(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout is not None
    return process.stdout


def _wire(world: World) -> None:
    for place in ("far", "outside", "host", "container"):
        world.within(place, "ip", "link", "set", "lo", "up")
        # Without this the kernel waits a second for another owner of an address.
        world.within(place, "sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0")
    _link(world, ("outside", "wan"), ("host", "eth0"))
    _link(world, ("far", "eth0"), ("outside", "lan"))
    _link(world, ("container", "eth0"), ("host", "veth0"))
    host = (
        f"ip link add {BRIDGE} type bridge mcast_snooping 0",
        f"ip link set veth0 master {BRIDGE}",
        f"ip link set {BRIDGE} up",
        "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1",
        f"sysctl -qw net.ipv4.conf.{BRIDGE}.route_localnet=1",
    )
    for command in host:
        world.within("host", *command.split())
    _address(world, "outside", "wan", f"{OUTSIDE4}/24", f"{OUTSIDE6}/48")
    _address(world, "outside", "wan", f"{NEIGHBOUR4}/24", f"{NEIGHBOUR6}/48")
    _address(world, "outside", "lan", "198.51.100.1/24", "2001:db8:2::1/64")
    _address(world, "far", "eth0", f"{FAR4}/24", f"{FAR6}/64")
    _address(world, "host", "eth0", f"{HOST4}/24", f"{HOST6}/48")
    _address(world, "host", BRIDGE, "172.30.0.1/24", "fd00:30::1/64")
    _address(world, "container", "eth0", f"{CONTAINER4}/24", f"{CONTAINER6}/64")
    for address in (INNER4, OTHER4, METADATA):
        world.within("outside", "ip", "address", "add", f"{address}/32", "dev", "lo")
    for address in (INNER6, OTHER6):
        world.within("outside", "ip", "address", "add", f"{address}/128", "dev", "lo")
    routes = (
        ("container", "172.30.0.1", "fd00:30::1"),
        ("host", OUTSIDE4, OUTSIDE6),
        ("far", "198.51.100.1", "2001:db8:2::1"),
    )
    for place, ipv4, ipv6 in routes:
        world.within(place, "ip", "route", "add", "default", "via", ipv4)
        world.within(place, "ip", "-6", "route", "add", "default", "via", ipv6)
    # A neighbour that routes to the containers, and forwards for others.
    outside = (
        f"ip route add 172.30.0.0/24 via {HOST4}",
        f"ip -6 route add fd00:30::/64 via {HOST6}",
        "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1",
        "ip link set lan mtu 1300",
        f"ip route add {LOOPBACK4}/32 via {HOST4} table local",
        "sysctl -qw net.ipv4.conf.all.route_localnet=1",
    )
    for command in outside:
        world.within("outside", *command.split())
    world.load(_docker("ip", CONTAINER4, LOOPBACK4) + _docker("ip6", CONTAINER6, "::1"))


def _link(world: World, one: tuple[str, str], other: tuple[str, str]) -> None:
    (place, name), (far_place, far_name) = one, other
    _ip(
        f"link add {name} netns {world.prefix}-{place} type veth "
        f"peer name {far_name} netns {world.prefix}-{far_place}"
    )
    for at, interface in (one, other):
        world.within(at, "ip", "link", "set", interface, "up")


def _address(world: World, place: str, interface: str, ipv4: str, ipv6: str) -> None:
    world.within(place, "ip", "address", "add", ipv4, "dev", interface)
    # A deprecated address is never chosen as the source of other connections.
    lifetime = ("preferred_lft", "0") if ipv6.startswith(NEIGHBOUR6) else ()
    world.within(place, "ip", "address", "add", ipv6, "dev", interface, *lifetime)


def _ip(arguments: str) -> None:
    subprocess.run(["ip", *arguments.split()], check=True, capture_output=True)
