"""Test the wording of messages. Other tests assert codes and facts."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from infisical_iac.agent.node_health import Copy, ManagedNode
from infisical_iac.cluster.model import NodeState
from infisical_iac.cluster.stack_file import list_network_changes
from infisical_iac.cluster.status import rows
from infisical_iac.cluster.validation import refuse, refuse_single
from infisical_iac.core.errors import Refused, SettingsError
from infisical_iac.monitoring.health import drift_row
from tests.unit.cluster.observed import cluster_of, three, three_bare
from tests.unit.cluster.test_networks import EDGE, FOUND, PLAIN
from tests.unit.settings_of import settings_of


def test_wording_of_an_ingress_that_no_cluster_can_have() -> None:
    with pytest.raises(Refused) as refused:
        refuse(settings_of(topology="swarm", ingress="traefik"))
    assert str(refused.value) == (
        "setting 'ingress': 'traefik' is Dokploy's, whose Swarm is not this project's: set it to "
        "'caddy' or 'none' for a cluster, or topology to 'single'"
    )


def test_wording_of_an_invalid_cluster_address() -> None:
    with pytest.raises(SettingsError) as refused:
        settings_of(cluster_address="node-1")
    assert str(refused.value) == (
        "setting 'cluster_address': 'node-1' is not an address; write where the other hosts reach "
        "this one, such as 10.0.0.2, or leave it empty"
    )


def test_wording_of_a_single_host_that_serves_infisical() -> None:
    observed = three_bare()
    observed["two"] = replace(observed["two"], single=True, key="key", digest="state")
    with pytest.raises(Refused) as refused:
        refuse_single(cluster_of(observed))
    assert str(refused.value) == (
        "two serves as a single host: `infisical-iac scale-out` brings its data into the cluster"
    )


def test_wording_of_hosts_without_a_majority() -> None:
    observed = {name: replace(look, control=False) for name, look in three().items()}
    with pytest.raises(Refused) as refused:
        cluster_of(observed)
    assert str(refused.value) == (
        "no majority of the swarm's managers answers: start the hosts that are down, restart "
        "Docker on the others (`systemctl restart docker`), or follow `infisical-iac docs "
        "runbooks`, 'Two of three lost'"
    )


def test_wording_of_a_network_that_is_re_created() -> None:
    network = replace(FOUND[EDGE], subnets=("10.0.1.0/24",))
    (change,) = list_network_changes({**FOUND, EDGE: network}, PLAIN)
    assert str(change) == (
        "~ network infisical-edge: subnet 10.0.1.0/24 → 172.31.243.0/24; Infisical pauses for a "
        "minute, while the services that use it are stopped"
    )


def test_wording_of_the_status_of_a_cluster() -> None:
    managers = ("leader", "reachable", "reachable")
    members = tuple(
        ManagedNode(name, "ready", "active", manager, number)
        for number, (name, manager) in enumerate(zip(three(), managers, strict=True), 1)
    )
    copies = (
        Copy("postgres-2", "streaming", "sync", 0),
        Copy("postgres-3", "streaming", "async", 120),
    )
    nodes = {
        name: NodeState(members=members, tls=3, leaf_ends=2_000_000_000, postgres="standby")
        for name in three()
    }
    nodes["one"] = replace(nodes["one"], postgres="primary", copies=copies)
    settings = settings_of(topology="swarm", ingress="none")
    now = datetime(2026, 11, 25, 12, tzinfo=UTC)
    found = {row.name: row.text for row in rows(nodes, (), settings, "one", drift_row([]), now)}
    assert found["Nodes"] == "3 of 3 ready and active; the Swarm's leader is one"
    assert found["PostgreSQL"] == (
        "primary on one; synchronous standby two, 0 bytes behind; standby three, 120 bytes behind"
    )
    assert found["TLS"] == "PostgreSQL, Redis and etcd require it; certificates until 2033-05-18"
