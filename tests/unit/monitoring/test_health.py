"""Test the rows of `status` on a host's observed state, and which of them are healthy."""

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from infisical_iac.agent import cluster_upgrade
from infisical_iac.agent.health import DiskSpace, Running
from infisical_iac.agent.journal import TransactionJournal
from infisical_iac.agent.runner import Failure
from infisical_iac.core.audit_entries import Log
from infisical_iac.core.change import Change, Row
from infisical_iac.monitoring.health import (
    HealthState,
    access,
    drift_row,
    rows,
    second_factors,
)
from infisical_iac.stack.settings import with_digest
from infisical_iac.workspace.model import Requirement
from infisical_iac.workspace.second_factor import Account, SecondFactors
from tests.unit.health_rows import GIB, NOW, changed, observed, row_of, settings
from tests.unit.troubled_host import all_rows

_DAY = 86_400
_LEAST_DAYS = 14
_HTTPS = {"site_url": "https://secrets.example.com", "ingress": "caddy"}


@pytest.fixture
def state() -> HealthState:
    return observed()


def test_all_rows_of_a_healthy_host_are_healthy(state: HealthState) -> None:
    assert all(row.ok for row in rows(state, settings(), Log([]), drift_row([]), NOW))
    assert row_of("infisical", state) == ("infisical/infisical:v0.165.16: healthy", True)
    assert row_of("Disk", state) == ("20.0 of 40.0 GB free", True)


def test_the_page_on_status_has_each_row() -> None:
    text = Path("docs/operate/status-and-drift.md").read_text()
    sample = {line[6:18].strip() for line in text.splitlines() if line[4:5] in "✓·✗"}
    table = {*re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)}
    found = [row.name for row in all_rows(settings())]
    assert [name for name in found if name not in sample | table] == []


def test_a_container_of_another_version_is_not_healthy(state: HealthState) -> None:
    text, ok = row_of("infisical", state, infisical_version="v0.166.0")
    actual, desired = re.findall(r"infisical/infisical:(v[\d.]+)", text)
    assert (actual, desired, ok) == ("v0.165.16", "v0.166.0", False)


@pytest.mark.parametrize(("status", "health"), [("exited", "none"), ("running", "unhealthy")])
def test_an_unhealthy_container_is_reported(state: HealthState, status: str, health: str) -> None:
    redis = Running(with_digest("redis:8.2.10"), status, health)
    unhealthy = changed(state, containers={**state.facts.containers, "redis": redis})
    text, ok = row_of("redis", unhealthy)
    assert not ok
    assert text.endswith(health if status == "running" else status)


def test_a_missing_container_is_reported() -> None:
    text, ok = row_of("redis", HealthState())
    assert ("redis:8.2.10" in text, ok) == (True, False)
    assert "healthy" not in text


