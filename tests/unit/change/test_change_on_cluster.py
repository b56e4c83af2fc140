"""Test the steps of a change of version on a cluster, whose fake leader only records them."""

from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from infisical_iac.backup import snapshot
from infisical_iac.backup.manifest import Manifest
from infisical_iac.change import changeover
from infisical_iac.change.changeover import Changeover
from infisical_iac.change.releases import Release, UnfinishedChange
from infisical_iac.cluster import change as cluster_change
from infisical_iac.cluster import stack
from infisical_iac.cluster.change import ClusterVersionChanges
from infisical_iac.cluster.site import ClusterSite
from infisical_iac.core.agent import Question
from infisical_iac.core.errors import Refused, RunFailed
from infisical_iac.core.images import Images
from infisical_iac.stack import edge, session
from infisical_iac.workspace import checks
from tests.unit.clusters import settings, site
from tests.unit.noting import Noting

_OLD, _NEW = "infisical/infisical:v0.165.16", "infisical/infisical:v0.166.0"
_WAS = Images(_OLD, "ghcr.io/zalando/spilo-17:4.0-p2")
_THEN = Manifest("2026-11-25T10:00:00Z", "node-1", "v0.165.16", "17.6", "key", {"projects": 2})
_REVERTED = "given-up infisical_given_up_x 2026-11-25T10:11:12Z 3 image\n"
_GIVEN_UP = "given-up infisical_given_up_y 2026-11-25T10:12:00Z 30 image\n"
_RELEASE = Release("20261125T101112Z-v0.165.16", {"infisical": _OLD}, {}, _THEN)


class _Leader(Noting):
    """A leader that records the steps, and the version of each roll-out."""

    def __init__(self) -> None:
        super().__init__(load="projects 2", revert=_REVERTED)
        self.deleted: list[str] = []
        self.exchanged = False

    def script(self, name: str, *arguments: str) -> str:
        return arguments[0] if name == "upgrade-cluster" else name

    def run(self, command: str, *, doing: str) -> str:
        if command == "exchanged":
            return "yes\n" if self.exchanged or "swap" in self.steps else ""
        return self.note(command)

    def roll_out(self, site: ClusterSite) -> None:
        self.note(f"roll out {site.settings.stack.infisical_version}")

    def pass_checks(
        self,
        *_: object,
        other_version: bool,
        open_edge: Callable[[], None] | None = None,
        **__: object,
    ) -> list[str]:
        assert other_version, "the new version has to prove that it isolates services"
        self.note("check")
        if open_edge:
            open_edge()
            self.note("public")
        return ["Read as before: 1 secret."]

    def perform(self, asked: Question[Any], *, doing: str) -> list[str]:
        if asked.calls[0].name == "dump.make_dump":
            self.note("dump")
        return []

    def usable(self, *_: object, **__: object) -> tuple[list[str], bool]:
        self.note("use")
        return self.deleted, bool(self.deleted)


@pytest.fixture
def leader(monkeypatch: pytest.MonkeyPatch) -> _Leader:
    made = _Leader()
    monkeypatch.setattr(changeover, "run", made.run)
    monkeypatch.setattr(changeover, "script", made.script)
    for module in (changeover, cluster_change):
        monkeypatch.setattr(module, "logger", made)
        monkeypatch.setattr(module, "host", made)
    monkeypatch.setattr(Changeover, "take", lambda self, name: _THEN)
    monkeypatch.setattr(stack, "roll_out", made.roll_out)
    monkeypatch.setattr(edge, "close_on", lambda *_: made.note("close"))
    monkeypatch.setattr(edge, "open_on", lambda _: made.note("open"))
    monkeypatch.setattr(changeover, "perform", made.perform)
    monkeypatch.setattr(changeover, "discard_releases", lambda *_: None)
    monkeypatch.setattr(changeover, "read_releases", lambda: [_RELEASE])
    monkeypatch.setattr(changeover, "write", lambda *_: None)
    monkeypatch.setattr(snapshot, "clean", lambda *_: None)
    monkeypatch.setattr(snapshot, "load", lambda *_: {"projects": 2})
    monkeypatch.setattr(snapshot, "serve", lambda *_: made.note("serve a copy"))
    monkeypatch.setattr(checks, "prove_isolation", lambda *_: made.note("prove isolation"))
    monkeypatch.setattr(session, "forget", lambda: None)
    monkeypatch.setattr(session, "api", lambda _: SimpleNamespace(answers=lambda: True))
    monkeypatch.setattr(checks, "record_before", lambda *_: None)
    monkeypatch.setattr(checks, "check_as_before", made.pass_checks)
    monkeypatch.setattr(checks, "check_usable", made.usable)
    return made


