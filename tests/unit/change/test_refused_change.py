"""Test that a refused change of version is a separate entry, and the rest is deployed."""

import re
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from infisical_iac.agent.swarm_stack import ClusterStackState
from infisical_iac.cluster import change as cluster_change
from infisical_iac.cluster import stack as cluster_stack
from infisical_iac.cluster.site import ClusterSite
from infisical_iac.cluster.stack_plan import DesiredStack
from infisical_iac.core.change import Change
from infisical_iac.core.errors import ApiError, CheckFailed, Refused, UserError
from infisical_iac.core.images import Images
from infisical_iac.host.model import MachineState
from infisical_iac.stack.compose import compose_file
from infisical_iac.stack.state import UpgradeState
from infisical_iac.workspace import canary, checks
from tests.unit import clusters
from tests.unit.change.planned_host import (
    CHANGE,
    RUNS,
    PlannedHost,
    get_generator,
    planned_host,
)
from tests.unit.settings_of import settings_of

if TYPE_CHECKING:
    from infisical_iac.core.settings import Settings


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> PlannedHost:
    return planned_host(monkeypatch)


def _list_changes(planned: Iterable[Change]) -> list[str]:
    """Return the kind and the object of each change."""
    return [f"{each.kind} {each.what}" for each in planned]


def test_a_refused_version_is_reported_and_drifted_containers_are_repaired(
    host: PlannedHost,
) -> None:
    planned, blocked = host.plan(settings_of(infisical_version="v0.120.0"))
    assert _list_changes(planned) == ["~ container redis"]
    (refused,) = blocked
    assert (refused.kind, refused.what) == ("!", "Change the version")
    assert "from v0.165.16 to v0.120.0" in refused.detail


def test_another_setting_is_rolled_out_next_to_a_refused_version(host: PlannedHost) -> None:
    planned, _ = host.plan(settings_of(infisical_version="v0.120.0", infisical_memory="2g"))
    assert "~ container infisical" in _list_changes(planned)


def test_the_compose_file_keeps_the_running_image_of_a_refused_version(host: PlannedHost) -> None:
    desired = settings_of(infisical_version="v0.120.0", postgres_image="postgres:17.9")
    kept = desired.keeping(host.was)
    services = yaml.safe_load(compose_file(kept, MachineState()))["services"]
    # A minor version of PostgreSQL does not count as a change of version.
    assert services["postgres"]["image"] == "postgres:17.9"
    assert services["infisical"]["image"] == RUNS.stack.infisical_reference


def test_a_refused_major_version_of_postgresql_keeps_its_container(host: PlannedHost) -> None:
    planned, blocked = host.plan(settings_of(postgres_image="postgres:16.10"))
    assert _list_changes(planned) == ["~ container redis"]
    (refused,) = blocked
    assert "PostgreSQL" in refused.detail
    assert "from 17 to 16" in refused.detail


@pytest.mark.parametrize(
    "refusal", [UserError("the disk is full"), CheckFailed("the canary is altered")]
)
def test_an_error_before_a_change_of_version_blocks_only_that_change(
    host: PlannedHost, monkeypatch: pytest.MonkeyPatch, refusal: UserError
) -> None:
    def refuse(_: int) -> None:
        raise refusal

    monkeypatch.setattr(checks, "refuse_undecryptable", refuse)
    planned, blocked = host.plan(settings_of(infisical_version="v0.166.0"))
    assert _list_changes(planned) == ["~ container redis"]
    (refused,) = blocked
    assert (refused.kind, refused.what) == ("!", "Change the version")
    assert refused.detail.endswith(str(refusal))


def test_a_service_that_cannot_run_blocks_only_the_change_of_version(host: PlannedHost) -> None:
    host.journal.without = frozenset({"caddy"})
    host.down |= {"caddy"}
    planned, blocked = host.plan(RUNS)
    assert (_list_changes(planned), blocked) == (["~ container redis"], [])
    planned, blocked = host.plan(settings_of(infisical_version="v0.166.0"))
    assert _list_changes(planned) == ["~ container redis"]
    (refused,) = blocked
    assert (refused.kind, refused.what) == ("!", "Change the version")
    assert all(each in refused.detail for each in ("v0.166.0", "caddy"))