def test_a_full_disk_is_reported(state: HealthState) -> None:
    text, ok = row_of("Disk", changed(state, disk=DiskSpace("/var/lib", GIB // 2, 40 * GIB)))
    assert not ok
    assert text.startswith("0.5 of 40.0 GB free: ")


@pytest.mark.parametrize(
    ("days", "ok"), [(_LEAST_DAYS, True), (_LEAST_DAYS - 1, False), (-1, False)]
)
def test_a_certificate_is_healthy_until_near_its_end(
    state: HealthState, days: int, ok: bool
) -> None:
    ends = int(NOW.timestamp()) + days * _DAY
    seen = changed(state, certificate_ends=ends)
    text, is_healthy = row_of("Certificate", seen, **_HTTPS)
    assert is_healthy == ok
    assert text.endswith(f"{days} days from now")


def test_a_missing_certificate_is_reported_only_if_caddy_needs_one(
    state: HealthState,
) -> None:
    assert row_of("Certificate", state)[1]
    text, ok = row_of("Certificate", state, **_HTTPS)
    assert ("https://secrets.example.com" in text, ok) == (True, False)
    text, ok = row_of("Certificate", state, site_url="https://secrets.example.com")
    assert ("https://secrets.example.com" in text, ok) == (True, True)


@pytest.mark.parametrize(("hours", "ok"), [(3, True), (-1, False)])
def test_a_certificate_of_caddys_own_authority_lasts_for_hours(
    state: HealthState, hours: int, ok: bool
) -> None:
    seen = changed(state, certificate_ends=int(NOW.timestamp()) + hours * 3600)
    text, is_healthy = row_of("Certificate", seen, **_HTTPS, acme_ca="internal")
    assert text.startswith("until 2026-11-25 1")
    assert "Caddy" in text
    assert is_healthy == ok


def test_an_engine_that_does_not_answer_has_one_row_instead_of_the_containers() -> None:
    state = observed(engine=False, containers={})
    first = rows(state, settings(), Log([]), drift_row([]), NOW)[0]
    assert (first.name, first.ok) == ("Docker", False)


def test_the_holder_of_the_lock_and_a_changed_audit_log_are_reported() -> None:
    holder = "by ada@laptop since noon, process 7"
    state = observed(holder=holder)
    *_, work, log = rows(state, settings(), Log([], broken_at=3), drift_row([]), NOW)
    assert (work.name, work.text, work.ok) == ("At work now", holder, True)
    assert (log.name, "line 3" in log.text, log.ok) == ("Audit log", True, False)


_CLOSED = int(NOW.timestamp()) - 60


@pytest.mark.parametrize(
    ("unfinished", "remedy"),
    [
        ({"upgrade": "20261125T115900Z-v0.165.16 swapped i"}, "`infisical-iac apply` ends it"),
        ({"restore": "20261125T115900Z data"}, "`infisical-iac restore --undo`"),
        ({"scale": "20261125T115900Z in switched"}, "with --undo goes back"),
        ({"upgrade": '{"step": "of a newer version"}'}, "`uv tool upgrade infisical-iac`"),
        ({}, "`infisical-iac apply` opens it"),
    ],
)
def test_a_closed_ingress_is_reported_with_its_remedy(
    unfinished: dict[str, str], remedy: str
) -> None:
    text, ok = row_of("Edge", observed(closed=_CLOSED, unfinished=unfinished))
    assert not ok
    assert "2026-11-25T11:59:00Z" in text
    assert remedy in text


@pytest.mark.parametrize("name", ["upgrade", "rotation"])
def test_an_unfinished_change_of_a_newer_tool_is_shown(name: str) -> None:
    unfinished = {name: '{"step": "a step of a newer version"}'}
    text, ok = row_of("Unfinished", observed(unfinished=unfinished))
    assert not ok
    assert "`uv tool upgrade infisical-iac`" in text


@pytest.mark.parametrize(
    ("changes", "words", "ok"),
    [
        ({"outcome": "done"}, "is done", True),
        (
            {"outcome": "undone", "failure": Failure("checks", "no secret")},
            "undone: no secret",
            False,
        ),
        ({"outcome": "of a newer version"}, "`uv tool upgrade infisical-iac`", False),
    ],
)
def test_a_change_that_ended_by_itself_is_shown(
    changes: dict[str, Any], words: str, ok: bool
) -> None:
    ended = TransactionJournal("rotation", "20261125T115900Z", **changes)
    text, is_healthy = row_of("Ended", observed(ended={"rotation": json.dumps(asdict(ended))}))
    assert (words in text, is_healthy) == (True, ok)


@pytest.mark.parametrize(("writes", "ok"), [("0", True), ("3", False), ("unknown", False)])
def test_given_up_data_are_healthy_only_without_later_writes(writes: str, ok: bool) -> None:
    name = "infisical_postgres_given_up_20261125T115900Z"
    line = f"given-up {name} 2026-11-25T11:59:00Z {writes} infisical:v0.166.0 postgres:17"
    text, is_healthy = row_of("Given up", observed(given_up=(line,)))
    assert (f"in the Docker volume {name}; " in text, is_healthy) == (True, ok)


def test_notes_on_access_are_rows_next_to_foreign_access() -> None:
    note, found = "no service tokens", Change("*", "identity ci", "role admin")
    (whole,), (partial, second) = access([]), access([], [note])
    assert (whole.ok, partial.ok) == (True, True)
    assert whole.text != partial.text
    assert second == Row("Access", note, is_note=True)
    assert access([found], [note]) == [
        Row("Access", "identity ci: role admin", ok=False),
        Row("Access", note, is_note=True),
    ]


@pytest.mark.parametrize(
    ("rule", "factor", "mark"),
    [
        (None, "", "note"),
        (None, "totp", "note"),
        ("warn", "", "unhealthy"),
        ("warn", "totp", "healthy"),
    ],
)
def test_a_missing_second_factor_is_unhealthy_if_it_is_required(
    rule: Requirement | None, factor: str, mark: str
) -> None:
    accounts = [Account(("admin@example.com",)), Account(("ben@example.com",), factor=factor)]
    known = SecondFactors(NOW.date(), accounts, unseen="")
    row = second_factors(known, "admin@example.com", rule)
    assert ("ben@example.com" in row.text) == (not factor)
    assert mark == ("note" if row.is_note else "healthy" if row.ok else "unhealthy")


def test_the_end_of_a_change_of_a_cluster_is_shown() -> None:
    """Its steps are others than those of a single host, whose directory it shares."""
    (step,) = (each.name for each in cluster_upgrade.TRANSACTION.steps if "roll out" in each.name)
    journal = TransactionJournal("cluster_upgrade", "20261125T115900Z", step, outcome="done")
    text, is_healthy = row_of("Ended", observed(ended={"upgrade": json.dumps(asdict(journal))}))
    assert is_healthy
    assert cluster_upgrade.TRANSACTION.title in text
