"""Test the plan and the report of a change of version that a cluster's leader makes by itself."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from infisical_iac.agent.journal import TransactionJournal
from infisical_iac.agent.proof_model import ProofPlan
from infisical_iac.agent.public_address import PublicAddress
from infisical_iac.agent.runner import Failure
from infisical_iac.agent.swarm_stack import ClusterStackState
from infisical_iac.agent.transaction import INTERRUPTED
from infisical_iac.change import kept_releases
from infisical_iac.change.releases import Release, UnfinishedChange
from infisical_iac.cluster import change as cluster_change
from infisical_iac.cluster import site as cluster_site
from infisical_iac.cluster import stack
from infisical_iac.cluster.change import ClusterVersionChanges
from infisical_iac.cluster.site import ClusterSite
from infisical_iac.core import transaction
from infisical_iac.core.errors import Refused, RunFailed
from infisical_iac.core.images import Images
from infisical_iac.stack import edge, session
from infisical_iac.workspace import checks
from tests.unit.clusters import settings, site

_OLD, _NEW = "infisical/infisical:v0.165.16", "infisical/infisical:v0.166.0"
_WAS = Images(_OLD, "ghcr.io/zalando/spilo-17:4.0-p2")
_RELEASE = Release("20261125T101112Z-v0.165.16", {"infisical": _OLD}, {}, None)
_SINCE = "2026-11-25T10:12:00Z"
_DATABASE = "infisical_given_up_20261125t101112z"
_GIVEN_UP = {"name": _DATABASE, "since": _SINCE, "writes": 30, "images": [_NEW]}


class _Leader:
    """A leader whose transactions end at once.

    Attributes:
        ended: how the next one ends.
        plans: their plans.
        rolled_out: the versions of complete roll-outs by this side.
    """

    def __init__(self) -> None:
        self.ended = TransactionJournal("cluster_upgrade", "", outcome="done")
        self.plans: list[dict[str, Any]] = []
        self.named: list[str] = []
        self.rolled_out: list[str] = []
        self.prepared: list[str] = []
        self.state = ClusterStackState(manager=True, nodes=(True, True, True))

    def begin(
        self, name: str, began: str, plan: dict[str, Any], *, named: list[str]
    ) -> TransactionJournal:
        assert (name, began) == ("cluster_upgrade", named[0].partition("-")[0])
        self.named = named
        return self.take_up(name, lambda: plan)

    def take_up(self, name: str, make_plan: Callable[[], dict[str, Any]]) -> TransactionJournal:
        assert name == "cluster_upgrade"
        self.plans.append(make_plan())
        return self.ended

    def roll_out(self, site: ClusterSite) -> None:
        self.rolled_out.append(site.settings.stack.infisical_version)


@pytest.fixture
def leader(monkeypatch: pytest.MonkeyPatch) -> _Leader:
    made = _Leader()
    old = "services: {infisical: {image: old}, caddy: {image: caddy}}"
    monkeypatch.setattr(transaction, "begin", made.begin)
    monkeypatch.setattr(transaction, "take_up", made.take_up)
    monkeypatch.setattr(stack, "perform", lambda *_, **__: None)
    monkeypatch.setattr(stack, "read_stack_again", lambda _: made.state)
    monkeypatch.setattr(stack, "write", lambda *_: None)
    monkeypatch.setattr(stack, "run", lambda *_, **__: old)
    monkeypatch.setattr(stack, "roll_out", made.roll_out)
    monkeypatch.setattr(cluster_site, "keep_running_version", lambda each: each)
    monkeypatch.setattr(session, "forget", lambda: None)
    monkeypatch.setattr(kept_releases, "discard_releases", lambda *_: None)
    monkeypatch.setattr(kept_releases, "read_releases", lambda: [_RELEASE])
    monkeypatch.setattr(edge, "prepare_closing_on", lambda _, names: made.prepared.extend(names))
    proof = ProofPlan("chainalign", "privilege", PublicAddress("x"), "swarm")
    monkeypatch.setattr(checks, "plan_of", lambda *_: proof)
    return made


def _upgrade(data: Release | None = None) -> list[str]:
    return cluster_change.change_version(
        site(infisical_version="v0.166.0"), "chainalign", _WAS, _NEW, data
    )


def test_the_leader_gets_a_plan_that_rolls_out_only_the_replicas(leader: _Leader) -> None:
    _upgrade()
    (plan,) = leader.plans
    assert (plan["release"], plan["image"]) == tuple(leader.named)
    assert plan["image"] == _NEW
    assert yaml.safe_load(plan["stack"])["services"].keys() > {"infisical", "caddy", "etcd-1"}
    (new,) = yaml.safe_load(plan["part"])["services"].values()
    assert new["image"] == _NEW
    assert yaml.safe_load(plan["old_part"])["services"] == {"infisical": {"image": "old"}}
    assert plan["old_stack"].endswith("\n")
    assert (plan["data"], plan["port"], plan["edge"]) == ("", 8080, True)
    assert plan["proof"]["topology"] == "swarm"
    assert leader.prepared == leader.rolled_out == []


def test_the_copy_has_the_new_image_and_no_outbound_network(leader: _Leader) -> None:
    _upgrade()
    copy = yaml.safe_load(leader.plans[0]["compose"])
    assert copy["services"]["infisical"]["image"] == _NEW
    assert all(each.get("internal") for each in copy["networks"].values())
    assert not any("ports" in each for each in copy["services"].values())


def test_a_rollback_names_its_release_and_every_edge_can_be_closed(leader: _Leader) -> None:
    _upgrade(_RELEASE)
    assert leader.plans[0]["data"] == _RELEASE.name
    assert leader.prepared == ["node-1", "node-2", "node-3"]


def test_a_cluster_without_tls_is_rolled_out_with_tls_first(leader: _Leader) -> None:
    services: dict[str, Any] = {"postgres-1": SimpleNamespace(tls=0)}
    leader.state = ClusterStackState(manager=True, services=services)
    _upgrade()
    assert leader.rolled_out == ["v0.166.0"]


def test_a_change_that_is_done_reports_its_checks_and_the_data_of_earlier_ones(
    leader: _Leader,
) -> None:
    leader.ended.told = ["Read as before: 1 secret."]
    leader.ended.kept = {"removed": ["infisical_given_up_a"], "given_up": [_GIVEN_UP]}
    read, removed, kept = _upgrade()
    assert read == "Read as before: 1 secret."
    assert "infisical_given_up_a" in removed
    assert _DATABASE in kept


def _undone(failure: Failure, **kept: Any) -> TransactionJournal:
    return TransactionJournal("cluster_upgrade", "", outcome="undone", failure=failure, kept=kept)


_FAILED = Failure("checks.data", "no secret can be read")


@pytest.mark.parametrize(
    ("kept", "output"),
    [
        ({"usable": []}, r"with all data; "),
        (
            {"usable": ["deleted since: TOKEN", "kept as the release x"]},
            r"with all data \(deleted since: TOKEN; kept as the release x\); ",
        ),
        (
            {"usable": [], "given_up": [_GIVEN_UP]},
            rf"all data of {_SINCE}; 30 writes since {_SINCE} .*database {_DATABASE} ",
        ),
        (
            {"unusable": "why", "reverted": "2026-11-25T10:00:00Z", "given_up": [_GIVEN_UP]},
            rf"data of 2026-11-25T10:00:00Z, .* \(why\); 30 writes .*database {_DATABASE} ",
        ),
    ],
)
def test_a_version_that_was_given_up_is_reported_with_the_data_that_serve(
    leader: _Leader, kept: dict[str, Any], output: str
) -> None:
    leader.ended = _undone(_FAILED, paused=True, **kept)
    serves = rf"^Infisical v0\.166\.0 .* v0\.165\.16 serves again .*{output}"
    with pytest.raises(RunFailed, match=rf"{serves}.* on the leader; .*: no secret") as failed:
        _upgrade()
    assert failed.value.code == "run.given_up"


def test_a_version_that_fails_on_a_copy_has_paused_nothing(leader: _Leader) -> None:
    leader.ended = _undone(_FAILED)
    with pytest.raises(RunFailed, match=r" v0\.165\.16 has served ") as failed:
        _upgrade()
    assert failed.value.code == "run.given_up"


@pytest.mark.parametrize(
    ("ended", "serves", "data"),
    [
        (_undone(INTERRUPTED, usable=[]), "v0.165.16 serves again", "with all data"),
        (_undone(INTERRUPTED), "v0.165.16 serves again", "as it did"),
        (TransactionJournal("cluster_upgrade", "", outcome="done"), "v0.166.0 serves", ""),
    ],
)
def test_the_end_of_an_interrupted_change_is_reported(
    leader: _Leader, ended: TransactionJournal, serves: str, data: str
) -> None:
    leader.ended = ended
    unfinished = UnfinishedChange(_RELEASE.name, "swapped", _NEW)
    output = ClusterVersionChanges(site()).recover(unfinished, "chainalign")
    assert output.removesuffix(".").split(", ") == [f"Infisical {serves}", *filter(None, [data])]


def test_a_change_of_the_version_before_gets_a_plan_with_both_versions(leader: _Leader) -> None:
    unfinished = UnfinishedChange(_RELEASE.name, "swapped", _NEW)
    ClusterVersionChanges(site()).recover(unfinished, "chainalign")
    (plan,) = leader.plans
    parts = (yaml.safe_load(plan[name])["services"] for name in ("part", "old_part"))
    assert [each["infisical"]["image"] for each in parts] == [_NEW, _OLD]
    assert plan["release"] == _RELEASE.name


@pytest.mark.parametrize(
    "reference",
    [
        "infisical/infisical:v0.166.0",
        f"registry.example.com:5000/infisical:v0.166.0@sha256:{'0' * 64}",
    ],
)
def test_settings_can_be_copied_with_another_image(reference: str) -> None:
    assert settings().with_infisical(reference).stack.infisical_reference == reference


def test_a_cluster_refuses_to_bring_writes_over_a_rollback() -> None:
    with pytest.raises(Refused, match="--bring-writes"):
        ClusterVersionChanges(site()).refuse_bringing_writes()
