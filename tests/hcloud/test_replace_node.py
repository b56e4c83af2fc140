"""Test that `server replace` replaces a cluster's node only if the others can do without it."""

from dataclasses import asdict
from pathlib import Path

import pytest

from infisical_iac.agent.swarm import ClusterReport, PostgresMember, VotingNode
from infisical_iac.hetzner.replacement import explain_need
from tests.hcloud.shapes import Data
from tests.hcloud.world import CLUSTER, World, make_world


def _report(
    *,
    second: str = "reachable",
    third: str = "reachable",
    databases: int = 3,
    **members: tuple[str, str],
) -> ClusterReport:
    """Return the report of a node; `members` are those of Patroni with role and state."""
    votes = {"infisical": "reachable", "infisical-2": second, "infisical-3": third}
    nodes = (VotingNode(name, number, vote) for number, (name, vote) in enumerate(votes.items(), 1))
    found = tuple(
        PostgresMember(name.replace("_", "-"), role, state)
        for name, (role, state) in members.items()
    )
    return ClusterReport(tuple(nodes), databases, found or None)


_LEADER, _SYNC, _ASYNC = (
    ("leader", "running"),
    ("sync_standby", "streaming"),
    ("replica", "running"),
)
_WELL = _report(postgres_1=_LEADER, postgres_2=_SYNC, postgres_3=_ASYNC)


@pytest.mark.parametrize(
    ("report", "fact"),
    [
        # There is no cluster yet, or no database in it.
        (ClusterReport(), ""),
        (_report(databases=0), ""),
        (_WELL, ""),
        # The node itself is down, which is the reason to replace it.
        (_report(second="unreachable", postgres_1=_LEADER, postgres_3=_SYNC), ""),
        (_report(third="unreachable"), "1 of 3 managers "),
        (
            _report(postgres_1=_LEADER, postgres_2=_SYNC, postgres_3=("replica", "start failed")),
            "postgres-3 would be needed",
        ),
        (_report(), "the state of PostgreSQL"),
        (
            _report(postgres_1=_ASYNC, postgres_2=_LEADER, postgres_3=_ASYNC),
            "has all writes",
        ),
    ],
)
def test_a_node_is_removed_only_if_the_others_have_a_majority_and_all_writes(
    report: ClusterReport, fact: str
) -> None:
    reason = explain_need(report, "infisical-2")
    assert fact in reason
    assert bool(reason) == bool(fact)


@pytest.fixture
def cluster(world: World) -> World:
    """A world with a healthy cluster, whose settings describe bigger servers."""
    world.set(CLUSTER)
    world.ok("create", "--yes")
    _set_report(world, _WELL)
    world.set('server_type = "cx43"\n')
    return world


def _set_report(world: World, report: ClusterReport) -> None:
    for each in world.booted.values():
        each.values["swarm.report"] = asdict(report)


def _servers(world: World) -> dict[str, Data]:
    return {each["name"]: each for each in world.cloud.kinds["servers"].values()}


def _type(server: Data) -> str:
    return str(server["server_type"]["name"])


def _shut_down(world: World, number: int) -> None:
    """Shut a booted server down."""
    world.booted.pop(f"127.0.0.{number + 1}").off()


def test_a_new_server_has_the_name_the_addresses_and_an_empty_volume(
    cluster: World,
) -> None:
    old, stopped = _servers(cluster)["infisical-2"], cluster.booted["127.0.0.3"]
    (volume,) = (
        each for each in cluster.cloud.kinds["volumes"].values() if each["server"] == old["id"]
    )
    said = cluster.ok("replace", "infisical-2", "--yes")
    asked = [path.rpartition("/")[2] for _, path in cluster.api.changes]
    assert asked.index("remove_target") < asked.index("shutdown")
    new = _servers(cluster)["infisical-2"]
    assert new["id"] != old["id"]
    assert {name: _type(each) for name, each in _servers(cluster).items()} == {
        "infisical": "cx33",
        "infisical-2": "cx43",
        "infisical-3": "cx33",
    }
    assert stopped.commands[-1].endswith("docker.socket docker.service")
    assert new["private_net"][0]["ip"] == "10.42.0.12"
    assert (volume["name"], volume["server"]) == (f"infisical-2-data-{volume['id']}", None)
    assert volume["protection"]["delete"]
    (its_own,) = (
        each for each in cluster.cloud.kinds["volumes"].values() if each["server"] == new["id"]
    )
    assert its_own["name"] == "infisical-2-data"
    targets = cluster.cloud.only("load_balancers")["targets"]
    assert new["id"] in [each["server"]["id"] for each in targets]
    assert "127.0.0.3" in said
    assert "infisical-iac apply" in said
    assert len(cluster.known_hosts) == 3
    assert cluster.run("plan").exit_code == 0
    # The volume that was set aside is destroyed with the data.
    cluster.ok("destroy", "--with-data", "--confirm", "infisical")
    assert not cluster.cloud.kinds["volumes"]