def _upgrade() -> list[str]:
    return cluster_change.change_version(
        site(infisical_version="v0.166.0"), "chainalign", _WAS, _NEW
    )


_TRIED = ["begin", "dump", "serve a copy", "prove isolation"]
_UP = [*_TRIED, "roll", "roll out v0.166.0"]
_END = ["open", "end"]
_SWAPPED = ["begin", "pause", "dump", "load", "close", "swap"]
_BACK = ["back", "roll out v0.165.16", "use"]
# The part on the old version and its data in the error of a change that was given up.
_SERVES = r" v0\.165\.16 serves again"
_WITH_ALL_DATA = rf"{_SERVES} with all data; "


def test_an_upgrade_is_proven_without_stopping_infisical(leader: _Leader) -> None:
    assert _upgrade() == ["Read as before: 1 secret."]
    assert leader.steps == [*_UP, "check", *_END]


@pytest.mark.parametrize("failing", ["serve a copy", "prove isolation"])
def test_a_version_that_fails_on_a_copy_of_the_data_is_not_rolled_out(
    leader: _Leader, failing: str
) -> None:
    leader.failing = [failing]
    with pytest.raises(RunFailed, match=_WITH_ALL_DATA) as failed:
        _upgrade()
    assert failed.value.code == "run.given_up"
    assert leader.steps == [*_TRIED[: _TRIED.index(failing) + 1], *_BACK, *_END]


