"""Refuse a change of version as an entry of its own, and bring up the rest of the stack."""

from collections.abc import Iterable
from functools import partial
from hashlib import sha256
from typing import Any

import pytest
import yaml

from infisical_iac.change import upgrade
from infisical_iac.cluster import stack as cluster_stack
from infisical_iac.cluster import upgrade as cluster_upgrade
from infisical_iac.cluster.site import ClusterSite
from infisical_iac.cluster.stack_plan import DesiredStack
from infisical_iac.cluster.stack_state import ClusterStackState
from infisical_iac.core import files, journal, operation
from infisical_iac.core.errors import ApiError, CheckFailed, UserError
from infisical_iac.core.files import PathState
from infisical_iac.core.images import Images
from infisical_iac.core.item import Item
from infisical_iac.core.journal import Journal
from infisical_iac.core.settings import Settings
from infisical_iac.host.model import MachineState
from infisical_iac.stack import compose as stack
from infisical_iac.stack.compose_file import compose_file
from infisical_iac.stack.containers import Container, StackState
from infisical_iac.stack.state import DeploymentState, Upgrades, UpgradeState
from infisical_iac.workspace import canary, checks
from tests.unit import clusters
from tests.unit.settings_of import settings_of

_RUNS = settings_of()
_CHANGE, _RUN = "Stack | Change the version", "Stack | Run Infisical, PostgreSQL and Redis"


class _Host:
    """A host with a deployment of the defaults, whose Redis has been stopped."""

    name = "one"

    def __init__(self) -> None:
        self.text = compose_file(_RUNS, MachineState())
        self.was = Images(_RUNS.stack.infisical_reference, _RUNS.stack.postgres_image)
        self.journal = Journal(goes_on=True)
        self.down = {"redis"}

    def observe(self, compose: str, images: tuple[str, ...]) -> DeploymentState:
        same = compose == self.text
        hashes = {name: f"{name} {'as it runs' if same else 'new'}" for name in _RUNS.services}
        containers: dict[str, tuple[Container, ...]] = {
            name: (
                Container(
                    f"{name} as it runs", "exited" if name in self.down else "running", "healthy"
                ),
            )
            for name in hashes
        }
        there = PathState(
            "regular file", "600", "root:root", sha256(self.text.encode()).hexdigest()
        )
        found = StackState(
            engine=True, images=frozenset(images), hashes=hashes, containers=containers
        )
        return DeploymentState(there, UpgradeState(self.was), found)

    def noop(self, _: str) -> None:
        """Take the sentence."""

    def plan(self, settings: Settings) -> tuple[list[Item], list[Item]]:
        """Return the changes and the blocked steps of the plan for the settings."""
        compose = compose_file(settings, MachineState())
        changed = _function(upgrade.version)
        run = _function(stack.running)
        made: dict[str, Any] = {"compose": compose, "settings": settings}
        self.journal.plan("1", _CHANGE, lambda: list(changed(**made, project="chainalign")))
        text = partial(compose_file, machine=MachineState())
        self.journal.plan("2", _RUN, lambda: list(run(settings=settings, compose=text)))
        return self.journal.planned_changes, self.journal.blocked_parts


def _changed(planned: Iterable[Item]) -> list[str]:
    """Return what each change is about, with its kind."""
    return [f"{each.kind} {each.what}" for each in planned]


def _function(operation: Any) -> Any:
    return operation._inner.__wrapped__


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> _Host:
    made = _Host()
    monkeypatch.setattr(journal, "_journals", {"one": made.journal})
    for module in (journal, stack, operation):
        monkeypatch.setattr(module, "host", made)
    monkeypatch.setattr(stack, "observe", made.observe)
    monkeypatch.setattr(stack, "published_port", lambda: 8080)
    monkeypatch.setattr(files.Rewritten, "read", lambda item: Item(item.kind, item.what))
    monkeypatch.setattr(upgrade, "refuse_room", lambda *_: None)
    monkeypatch.setattr(checks, "refuse_undecryptable", lambda _: None)
    return made


def test_a_refused_version_is_reported_and_drifted_containers_are_repaired(host: _Host) -> None:
    planned, blocked = host.plan(settings_of(infisical_version="v0.120.0"))
    assert _changed(planned) == ["~ container redis"]
    (refused,) = blocked
    assert (refused.kind, refused.what) == ("!", "Change the version")
    assert "from v0.165.16 to v0.120.0" in refused.detail


def test_wording_of_a_refused_version(host: _Host) -> None:
    (redis,), (refused,) = host.plan(settings_of(infisical_version="v0.120.0"))
    assert str(redis) == "~ container redis: is exited, health healthy"
    assert str(refused).startswith(
        "! Change the version: blocked: Infisical can't be changed from v0.165.16 to v0.120.0: "
        "an older release can't use the database of a newer one"
    )


def test_another_setting_is_rolled_out_next_to_a_refused_version(host: _Host) -> None:
    planned, _ = host.plan(settings_of(infisical_version="v0.120.0", infisical_memory="2g"))
    assert "~ container infisical" in _changed(planned)


def test_the_file_of_a_refused_version_has_the_images_that_run(host: _Host) -> None:
    wanted = settings_of(infisical_version="v0.120.0", postgres_image="postgres:17.9")
    kept = wanted.keeping(host.was)
    services = yaml.safe_load(compose_file(kept, MachineState()))["services"]
    # A minor version of PostgreSQL does not count as a change of version.
    assert services["postgres"]["image"] == "postgres:17.9"
    assert services["infisical"]["image"] == _RUNS.stack.infisical_reference


