"""The settings of a cluster."""

import ipaddress
from typing import Annotated, Literal

from pydantic import field_validator

from infisical_iac.core.validation import SettingsModel, image_with_version, within

# The number of hosts with data: two of three are still a majority.
DATA_NODES = 3


class ClusterSettings(SettingsModel):
    """Clusters of three hosts or more.

    See [clusters](../operate/cluster/README.md).
    """

    topology: Literal["single", "swarm"]
    """`single` is one host; `swarm` is the same stack on three hosts or more.

    Change: `infisical-iac scale-out` or `scale-in` moves the data of a running deployment
    ([scaling](../operate/cluster/scaling.md)).
    """

    cluster_address: str
    """Address at which the other hosts of a cluster reach this one, set for each host. Empty: the
    address of its default route. A private network found at Hetzner Cloud sets it.

    Change: refused for a host that is in the swarm, until it leaves (`docker swarm leave --force`
    on it).
    """

    overlay_encryption: Literal["required", "optional"]
    """`required` refuses a cluster on kernels that can't encrypt the networks between hosts;
    `optional` accepts that [secrets pass
    unencrypted](../operate/cluster/swarm.md#between-the-hosts) on such kernels.

    Change: counts from the next run on. Networks are encrypted wherever all kernels can, with
    either value.
    """

    infisical_replicas: Annotated[int, within(2, 20, "choose 2 to 20, 3 for three hosts")]
    """Number of Infisical replicas, each on a host of its own while there are enough hosts.

    Change: the next `apply` starts or stops replicas.
    """

    patroni_image: Annotated[str, image_with_version("ghcr.io/zalando/spilo-17:4.0-p3")]
    """Image of a cluster's PostgreSQL with Patroni. It must have the major version of the data. No
    digest is known for it.

    Change: a minor version is rolled out by the next `apply`. Another major version is refused:
    `scale-in`, upgrade there, and `scale-out` again.
    """

    etcd_image: Annotated[str, image_with_version("gcr.io/etcd-development/etcd:v3.5.21")]
    """Image of etcd. No digest is known for it. The advisories after v3.5.21, such as
    CVE-2026-44283, are about etcd's own users and roles, which a cluster here does not use.

    Change: the next `apply` rolls it out.
    """

    haproxy_image: Annotated[str, image_with_version("haproxy:3.2.25")]
    """Image of HAProxy. No digest is known for it.

    Change: the next `apply` rolls it out.
    """

    @field_validator("cluster_address")
    @classmethod
    def _cluster_address_is_an_address(cls, value: str) -> str:
        try:
            return value and str(ipaddress.ip_address(value))
        except ValueError:
            raise ValueError(
                f"{value!r} is not an address; write where the other hosts reach this one, such as "
                "10.0.0.2, or leave it empty"
            ) from None
