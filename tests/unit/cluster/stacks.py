"""A converged stack of two services, for tests."""

from infisical_iac.agent.services import SwarmService
from infisical_iac.agent.swarm_stack import ClusterStackState, Recorded
from infisical_iac.cluster.stack_plan import DesiredStack

DESIRED = DesiredStack(
    "services:\n  infisical: {image: infisical}\n  haproxy: {image: haproxy}\n",
    configs={"haproxy_cfg_0123456789ab": "defaults"},
    secrets=frozenset({"infisical_env_0123456789ab"}),
)
RENDERED = DESIRED.hash_services()
NODES = (True, True, True)
CONVERGED = ClusterStackState(
    engine=True,
    manager=True,
    nodes=NODES,
    services={
        "infisical": SwarmService(3, 3, "completed", 0, "aa", 3),
        "haproxy": SwarmService(3, 3, "none", 0, "bb", 3),
    },
    made={
        "secret": frozenset({"infisical_env_0123456789ab"}),
        "config": frozenset({"haproxy_cfg_0123456789ab"}),
    },
    record={
        "infisical": Recorded("aa", RENDERED["infisical"], 3),
        "haproxy": Recorded("bb", RENDERED["haproxy"], 3),
    },
)
