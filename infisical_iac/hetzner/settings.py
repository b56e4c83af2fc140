"""The settings of the servers at Hetzner Cloud."""

from ipaddress import IPv4Network, ip_address
from typing import Annotated, ClassVar, Literal, Self

from pydantic import field_validator, model_validator

from infisical_iac.core.validation import SettingsModel, fitting, matching

# The name of a resource at Hetzner Cloud; a server's name is its host name too.
_NAME = r"[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?"
_DOMAIN = r"([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}"
# The private networks of RFC 1918.
_PRIVATE = [*map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))]


def _is_private(value: str) -> bool:
    try:
        network = IPv4Network(value)
    except ValueError:
        return False
    return network.prefixlen <= 24 and any(map(network.subnet_of, _PRIVATE))


_Word = Annotated[
    str, matching(r"[a-z0-9][a-z0-9.-]*", "is not a name at Hetzner; write one such as cx33")
]
_PublicKey = Annotated[
    str,
    fitting(
        lambda value: value and ("/" not in value or value.endswith(".pub")),
        "is not a public key file; write one that ends in .pub, or the name of a key at Hetzner "
        "Cloud",
    ),
]


class NamedHost(SettingsModel):
    """A host of a cluster; settings that are left out are as for a single host."""

    example: ClassVar = {"address": "203.0.113.7"}

    address: str
    """Name or address for SSH."""

    name: str = ""
    """Name of the host; the default is its address."""

    ssh_user: str = ""
    """User to log in as, where it differs from [`ssh_user`](#ssh_user)."""

    ssh_port: int = 0
    """Port of SSH, where it differs from [`ssh_port`](#ssh_port)."""

    ssh_key: str = ""
    """File of the private key, where it differs from [`ssh_key`](#ssh_key)."""

    cluster_address: str = ""
    """Address at which the other hosts reach this one."""

    data_volume: str = ""
    """Block device for the data, as [`data_volume`](#data_volume)."""

    @field_validator("cluster_address")
    @classmethod
    def _address_is_one(cls, value: str) -> str:
        try:
            return str(ip_address(value)) if value else ""
        except ValueError:
            raise ValueError(f"{value!r} is not an address; write one such as 10.0.0.1") from None


class HetznerSettings(SettingsModel):
    """Servers at Hetzner Cloud, and hosts of a cluster.

    `infisical-iac server` reads these. See [Hetzner Cloud](../operate/hetzner.md).
    """

    server_name: Annotated[
        str,
        matching(
            _NAME,
            "is not a host name; write small letters, digits, hyphens",
            accepts="up to 42 small letters, digits and hyphens",
        ),
    ]
    """Name of the deployment and of its server, and the beginning of all other names at Hetzner
    Cloud. Several deployments in one project at Hetzner need different names.

    Change: not after `server create`: the new name selects another deployment, and the resources
    of the old name are not found.
    """

    server_type: _Word
    """Server type to order.

    Change: `infisical-iac server replace` moves to a server of the new type.
    """

    server_location: _Word
    """Location of servers, volumes and Load Balancer.

    Change: not after `server create`, as a volume can't leave its location. To move, restore a
    backup onto a new server.
    """

    server_image: _Word
    """System image of a new server.

    Change: `infisical-iac server replace` moves to a server with the new image.
    """

    server_ssh_keys: tuple[_PublicKey, ...]
    """Public SSH keys that can log in as root: files that end in `.pub`, or names of keys at
    Hetzner Cloud. Required for `server create`.

    Change: counts for new servers. On a running one, edit `~/.ssh/authorized_keys`.
    """

    server_volume_gb: Annotated[
        int,
        fitting(
            lambda value: value == 0 or 10 <= value <= 10240,
            "is not sold; choose 10 to 10240 gigabytes, or 0 for none",
            accepts="10 to 10240, or 0",
        ),
    ]
    """Gigabytes of the data volume, which is protected from deletion; `0` for none.

    Change: raise it, run `server create`, then `apply`: volume and file system grow while Infisical
    runs. Lowering it changes nothing.
    """

    server_ipv4: bool
    """Give the server a primary IPv4 address.

    Change: `True` for a server that exists is refused, until you create the address yourself.
    `False` leaves an address in place.
    """

    server_ipv6: bool
    """Give the server a primary IPv6 address.

    Change: as for `server_ipv4`.
    """

    server_backups: bool
    """Turn on Hetzner's daily images of the server's own disk, for a fifth of its price. **The
    volume is not in them.**

    Change: `server create` turns them on; `False` does not turn them off.
    """

    server_placement_group: Annotated[
        str, matching(f"({_NAME})?", "is not a name; write small letters, digits, hyphens")
    ]
    """Placement group for the server: servers in one group run on different machines. Empty: none;
    a cluster has one of its own.

    Change: counts for new servers.
    """

    server_dns_zone: Annotated[
        str, matching(f"({_DOMAIN})?", "is not a zone; write one such as example.com, or nothing")
    ]
    """Zone at Hetzner DNS that gets the `A` and `AAAA` records of `site_url`'s name. Empty: set
    them yourself.

    Change: the next `server create` makes the records. Those in the old zone stay.
    """

    servers: Annotated[
        int,
        fitting(
            lambda value: 3 <= value <= 10,
            "can't form a cluster; choose 3 to 10, as a placement group holds ten at most",
            accepts="3 to 10",
        ),
    ]
    """Number of servers in a cluster. The first three are managers and hold the data; further ones
    are workers.

    Change: raise it, run `server create`, then `apply`. After lowering it, `server plan` names the
    surplus servers; none is deleted.
    """

    server_network: Annotated[
        str,
        fitting(
            _is_private,
            "is not a private network of 256 addresses or more; write one such as 10.42.0.0/24",
            accepts="a private IPv4 network of 256 addresses or more",
        ),
    ]
    """Range of a cluster's private network. Nodes have the addresses from `.11` on, the Load
    Balancer the last one.

    Change: not after `server create`: another range is refused.
    """

    edge: Literal["load-balancer", "none"]
    """Entry to a cluster: `load-balancer` is Hetzner's; with `none` the DNS records name all nodes,
    or you run your own load balancer.

    Change: `load-balancer` is created by the next `server create`, then run `apply`. With `none` an
    existing Load Balancer stays: delete it in the console.
    """

    balancer_type: Annotated[
        str,
        matching(
            r"lb\d+",
            "is not a type of Load Balancer; write one such as lb11",
            accepts="a type of Load Balancer at Hetzner Cloud, such as `lb11`",
        ),
    ]
    """Type of the Load Balancer.

    Change: the next `server create` changes the type.
    """

    hosts: tuple[NamedHost, ...]
    """Hosts of a cluster that are not found at Hetzner Cloud. `INFISICAL_HOSTS=a,b,c` wins.

    Change: a further host joins with the next `apply`. See [Swarm](../operate/cluster/swarm.md) for
    one that leaves.
    """

    @field_validator("hosts")
    @classmethod
    def _hosts_differ(cls, value: tuple[NamedHost, ...]) -> tuple[NamedHost, ...]:
        names = [each.name or each.address for each in value]
        if twice := sorted({each for each in names if names.count(each) > 1}):
            raise ValueError(f"names {', '.join(twice)} twice; give each host a name of its own")
        return value

    @model_validator(mode="after")
    def _server_has_an_address(self) -> Self:
        if not (self.server_ipv4 or self.server_ipv6):
            raise ValueError("server_ipv4 and server_ipv6 are both off: turn one on")
        return self