def test_unreadable_secrets_end_the_whole_run(
    host: PlannedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        raise canary.unreadable(ApiError(500, "InternalServerError", "no such key", "GET", "/"))

    monkeypatch.setattr(checks, "refuse_undecryptable", refuse)
    with pytest.raises(CheckFailed, match="no such key"):
        host.plan(settings_of(infisical_version="v0.166.0"))


def test_an_allowed_version_is_planned(host: PlannedHost) -> None:
    planned, blocked = host.plan(settings_of(infisical_version="v0.166.0"))
    assert Change("~", "Infisical", "v0.165.16 → v0.166.0") in planned
    assert "~ container infisical" in _list_changes(planned)
    assert blocked == []


def test_a_refusal_is_raised_unless_the_run_goes_on(host: PlannedHost) -> None:
    host.journal.goes_on = False
    with pytest.raises(Refused, match=r"from v0\.165\.16 to v0\.120\.0") as refused:
        host.plan(settings_of(infisical_version="v0.120.0"))
    assert refused.value.code == "refused.older_release"


@pytest.mark.parametrize(
    ("changes", "change"),
    [
        ({"infisical_version": "v0.120.0"}, r"^Infisical .* from v0\.165\.16 to v0\.120\.0:"),
        ({"patroni_image": "ghcr.io/zalando/spilo-18:4.1-p2"}, "cluster's PostgreSQL .* to 18:"),
    ],
)
def test_a_cluster_rolls_out_other_settings_with_the_running_version(
    host: PlannedHost, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], change: str
) -> None:
    runs = clusters.settings()
    was = Images(runs.stack.infisical_reference, runs.cluster.patroni_image)
    rolled_out: list[Settings] = []

    def record(site: ClusterSite, _: object) -> DesiredStack:
        rolled_out.append(site.settings)
        return DesiredStack("services: {}", {}, frozenset())

    monkeypatch.setattr(cluster_change, "inspect", lambda _: UpgradeState(was))
    monkeypatch.setattr(cluster_stack, "observe_stack", lambda _: ClusterStackState())
    monkeypatch.setattr(cluster_stack, "desired_stack", record)
    site = clusters.site(**changes, redis_memory="512m")
    changed = get_generator(cluster_change.version_change)
    run = get_generator(cluster_stack.services)
    host.journal.plan("1", CHANGE, lambda: list(changed(site=site, project="chainalign")))
    host.journal.plan("2", "Stack | Roll out", lambda: list(run(site=site)))
    assert rolled_out == [clusters.settings(redis_memory="512m")]
    (blocked,) = host.journal.blocked_parts
    assert (blocked.kind, blocked.what) == ("!", "Change the version")
    assert re.search(change, blocked.detail.removeprefix("blocked: "))


@pytest.mark.parametrize(("version", "fetched"), [("v0.120.0", False), ("v0.166.0", True)])
def test_a_node_fetches_no_image_of_a_version_that_is_refused(
    host: PlannedHost, monkeypatch: pytest.MonkeyPatch, version: str, fetched: bool
) -> None:
    """The image may not exist, and an image that can't be fetched ends the run."""
    runs, desired = clusters.settings(), clusters.settings(infisical_version=version)
    was = Images(runs.stack.infisical_reference, runs.cluster.patroni_image)

    def find_missing(images: Collection[str]) -> list[str]:
        there = frozenset(runs.images) - {runs.stack.redis_image}
        return [each for each in images if each not in there]

    monkeypatch.setattr(cluster_stack, "ask", lambda _: UpgradeState(was))
    monkeypatch.setattr(cluster_stack, "missing_images", find_missing)
    fetch = get_generator(cluster_stack.node_images)
    host.journal.plan("1", "Stack | Fetch the images", lambda: list(fetch(settings=desired)))
    images = [desired.stack.infisical_reference] if fetched else []
    expected = [f"+ image {each}" for each in (*images, runs.stack.redis_image)]
    assert sorted(map(str, host.journal.planned_changes)) == sorted(expected)