def test_the_copy_has_the_new_image_and_no_outbound_network(
    leader: _Leader, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    monkeypatch.setattr(changeover, "write", lambda path, text: written.append(text))
    _upgrade()
    (text,) = written
    copy = yaml.safe_load(text)
    assert copy["services"]["infisical"]["image"] == _NEW
    assert all(each.get("internal") for each in copy["networks"].values())
    assert not any("ports" in each for each in copy["services"].values())


def test_the_login_at_the_copy_is_forgotten_even_if_the_proof_fails(
    leader: _Leader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "forget", lambda: leader.note("forget"))
    leader.failing = ["prove isolation"]
    with pytest.raises(RunFailed):
        _upgrade()
    where = leader.steps.index("prove isolation")
    assert leader.steps[where - 1 : where + 2] == ["forget", "prove isolation", "forget"]


def test_a_version_that_never_gets_healthy_is_rolled_back_with_all_data(leader: _Leader) -> None:
    leader.failing = ["roll out v0.166.0"]
    with pytest.raises(RunFailed, match=_WITH_ALL_DATA) as failed:
        _upgrade()
    assert failed.value.code == "run.given_up"
    assert leader.steps == [*_UP, *_BACK, *_END]


def test_data_that_the_old_version_cannot_use_are_replaced_by_the_dump(leader: _Leader) -> None:
    leader.failing = ["check", "use"]
    output = rf"{_SERVES} .* data of {_THEN.at}, .* 3 writes .* database infisical_given_up_x "
    with pytest.raises(RunFailed, match=output) as failed:
        _upgrade()
    assert failed.value.code == "run.given_up"
    revert = ["load", "revert", "roll out v0.165.16", *_END]
    assert leader.steps == [*_UP, "check", *_BACK, *revert]


def test_usable_data_are_not_reverted_after_failed_checks(leader: _Leader) -> None:
    leader.failing = ["check"]
    with pytest.raises(RunFailed, match=_WITH_ALL_DATA) as failed:
        _upgrade()
    assert failed.value.code == "run.given_up"
    assert leader.steps == [*_UP, "check", *_BACK, *_END]


def test_data_with_deleted_secrets_are_not_reverted_and_the_dump_is_kept(leader: _Leader) -> None:
    leader.failing = ["check"]
    leader.deleted = ["deleted since: TOKEN in production:/"]
    output = r"with all data \(deleted since: TOKEN in production:/; .* as the release 2026.*\); "
    with pytest.raises(RunFailed, match=output):
        _upgrade()
    assert leader.steps == [*_UP, "check", *_BACK, "keep", *_END]


def test_data_that_cannot_be_checked_are_left_in_place(leader: _Leader) -> None:
    leader.failing = ["check", "roll out v0.165.16"]
    with pytest.raises(RunFailed, match="could not be restored"):
        _upgrade()
    assert leader.steps == [*_UP, "check", "back", "roll out v0.165.16"]


def test_a_rollback_pauses_infisical_from_the_dump_to_the_new_start(leader: _Leader) -> None:
    was = Images(_NEW, _WAS.postgres)
    cluster_change.change_version(
        site(infisical_version="v0.166.0"), "chainalign", was, _OLD, _RELEASE
    )
    proof = ["roll out v0.165.16", "check", "open", "public"]
    assert leader.steps == [*_SWAPPED, *proof, *_END]


@pytest.mark.parametrize("failing", ["roll out v0.165.16", "check", "public"])
def test_a_rollback_that_fails_reports_the_writes_since_the_swap(
    leader: _Leader, failing: str
) -> None:
    """The edge is closed on all nodes from before the swap until the checks have passed."""
    leader.failing, leader.said["back"] = [failing], _GIVEN_UP
    was = Images(_NEW, _WAS.postgres)
    since = "2026-11-25T10:12:00Z"
    output = (
        r" v0\.166\.0 serves again .*all data "
        rf"of {since}; 30 writes since {since} .*database infisical_given_up_y "
    )
    with pytest.raises(RunFailed, match=output) as failed:
        cluster_change.change_version(
            site(infisical_version="v0.166.0"), "chainalign", was, _OLD, _RELEASE
        )
    assert failed.value.code == "run.given_up"
    proof = ["roll out v0.165.16", "check", "open", "public"]
    done = proof[: proof.index(failing) + 1]
    back = ["close", "back", "roll out v0.166.0", "use"]
    assert leader.steps == [*_SWAPPED, *done, *back, *_END]


def test_a_rollback_that_was_killed_is_proven_behind_a_closed_edge(leader: _Leader) -> None:
    leader.exchanged = True
    unfinished = UnfinishedChange(_RELEASE.name, "swapped", _NEW)
    ClusterVersionChanges(site()).recover(unfinished, "chainalign")
    assert leader.steps == ["close", "roll out v0.166.0", "check", "open", "public", *_END]


@pytest.mark.parametrize(
    ("phase", "steps", "serves", "data"),
    [
        ("begun", [*_BACK, *_END], "v0.165.16 serves again", "with all data"),
        ("swapping", [*_BACK, *_END], "v0.165.16 serves again", "with all data"),
        ("back", [*_BACK, *_END], "v0.165.16 serves again", "with all data"),
        ("swapped", ["roll out v0.166.0", "check", *_END], "v0.166.0 serves", ""),
        ("proven", _END, "v0.166.0 serves", ""),
    ],
)
def test_the_phase_decides_how_an_interrupted_change_is_ended(
    leader: _Leader, phase: str, steps: Iterable[str], serves: str, data: str
) -> None:
    unfinished = UnfinishedChange(_RELEASE.name, phase, _NEW)
    output = ClusterVersionChanges(site()).recover(unfinished, "chainalign")
    assert output.removesuffix(".").split(", ") == [f"Infisical {serves}", *filter(None, [data])]
    assert leader.steps == steps


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
