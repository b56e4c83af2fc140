"""Test the report of a change of version that the host makes by itself."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from infisical_iac.agent.journal import TransactionJournal, Way
from infisical_iac.agent.proof_model import ProofPlan
from infisical_iac.agent.public_address import PublicAddress
from infisical_iac.agent.runner import Failure
from infisical_iac.agent.transaction import INTERRUPTED
from infisical_iac.change import kept_releases, upgrade
from infisical_iac.change.releases import Release, UnfinishedChange
from infisical_iac.change.upgrade import VersionChange, VersionChanges
from infisical_iac.core import transaction
from infisical_iac.core.errors import RunFailed
from infisical_iac.core.images import Images
from infisical_iac.host.site import Site
from infisical_iac.stack import compose, edge, session
from infisical_iac.stack.state import COMPOSE_FILE
from infisical_iac.workspace import checks
from tests.unit.settings_of import settings_of

_OLD, _NEW = "infisical/infisical:v0.165.16", "infisical/infisical:v0.166.0"
_COMPOSE = """
services:
  infisical: {image: "%s", ports: ["127.0.0.1:8080:8080"], networks: [database, edge]}
  postgres: {image: "postgres:17.11", networks: [database]}
  caddy: {network_mode: host}
networks: {database: {internal: true}, edge: {}}
"""
_WAS = Images(_OLD, "postgres:17.11")
_RELEASE = "20261125T101112Z-v0.165.16"
_VOLUME = "infisical_postgres_given_up_20261125T101112Z"
_SINCE = "2026-11-25T10:12:00Z"
_GIVEN_UP = {"name": _VOLUME, "since": _SINCE, "writes": 30, "images": [_NEW, "postgres:17.11"]}
_CHANGES = VersionChanges(Site(settings_of()))
_UNFINISHED = UnfinishedChange(_RELEASE, "swapped", _NEW)


class _Host:
    """A host whose transactions end at once.

    Attributes:
        ended: how the next one ends.
        plans: their plans.
        named: what they change.
        files: the texts of its files.
        discarded: the images after which releases were discarded.
    """

    print_prefix = ""

    def __init__(self) -> None:
        self.ended = TransactionJournal("upgrade", "", outcome="done")
        self.plans: list[dict[str, Any]] = []
        self.named: list[str] = []
        self.discarded: list[str] = []
        self.closes = 0
        self.files = {COMPOSE_FILE: _COMPOSE % _NEW}

    def begin(
        self, name: str, began: str, plan: dict[str, Any], *, named: list[str]
    ) -> TransactionJournal:
        assert (name, began) == ("upgrade", named[0].partition("-")[0])
        self.named = named
        return self.take_up(name, lambda: plan)

    def take_up(self, name: str, make_plan: Callable[[], dict[str, Any]]) -> TransactionJournal:
        self.plans.append(make_plan())
        return self.ended

    def prepare(self, _: object) -> None:
        self.closes += 1


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> _Host:
    made = _Host()
    monkeypatch.setattr(transaction, "begin", made.begin)
    monkeypatch.setattr(transaction, "take_up", made.take_up)
    monkeypatch.setattr(compose, "compose_text", lambda: _COMPOSE % _OLD)
    monkeypatch.setattr(upgrade, "ask", lambda _: made.files)
    monkeypatch.setattr(edge, "prepare_closing", made.prepare)
    monkeypatch.setattr(session, "forget", lambda: None)
    monkeypatch.setattr(
        kept_releases, "discard_releases", lambda _, image: made.discarded.append(image)
    )
    monkeypatch.setattr(
        checks, "plan_of", lambda *_: ProofPlan("chainalign", "privilege", PublicAddress("x"))
    )
    return made


def _upgrade(data: Release | None = None) -> list[str]:
    change = VersionChange(_WAS, _COMPOSE % _NEW, data)
    return upgrade.change_on_host(change, settings_of(), "chainalign")


def test_the_host_gets_a_plan_by_which_only_it_reaches_the_new_version(host: _Host) -> None:
    _upgrade()
    (plan,) = host.plans
    release, image = host.named
    assert (plan["release"], plan["image"]) == (release, image)
    assert (image, release.partition("-")[2]) == (_NEW, "v0.165.16")
    assert plan["compose"] == _COMPOSE % _NEW
    assert "ports" not in plan["rehearsal"]
    assert "edge" not in plan["rehearsal"].partition("networks:")[0]
    assert (plan["port"], plan["same_ingress"]) == (8080, True)
    assert (plan["data"], plan["copies"], plan["other_postgres"]) == ("", True, False)
    assert plan["proof"]["project"] == "chainalign"
    assert host.closes == 1


def test_a_rollback_names_the_release_whose_data_it_takes(host: _Host) -> None:
    _upgrade(SimpleNamespace(name="20261101T000000Z-v0.164.0"))  # type: ignore[arg-type]
    (plan,) = host.plans
    assert (plan["data"], plan["copies"]) == ("20261101T000000Z-v0.164.0", False)


@pytest.mark.parametrize(
    ("postgres", "copies"), [("postgres:17.12", True), ("postgres:18.1", False)]
)
def test_another_major_version_of_postgresql_gets_its_data_from_a_dump(
    host: _Host, postgres: str, copies: bool
) -> None:
    text = (_COMPOSE % _NEW).replace("postgres:17.11", postgres)
    upgrade.change_on_host(VersionChange(_WAS, text), settings_of(), "chainalign")
    (plan,) = host.plans
    assert (plan["copies"], plan["other_postgres"]) == (copies, True)


def test_a_change_that_is_done_reports_its_checks_and_the_data_of_earlier_ones(
    host: _Host,
) -> None:
    host.ended.told = ["Read as before: 1 secret."]
    host.ended.kept = {"removed": ["infisical_postgres_given_up_a"], "given_up": [_GIVEN_UP]}
    read, removed, kept = _upgrade()
    assert read == "Read as before: 1 secret."
    assert "infisical_postgres_given_up_a" in removed
    assert _VOLUME in kept
    assert host.discarded == [_NEW]


def _undone(failure: Failure, **kept: Any) -> TransactionJournal:
    log: list[tuple[str, Way, str]] = [("", "forward", "pause Infisical")]
    return TransactionJournal("upgrade", "", outcome="undone", failure=failure, kept=kept, log=log)


def test_writes_that_were_given_up_are_counted_in_the_report(host: _Host) -> None:
    host.ended = _undone(Failure("checks.data", "no secret can be read"), given_up=[_GIVEN_UP])
    output = (
        rf"v0\.166\.0 .* v0\.165\.16 .* all data of {_SINCE}; 30 writes since {_SINCE} "
        rf".*Docker volume {_VOLUME} .*: no secret can be read$"
    )
    with pytest.raises(RunFailed, match=output) as failed:
        _upgrade()
    assert failed.value.code == "run.given_up"


def test_a_version_that_fails_on_a_copy_is_reported_with_the_one_that_serves(host: _Host) -> None:
    host.ended = replace(_undone(Failure("checks.data", "no secret can be read")), log=[])
    with pytest.raises(RunFailed, match=r"copy .* v0\.165\.16 .* no secret can be read$") as failed:
        _upgrade()
    assert failed.value.code == "run.given_up"


def test_no_writes_are_reported_as_given_up_if_nothing_was_swapped(host: _Host) -> None:
    host.ended = _undone(Failure("command", "the disk is full"))
    with pytest.raises(RunFailed, match="with all data; ") as failed:
        _upgrade()
    assert "writes" not in str(failed.value)


@pytest.mark.parametrize(
    ("ended", "serves", "data"),
    [
        (_undone(INTERRUPTED), "v0.165.16 serves again", "as it did"),
        (
            _undone(INTERRUPTED, given_up=[_GIVEN_UP]),
            "v0.165.16 serves again",
            f"all data of {_SINCE}; 30 writes",
        ),
        (TransactionJournal("upgrade", "", outcome="done"), "v0.166.0 serves", ""),
    ],
)
def test_the_end_of_an_interrupted_change_is_reported(
    host: _Host, ended: TransactionJournal, serves: str, data: str
) -> None:
    host.ended = ended
    output, *rest = _CHANGES.recover(_UNFINISHED, "chainalign").removesuffix(".").split(", ", 1)
    assert output == f"Infisical {serves}"
    assert bool(rest) is bool(data)
    assert data in "".join(rest)
    assert host.plans[0]["release"] == _RELEASE
    assert host.discarded == [_NEW]


@pytest.mark.parametrize("text", ["", _COMPOSE % _NEW])
def test_an_interrupted_change_is_taken_up_without_the_compose_file(host: _Host, text: str) -> None:
    host.files = {COMPOSE_FILE: text} if text else {}
    host.ended = _undone(INTERRUPTED)
    assert "serves again" in _CHANGES.recover(_UNFINISHED, "chainalign")
    (plan,) = host.plans
    assert (plan["compose"], bool(plan["rehearsal"])) == (text, bool(text))


def test_a_version_that_has_served_for_hours_and_fails_its_checks_is_given_up_by_name(
    host: _Host,
) -> None:
    host.ended = _undone(Failure("checks.data", "no secret"), given_up=[_GIVEN_UP])
    with pytest.raises(RunFailed, match=f"30 writes .* Docker volume {_VOLUME} ") as failed:
        _CHANGES.recover(_UNFINISHED, "chainalign")
    assert failed.value.code == "run.given_up"