def test_a_refused_major_version_of_postgresql_keeps_its_container(host: _Host) -> None:
    planned, blocked = host.plan(settings_of(postgres_image="postgres:16.10"))
    assert _changed(planned) == ["~ container redis"]
    (refused,) = blocked
    assert "PostgreSQL" in refused.detail
    assert "from 17 to 16" in refused.detail


@pytest.mark.parametrize(
    "refusal", [UserError("no room on the host's disk"), CheckFailed("the canary is altered")]
)
def test_an_error_before_a_change_of_version_blocks_nothing_else(
    host: _Host, monkeypatch: pytest.MonkeyPatch, refusal: UserError
) -> None:
    def refuse(_: int) -> None:
        raise refusal

    monkeypatch.setattr(checks, "refuse_undecryptable", refuse)
    planned, blocked = host.plan(settings_of(infisical_version="v0.166.0"))
    assert _changed(planned) == ["~ container redis"]
    (refused,) = blocked
    assert (refused.kind, refused.what) == ("!", "Change the version")
    assert refused.detail.endswith(str(refusal))


def test_a_service_that_cannot_run_blocks_only_the_change_of_version(host: _Host) -> None:
    host.journal.without = frozenset({"caddy"})
    host.down |= {"caddy"}
    planned, blocked = host.plan(_RUNS)
    assert (_changed(planned), blocked) == (["~ container redis"], [])
    planned, blocked = host.plan(settings_of(infisical_version="v0.166.0"))
    assert _changed(planned) == ["~ container redis"]
    (refused,) = blocked
    assert (refused.kind, refused.what) == ("!", "Change the version")
    assert all(each in refused.detail for each in ("v0.166.0", "caddy"))


def test_unreadable_secrets_end_the_whole_run(host: _Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> None:
        raise canary.unreadable(ApiError(500, "InternalServerError", "no such key", "GET", "/"))

    monkeypatch.setattr(checks, "refuse_undecryptable", refuse)
    with pytest.raises(CheckFailed, match="no such key"):
        host.plan(settings_of(infisical_version="v0.166.0"))


def test_an_allowed_version_is_planned(host: _Host) -> None:
    planned, blocked = host.plan(settings_of(infisical_version="v0.166.0"))
    assert Item("~", "Infisical", "v0.165.16 → v0.166.0") in planned
    assert "~ container infisical" in _changed(planned)
    assert blocked == []


def test_without_a_run_that_goes_on_a_refusal_is_raised(host: _Host) -> None:
    host.journal.goes_on = False
    with pytest.raises(UserError, match="an older release can't use the database"):
        host.plan(settings_of(infisical_version="v0.120.0"))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"infisical_version": "v0.120.0"}, "Infisical can't be changed from v0.165.16"),
        (
            {"patroni_image": "ghcr.io/zalando/spilo-18:4.1-p2"},
            "a cluster's PostgreSQL can't be changed from",
        ),
    ],
)
def test_a_cluster_rolls_the_rest_out_on_the_version_that_runs(
    host: _Host, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], sentence: str
) -> None:
    runs = clusters.settings()
    was = Images(runs.stack.infisical_reference, runs.cluster.patroni_image)
    rolled_out: list[Settings] = []

    def record(site: ClusterSite, _: object) -> DesiredStack:
        rolled_out.append(site.settings)
        return DesiredStack("services: {}", {}, frozenset())

    for module in (cluster_stack, cluster_upgrade):
        monkeypatch.setattr(module, "host", host)
    monkeypatch.setattr(cluster_upgrade, "shared_fact", lambda *_, **__: UpgradeState(was))
    monkeypatch.setattr(cluster_stack, "observe_stack", lambda _: ClusterStackState())
    monkeypatch.setattr(cluster_stack, "desired_stack", record)
    site = clusters.site(**changes, redis_memory="512m")
    changed = _function(cluster_upgrade.version_change)
    run = _function(cluster_stack.services)
    host.journal.plan("1", _CHANGE, lambda: list(changed(site=site, project="chainalign")))
    host.journal.plan("2", "Stack | Roll out", lambda: list(run(site=site)))
    assert rolled_out == [clusters.settings(redis_memory="512m")]
    (blocked,) = map(str, host.journal.blocked_parts)
    assert blocked.startswith(f"! Change the version: blocked: {sentence}")


@pytest.mark.parametrize(("version", "fetched"), [("v0.120.0", False), ("v0.166.0", True)])
def test_a_node_fetches_no_image_of_a_version_that_is_refused(
    host: _Host, monkeypatch: pytest.MonkeyPatch, version: str, fetched: bool
) -> None:
    """It may not even be there, and what fails to be fetched ends the run."""
    runs, wanted = clusters.settings(), clusters.settings(infisical_version=version)
    was = Images(runs.stack.infisical_reference, runs.cluster.patroni_image)

    def told(fact: type, **_: object) -> object:
        there = frozenset(runs.images) - {runs.stack.redis_image}
        return UpgradeState(was) if fact is Upgrades else StackState(images=there)

    monkeypatch.setattr(cluster_stack, "host", host)
    monkeypatch.setattr(host, "get_fact", told, raising=False)
    fetch = _function(cluster_stack.node_images)
    host.journal.plan("1", "Stack | Fetch the images", lambda: list(fetch(settings=wanted)))
    images = [wanted.stack.infisical_reference] if fetched else []
    expected = [f"+ image {each}" for each in (*images, runs.stack.redis_image)]
    assert sorted(map(str, host.journal.planned_changes)) == sorted(expected)
