"""Cases of the operations of a cluster: swarm, shared state, certificates, etcd, stack, scaling."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import yaml

from infisical_iac.agent.authority import DueFile
from infisical_iac.agent.files import PathState
from infisical_iac.agent.membership import SwarmState
from infisical_iac.agent.services import SwarmService
from infisical_iac.agent.swarm_stack import ClusterStackState, Network, Recorded
from infisical_iac.agent.system import UnitState
from infisical_iac.agent.tasks import Task
from infisical_iac.cluster import deploy, etcd, scaling, shared_state, stack, swarm
from infisical_iac.cluster.model import Cluster
from infisical_iac.cluster.site import desired_stack
from infisical_iac.core.files import File
from infisical_iac.stack.pull import ImageSources
from tests.unit import clusters
from tests.unit.cluster import observed
from tests.unit.operations.cases import Cases, due, noop, of
from tests.unit.settings_of import settings_of

_RUNS = UnitState(loaded=True, active=True, enabled=True)
_OTHER = PathState("regular file", "600", "root:root", "0" * 64)

_UNIT = "infisical-unlock.service"

# Three hosts: converged, as seen by the leader and by another; bare.
_OBSERVED = observed.three()
_LEADER, _TWO = observed.cluster_of(_OBSERVED), observed.cluster_of(_OBSERVED, me="two")
_BARE, _BARE_TWO = (
    observed.cluster_of(observed.three_bare()),
    observed.cluster_of(observed.three_bare(), me="two"),
)
_PROGRAMS = [File("/etc/systemd/system/infisical-swarm.service", "unit\n")]
_OPENS = replace(
    _OBSERVED["one"],
    files={each.path: each.state for each in _PROGRAMS},
    units={_UNIT: _RUNS},
)

# The stack of three nodes.
_SITE = clusters.site()
_DESIRED = desired_stack(_SITE, ClusterStackState())
_IN_ORDER = [*yaml.safe_load(_DESIRED.text)["services"]]
_SERVICES = {
    name: SwarmService(1, 1, "none", 0, "aa", 3) for name in sorted(_DESIRED.hash_services())
}
_ROLLED_OUT = ClusterStackState(
    engine=True,
    manager=True,
    files={
        "/etc/infisical/stack.yaml": File(
            "/etc/infisical/stack.yaml", _DESIRED.text, mode="600"
        ).state
    },
    nodes=(True, True, True),
    services=_SERVICES,
    made={"secret": _DESIRED.secrets, "config": frozenset(_DESIRED.configs)},
    record={
        name: Recorded("aa", rendered, 1) for name, rendered in _DESIRED.hash_services().items()
    },
)
_EDGE = "infisical-edge"
_DIFFERS = {_EDGE: Network(True, {"com.docker.network.driver.mtu": "1350"}, ("172.31.243.0/24",))}
_NETWORK = (
    "~ network infisical-edge: internal → open to the outside; Infisical pauses for a "
    "minute, while the services that use it are stopped"
)
_REDIS = "redis-1"


def _arrange(cluster: Cluster, *, drained: bool = False) -> Iterable[Any]:
    members = [
        replace(each, active=not (drained and each.host == "three"))
        for each in _OBSERVED["one"].members
    ]
    now = replace(
        cluster,
        nodes=tuple(
            replace(node, member=next(each for each in members if each.host == node.name))
            for node in cluster.nodes
        ),
    )
    return swarm.decide_node_roles(now, members)


def _share(**changed: SwarmState) -> Iterable[Any]:
    return shared_state.decide(_LEADER, {**_OBSERVED, **changed})


def _without(service: str) -> ClusterStackState:
    left = {name: each for name, each in _SERVICES.items() if name != service}
    return replace(_ROLLED_OUT, services=left)


OPERATIONS = {
    "cluster.swarm.initialization": Cases(
        noop(
            lambda: swarm.decide_initialization(_LEADER, _OBSERVED["one"]),
            "the swarm exists and is locked",
        ),
        due(
            lambda: swarm.decide_initialization(_LEADER, replace(_OBSERVED["one"], autolock=False)),
            "~ swarm: autolock off → on",
            steps=("set the swarm's settings",),
        ),
        due(
            lambda: swarm.decide_initialization(_BARE, observed.bare(1)),
            "+ swarm: one is its first manager",
            steps=("create the swarm",),
        ),
        # An earlier step starts an engine that does not answer; then its swarm is known.
        due(
            lambda: swarm.decide_initialization(_BARE, SwarmState()),
            "+ swarm: one is its first manager",
            steps=("create the swarm",),
        ),
    ),
    "cluster.swarm.host_membership": Cases(
        noop(
            lambda: swarm.decide_host_membership(_TWO, _OBSERVED["two"]), "the host is in the swarm"
        ),
        due(
            lambda: swarm.decide_host_membership(_TWO, replace(_OBSERVED["two"], state="locked")),
            "~ swarm on two: locked → unlocked",
            steps=("_unlock",),
        ),
        due(
            lambda: swarm.decide_host_membership(_BARE_TWO, observed.bare(2)),
            "+ two in the swarm: manager, data node 2",
            steps=("_join",),
        ),
        due(
            lambda: swarm.decide_host_membership(_TWO, replace(_OBSERVED["two"], state="")),
            unknown="the host's membership in the swarm can be inspected once Docker runs",
            steps=("_join",),
        ),
    ),
    "cluster.swarm.node_roles": Cases(
        noop(lambda: _arrange(_LEADER), "all nodes have their roles and labels"),
        due(
            lambda: _arrange(_LEADER, drained=True),
            "~ node three: drained → active",
            steps=("_apply_node_roles",),
        ),
        due(lambda: swarm.decide_node_roles(_BARE, ()), steps=("_apply_node_roles",)),
        # A node that is down may come back, so it stays in the swarm.
        noop(
            lambda: swarm.decide_node_roles(
                observed.cluster_of(
                    observed.converged_states(
                        observed.member(1, "one"),
                        observed.member(2, "two"),
                        observed.member(3, "three", down=True),
                    )
                ),
                (),
            ),
            "all nodes have their roles and labels",
        ),
    ),
    "cluster.swarm.unlock_unit": Cases(
        noop(
            lambda: swarm.decide_unlock_unit(_LEADER, _OPENS, _PROGRAMS),
            "the host unlocks its swarm manager when it boots",
        ),
        due(
            lambda: swarm.decide_unlock_unit(
                _LEADER, replace(_OPENS, units={_UNIT: replace(_RUNS, enabled=False)}), _PROGRAMS
            ),
            f"~ {_UNIT}: enabled",
            steps=("systemctl",),
        ),
        due(
            lambda: swarm.decide_unlock_unit(_BARE, observed.bare(1), _PROGRAMS),
            "+ /etc/infisical/keys/swarm_unlock_key",
            "+ /etc/systemd/system/infisical-swarm.service",
            f"~ {_UNIT}: enabled and started",
            steps=(
                "_keep_key",
                "write",
                "let systemd read changed units",
                "systemctl",
                "systemctl",
            ),
        ),
        # A key is fetched again unless it is known to unlock the swarm.
        due(
            lambda: swarm.decide_unlock_unit(_LEADER, replace(_OPENS, unlocks=False), _PROGRAMS),
            "+ /etc/infisical/keys/swarm_unlock_key",
            steps=("_keep_key",),
        ),
    ),
    "cluster.shared_state.leadership": Cases(
        noop(lambda: of(shared_state.leadership)(_LEADER), "the host is the leader, as before"),
        due(
            lambda: of(shared_state.leadership)(
                observed.cluster_of(
                    {**_OBSERVED, "one": replace(_OBSERVED["one"], serial_as_leader=0)}
                )
            ),
            "~ leader: one, by serial 5",
            steps=("_record_leadership",),
        ),
        due(
            lambda: of(shared_state.leadership)(_BARE),
            "~ leader: one, by serial 1",
            steps=("_record_leadership",),
        ),
        noop(lambda: of(shared_state.leadership)(_TWO), "one is the leader"),
    ),
    "cluster.shared_state.state_copies": Cases(
        noop(lambda: _share(), "all data nodes have the leader's state"),
        due(
            lambda: _share(three=replace(_OBSERVED["three"], serial=3, digest="older")),
            "~ /etc/infisical on three: serial 3 → 4, from one",
            steps=("spread",),
        ),
        due(
            lambda: _share(three=observed.bare(3)),
            "+ /etc/infisical on three: serial none → 4, from one",
            steps=("spread",),
        ),
        # An earlier step makes the leader's files, which all nodes get.
        due(
            lambda: shared_state.decide(_BARE, observed.three_bare()),
            "+ /etc/infisical on two: serial none → 1, from one",
            "+ /etc/infisical on three: serial none → 1, from one",
            steps=("spread",),
        ),
    ),
    "cluster.deploy.certificates": Cases(
        noop(
            lambda: deploy.decide_certificates([]),
            "all certificates exist, and none ends soon",
        ),
        due(
            lambda: deploy.decide_certificates([DueFile("tls/redis.pem", "ends", 1796688000)]),
            "~ /etc/infisical/tls/redis.pem: ends 2026-12-08 → renewed",
            steps=("make the certificates in /etc/infisical",),
        ),
        due(
            lambda: deploy.decide_certificates([DueFile("tls/redis.pem", "missing", 0)]),
            "+ /etc/infisical/tls/redis.pem",
            steps=("make the certificates in /etc/infisical",),
        ),
        due(
            lambda: deploy.decide_certificates([DueFile("tls/redis.pem", "stale", 0)]),
            "~ /etc/infisical/tls/redis.pem: does not match its key, its authority or its names",
            steps=("make the certificates in /etc/infisical",),
        ),
    ),
    "cluster.etcd.member_replacement": Cases(
        noop(lambda: of(etcd.member_replacement)(_LEADER), "no etcd member has to be replaced"),
        due(
            lambda: of(etcd.member_replacement)(
                observed.cluster_of(
                    {
                        name: replace(each, etcd="lost" if name == "three" else "healthy")
                        for name, each in _OBSERVED.items()
                    }
                )
            ),
            "~ etcd-3: the lost member → a new one on three",
            steps=("_replace_member",),
        ),
        noop(lambda: of(etcd.member_replacement)(_BARE), "no etcd member has to be replaced"),
        # A member that does not answer may be slow or wait for the others, without lost data.
        noop(
            lambda: of(etcd.member_replacement)(
                observed.cluster_of(
                    {name: replace(each, etcd="") for name, each in _OBSERVED.items()}
                )
            ),
            "no etcd member has to be replaced",
        ),
    ),
    "cluster.stack.node_images": Cases(
        noop(lambda: stack.decide_images([], ImageSources()), "all images are on the node"),
        due(
            lambda: stack.decide_images(["redis:8"], ImageSources()),
            "+ image redis:8",
            steps=("fetch",),
        ),
        due(
            lambda: stack.decide_images(["redis:8", "haproxy:3"], ImageSources()),
            "+ image redis:8",
            "+ image haproxy:3",
            steps=("fetch",),
        ),
        "an engine that does not answer has no images, and they are fetched once it runs",
    ),
    "cluster.stack.node_tasks": Cases(
        noop(lambda: stack.decide_tasks({}), "the tasks on the node run in their networks"),
        due(
            lambda: stack.decide_tasks({Task(_REDIS, "fake", "paused", frozenset()): "is paused"}),
            "~ container redis-1: is paused",
            steps=("free the node's stuck tasks",),
        ),
        "the roll-out starts a task that is missing",
        "a task that can't be inspected can't be freed",
    ),
    "cluster.stack.services": Cases(
        noop(
            lambda: stack.decide(_SITE, _ROLLED_OUT),
            "all services match stack.yaml and are healthy",
        ),
        due(
            lambda: stack.decide(_SITE, _without(_REDIS)),
            "+ service redis-1",
            steps=("roll_out",),
        ),
        due(
            lambda: stack.decide(
                _SITE, ClusterStackState(engine=True, manager=True, nodes=_ROLLED_OUT.nodes)
            ),
            "+ /etc/infisical/stack.yaml",
            *(f"+ service {name}" for name in _IN_ORDER),
            steps=("roll_out",),
        ),
        due(
            lambda: stack.decide(
                _SITE, ClusterStackState(files={"/etc/infisical/stack.yaml": _OTHER}, engine=True)
            ),
            unknown="the services can be inspected once the hosts form a Swarm",
            steps=("roll_out",),
        ),
    ),
    "cluster.stack.databases": Cases(
        noop(lambda: stack.decide_databases(_SITE, _ROLLED_OUT), "the databases run"),
        due(
            lambda: stack.decide_databases(
                _SITE,
                replace(
                    _ROLLED_OUT,
                    services={**_SERVICES, _REDIS: SwarmService(0, 1, "none", 0, "aa", 3)},
                ),
            ),
            "~ service redis-1",
            steps=("start_databases",),
        ),
        due(
            lambda: stack.decide_databases(_SITE, _without(_REDIS)),
            "+ service redis-1",
            steps=("start_databases",),
        ),
        due(
            lambda: stack.decide_databases(_SITE, replace(_ROLLED_OUT, manager=False)),
            steps=("start_databases",),
        ),
    ),
    "cluster.stack.networks": Cases(
        noop(lambda: stack.decide_networks(_SITE, _ROLLED_OUT), "the networks match stack.yaml"),
        due(
            lambda: stack.decide_networks(_SITE, replace(_ROLLED_OUT, networks=_DIFFERS)),
            _NETWORK,
            steps=("_recreate_networks",),
        ),
        # The roll-out makes a missing network.
        noop(
            lambda: stack.decide_networks(_SITE, replace(_ROLLED_OUT, networks={})),
            "the networks match stack.yaml",
        ),
        due(
            lambda: stack.decide_networks(
                _SITE,
                replace(
                    _ROLLED_OUT,
                    networks=_DIFFERS,
                    nodes=(False,),
                ),
            ),
            unknown="network infisical-edge can be re-created once all nodes and all etcd members "
            "are up: run again then",
            steps=(),
        ),
    ),
    "cluster.scaling.outward_migration": Cases(
        "the calling command has checked whether the host or the cluster serves",
        due(
            lambda: of(scaling.outward_migration)(site=_SITE, project="chainalign"),
            "~ database infisical: from this host into the cluster; "
            "Infisical pauses while its database is dumped and loaded, and while it starts",
            steps=("_move_out",),
        ),
        "the calling command has checked whether the host or the cluster serves",
        "the calling command has checked whether the host or the cluster serves",
    ),
    "cluster.scaling.inward_migration": Cases(
        "the calling command has checked whether the host or the cluster serves",
        due(
            lambda: of(scaling.inward_migration)(
                text="", settings=settings_of(), project="chainalign"
            ),
            "~ database infisical: from the cluster to this host; "
            "Infisical pauses while its database is dumped and loaded, and while it starts",
            steps=("_move_in",),
        ),
        "the calling command has checked whether the host or the cluster serves",
        "the calling command has checked whether the host or the cluster serves",
    ),
    "cluster.scaling.proof": Cases(
        "data are proven each time, because the proof ends the migration",
        due(
            lambda: of(scaling.proof)(
                "out", settings=settings_of(), project="chainalign", names=["one"]
            ),
            steps=("_prove",),
        ),
        "the operation is called only after a migration",
        "the proof itself reports data that can't be read",
    ),
    "cluster.scaling.cluster_removal": Cases(
        "the operation is called only while there is a cluster",
        due(
            lambda: of(scaling.cluster_removal)(["two", "one"]),
            "- two in the swarm",
            "- one in the swarm",
            steps=("_remove_cluster",),
        ),
        "the operation is called only while there is a cluster",
        "an unreachable host ends the run before this operation",
    ),
}
