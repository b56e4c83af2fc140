"""Test what `status` says of a host as it is now, and whether it calls it well."""

from dataclasses import replace

import pytest

from infisical_iac.core.audit_entries import Log
from infisical_iac.core.item import Item, Row
from infisical_iac.monitoring.condition import ConditionState, Running, access, drift, rows
from infisical_iac.monitoring.condition_fact import Condition
from infisical_iac.stack.settings import with_digest
from tests.unit.conditions import NOW, OUTPUT, row_of, settings

_DAY = 86_400
_HTTPS = {"site_url": "https://secrets.example.com", "ingress": "caddy"}


@pytest.fixture
def condition() -> ConditionState:
    return Condition().process(OUTPUT)


def test_a_host_where_all_is_well(condition: ConditionState) -> None:
    assert all(row.ok for row in rows(condition, settings(), Log([]), drift([]), NOW))
    assert row_of("infisical", condition) == ("infisical/infisical:v0.165.16: healthy", True)
    assert row_of("Disk", condition) == ("20.0 of 40.0 GB free", True)


def test_another_version_than_wanted_is_told(condition: ConditionState) -> None:
    text, ok = row_of("infisical", condition, infisical_version="v0.166.0")
    assert text == (
        "infisical/infisical:v0.165.16, but infisical/infisical:v0.166.0 is wanted: healthy"
    )
    assert not ok


@pytest.mark.parametrize(("status", "health"), [("exited", "none"), ("running", "unhealthy")])
def test_a_container_that_is_unwell_is_told(
    condition: ConditionState, status: str, health: str
) -> None:
    redis = Running(with_digest("redis:8.2.10"), status, health)
    unwell = replace(condition, containers={**condition.containers, "redis": redis})
    text, ok = row_of("redis", unwell)
    assert not ok
    assert text.endswith(health if status == "running" else status)


def test_a_container_that_is_missing_is_told(condition: ConditionState) -> None:
    assert row_of("redis", ConditionState()) == ("no container; redis:8.2.10 is wanted", False)


def test_a_full_disk_is_told(condition: ConditionState) -> None:
    text, ok = row_of("Disk", replace(condition, disk_free_gb=0.5))
    assert not ok
    assert text == "0.5 of 40.0 GB free: make room before the database stops"


@pytest.mark.parametrize(("days", "ok"), [(60, True), (13, False), (-1, False)])
def test_a_certificate_is_judged_by_its_end(condition: ConditionState, days: int, ok: bool) -> None:
    ends = int(NOW.timestamp()) + days * _DAY
    seen = replace(condition, certificate_ends=ends)
    text, well = row_of("Certificate", seen, **_HTTPS)
    assert well == ok
    assert text.endswith(f"{days} days from now")


def test_a_missing_certificate_is_told_where_one_is_needed(condition: ConditionState) -> None:
    assert row_of("Certificate", condition)[1]
    text, ok = row_of("Certificate", condition, **_HTTPS)
    assert (text, ok) == ("none is served for https://secrets.example.com", False)
    text, ok = row_of("Certificate", condition, site_url="https://secrets.example.com")
    assert text == "none on the host: https://secrets.example.com is served from elsewhere"
    assert ok


@pytest.mark.parametrize(("hours", "ok"), [(3, True), (-1, False)])
def test_caddys_own_authority_certifies_for_hours(
    condition: ConditionState, hours: int, ok: bool
) -> None:
    seen = replace(condition, certificate_ends=int(NOW.timestamp()) + hours * 3600)
    text, well = row_of("Certificate", seen, **_HTTPS, acme_ca="internal")
    assert text.startswith("until 2026-11-25 1")
    assert text.endswith("UTC, renewed by Caddy's own authority")
    assert well == ok


def test_docker_that_does_not_answer_is_told_in_the_place_of_containers() -> None:
    condition = Condition().process(["disk 20971520 41943040"])
    first = rows(condition, settings(), Log([]), drift([]), NOW)[0]
    assert (first.name, first.ok) == ("Docker", False)


def test_who_is_at_work_and_a_log_that_was_changed_are_told() -> None:
    condition = Condition().process([*OUTPUT, "busy by ada@laptop since noon, process 7"])
    found = rows(condition, settings(), Log([], broken_at=3), drift([]), NOW)
    assert [(row.name, row.text) for row in found[-2:]] == [
        ("At work now", "by ada@laptop since noon, process 7"),
        ("Audit log", "line 3 was changed"),
    ]


_CLOSED = f"closed {int(NOW.timestamp()) - 60}"


@pytest.mark.parametrize(
    ("unfinished", "remedy"),
    [
        (
            ["unfinished upgrade 20261125T115900Z-v0.165.16 swapped i"],
            "`infisical-iac apply` proves",
        ),
        (["unfinished restore 20261125T115900Z data"], "`infisical-iac restore --undo`"),
        (["unfinished scale 20261125T115900Z in switched"], "with --undo goes back"),
        ([], "`infisical-iac apply` opens it"),
    ],
)
def test_a_closed_edge_is_told_with_what_opens_it(unfinished: list[str], remedy: str) -> None:
    text, ok = row_of("Edge", Condition().process([*OUTPUT, _CLOSED, *unfinished]))
    assert not ok
    assert text.startswith("answers 503 to everybody since 2026-11-25T11:59:00Z; ")
    assert remedy in text


@pytest.mark.parametrize(("writes", "ok"), [("0", True), ("3", False), ("unknown", False)])
def test_data_that_were_given_up_are_told_until_nobody_needs_them(writes: str, ok: bool) -> None:
    name = "infisical_postgres_given_up_20261125T115900Z"
    line = f"given-up {name} 2026-11-25T11:59:00Z {writes} infisical:v0.166.0 postgres:17"
    text, well = row_of("Given up", Condition().process([*OUTPUT, line]))
    assert (f"in the Docker volume {name}; " in text, well) == (True, ok)


def test_access_that_was_not_seen_is_told_beside_what_was() -> None:
    note, found = (
        "service tokens were not seen",
        Item("*", "identity ci", "the file does not name it"),
    )
    assert access([]) == [Row("Access", "as the file says")]
    assert access([], [note]) == [
        Row("Access", "as the file says, as far as it was seen"),
        Row("Access", note, is_note=True),
    ]
    assert [(row.text, row.ok) for row in access([found], [note])] == [
        ("identity ci: the file does not name it", False),
        (note, True),
    ]