def test_a_needed_node_is_not_replaced(cluster: World) -> None:
    _set_report(cluster, _report(third="unreachable"))
    before = len(cluster.api.changes)
    error = cluster.error("replace", "infisical-2")
    assert error.code == "refused.node_needed"
    assert "infisical-2: 1 of 3 " in str(error)
    assert len(cluster.api.changes) == before


def test_a_node_of_unknown_importance_is_not_replaced(
    cluster: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infisical_iac.hetzner.remote._ALIVE_SECONDS", 1)
    for number in (1, 3):
        _shut_down(cluster, number)
    assert cluster.error("replace", "infisical-2", "--yes").code == "unreachable.nodes"


def test_a_lost_node_is_replaced(cluster: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infisical_iac.hetzner.remote._ALIVE_SECONDS", 1)
    _shut_down(cluster, 2)
    _servers(cluster)["infisical-2"]["status"] = "off"
    cluster.ok("replace", "infisical-2", "--yes")
    assert _type(_servers(cluster)["infisical-2"]) == "cx43"


def test_a_create_is_refused_during_a_replacement(cluster: World) -> None:
    cluster.api.dies_after = len(cluster.api.changes) + 2
    cluster.expect_refusal("replace", "infisical-2", "--yes")
    cluster.api.dies_after = None
    error = cluster.error("create", "--yes")
    assert error.code == "refused.unfinished"
    assert "`infisical-iac server replace infisical-2`" in str(error)
    cluster.ok("replace", "infisical-2", "--yes")
    assert cluster.run("plan").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "named"), [((), "no node"), (("infisical-9",), "infisical-9")]
)
def test_the_node_to_replace_must_be_named(
    cluster: World, arguments: tuple[str, ...], named: str
) -> None:
    error = cluster.error("replace", *arguments)
    assert error.code == "refused.no_node"
    assert str(error).startswith(f"{named} ")
    assert str(error).endswith("infisical, infisical-2, infisical-3")


def test_a_node_that_matches_the_settings_is_replaced_only_on_request(cluster: World) -> None:
    cluster.set('server_type = "cx33"\n')
    old = _servers(cluster)["infisical-3"]["id"]
    assert "--fresh" in cluster.ok("replace", "infisical-3", "--yes")
    assert _servers(cluster)["infisical-3"]["id"] == old
    cluster.ok("replace", "infisical-3", "--yes", "--fresh")
    assert _servers(cluster)["infisical-3"]["id"] != old


def test_a_killed_replacement_is_completed_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # test_killed.py covers the steps over SSH to a new server.
    monkeypatch.setattr("infisical_iac.hetzner.remote.finish_first_boot", lambda *_, **__: None)
    for deaths in range(1, 40):
        with monkeypatch.context() as patch, make_world(tmp_path / str(deaths), patch) as world:
            world.set(CLUSTER + "server_backups = False\n")
            world.ok("create", "--yes")
            _set_report(world, _WELL)
            world.set('server_type = "cx43"\n')
            world.api.dies_after = len(world.api.changes) + deaths
            if world.run("replace", "infisical-2", "--yes").exit_code == 0:
                break
            world.api.dies_after = None
            world.ok("replace", "infisical-2", "--yes")
            assert world.run("plan").exit_code == 0, deaths
            assert _type(_servers(world)["infisical-2"]) == "cx43", deaths
            assert len(world.cloud.kinds["servers"]) == 3
            assert len(world.cloud.kinds["volumes"]) == 4, deaths
    assert 10 <= deaths < 39
