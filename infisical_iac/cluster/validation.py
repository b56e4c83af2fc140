"""Validate the settings and the state of a cluster. Pure."""

from collections.abc import Iterator, Mapping
from ipaddress import ip_address, ip_network

from infisical_iac.cluster import etcd
from infisical_iac.cluster.model import Cluster
from infisical_iac.cluster.settings import ClusterSettings
from infisical_iac.cluster.stack_file import NETWORKS
from infisical_iac.core.errors import Refused
from infisical_iac.core.settings import Settings
from infisical_iac.core.wording import join_names


def refuse_malformed(addresses: Mapping[str, str]) -> None:
    """Raise Refused if a `cluster_address` is set but is not an IP address.

    Args:
        addresses: the settings by host name.
    """
    for name, address in addresses.items():
        try:
            ip_address(address or "0.0.0.0")
        except ValueError:
            raise Refused(
                f"setting 'cluster_address': {address!r} of {name} is not an address; write where "
                "the other hosts reach it, such as 10.0.0.2, or leave it empty",
                code="refused.malformed_address",
            ) from None


def refuse(settings: Settings) -> None:
    """Raise Refused if a setting can't work on a cluster."""
    if reason := settings.stack.ingress_kind.unfit_for_cluster(settings):
        raise Refused(reason, code="refused.ingress")


def refuse_unencrypted(cluster: Cluster, settings: ClusterSettings) -> None:
    """Raise Refused if a kernel can't encrypt networks between hosts as the settings require."""
    if cluster.esp or settings.overlay_encryption == "optional":
        return
    lacking = [node.name for node in cluster.nodes if "esp" in node.lacks]
    raise Refused(
        f"the kernel of {join_names(lacking)} can't encrypt the networks between the hosts "
        "(it lacks ESP with AES-GCM, or both xt_bpf and xt_u32), so secrets would pass between "
        "them unencrypted: use a kernel that can (`infisical-iac docs swarm`), or accept that with "
        "overlay_encryption = 'optional'",
        code="refused.unencrypted",
        part="Swarm",
    )


def refuse_overlapping(cluster: Cluster) -> None:
    """Raise Refused if a host that has not joined yet has an address in the stack's networks.

    A host in the swarm is not checked, as a running stack can't change its networks.
    """
    for node in cluster.nodes:
        if node.member:
            continue
        for name, network in NETWORKS.items():
            if ip_address(node.address) in ip_network(network):
                raise Refused(
                    f"{node.name} has the address {node.address}, which is in the range {network} "
                    f"of the stack's network '{name}': set cluster_address to another address"
                )


def refuse_undecided(cluster: Cluster) -> None:
    """Raise Refused if etcd has lost its quorum and can't be bootstrapped again automatically."""
    if cluster.is_etcd_reset or not cluster.holders or not etcd.has_lost_quorum(cluster.nodes):
        return
    raise Refused(
        f"etcd has lost its quorum, and {etcd.explain_undecided(cluster.nodes)}, or follow "
        "`infisical-iac docs runbooks`, 'A lost etcd quorum'",
        code="refused.etcd_quorum",
    )


def notes(settings: Settings, cluster: Cluster) -> Iterator[str]:
    """Yield notes on unencrypted networks and open ports that the settings allow."""
    if not cluster.esp:
        yield (
            "setting 'overlay_encryption' is 'optional', and not every kernel can encrypt the "
            "networks between the hosts, so HAProxy reaches Infisical on other hosts unencrypted: "
            "see `infisical-iac docs swarm`"
        )
    if settings.host.firewall == "off":
        yield (
            "setting 'firewall' is 'off', and Swarm publishes a port on all addresses of a host: "
            f"let another firewall close {settings.stack.http_port}/tcp, which is Infisical "
            "without TLS, and the ports that only nodes may reach (`infisical-iac docs swarm`)"
        )


def describe_unpinned_images(settings: Settings) -> Iterator[str]:
    """Yield a note on the images without a digest, for which Swarm may pull other bytes.

    Docker's Swarm pulls a tag again whenever a task starts, and an image with a digest only where
    it is missing (`pullImage` in github.com/moby/moby, daemon/cluster/executor/container). Images
    from archives have no digest that Docker knows.
    """
    images = [image for image in settings.services.values() if "@" not in image]
    if images and not settings.stack.image_archives:
        yield (
            f"no digest pins {join_names(images)}, so Swarm pulls the tag again whenever a task "
            "starts, and hosts may run different images: `infisical-iac outdated --pin` prints "
            "settings with digests"
        )


def refuse_single(cluster: Cluster) -> None:
    """Raise Refused if a host still serves as a single host, whose data have to be moved."""
    leader = cluster.leader.seen
    if leader and leader.single and not cluster.has_databases:
        raise Refused(
            f"{cluster.leader.name} serves as a single host: `infisical-iac scale-out` brings its "
            "data into the cluster",
            code="refused.single_host",
        )


def refuse_scale_out(cluster: Cluster) -> None:
    """Raise Refused if no host has data of its own to be moved into the cluster."""
    if cluster.has_databases:
        raise Refused(
            "Infisical serves from the cluster already, and nothing was changed: `infisical-iac "
            "apply` completes the rest",
            code="refused.scaled_out",
        )
    if not (cluster.leader.seen and cluster.leader.seen.single):
        raise Refused(
            f"{cluster.leader.name}, the leader, has no data of a single host to move: "
            "`infisical-iac apply` makes a new cluster",
            code="refused.no_single_host",
        )


def refuse_scale_in(cluster: Cluster) -> None:
    """Raise Refused if there is no cluster whose data could be moved."""
    if not cluster.has_databases:
        raise Refused(
            "Infisical is not deployed to these hosts as a cluster, and nothing was changed: name "
            "the inventory of the cluster with -i",
            code="refused.no_cluster",
        )
