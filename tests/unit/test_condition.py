"""What `status` says of a host, and whether it calls it well."""

import runpy
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from infisical_iac.auditing import Entry, Log
from infisical_iac.condition import ConditionState, Running, drift, rows
from infisical_iac.facts.condition import Condition
from infisical_iac.settings import Settings, load
from infisical_iac.workspace.credential_file import Credential, render
from infisical_iac.workspace.expiry import Term

_NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
_DAY = 86_400
_HTTPS = {"site_url": "https://secrets.example.com", "ingress": "caddy"}
_OUTPUT = [
    "container infisical infisical/infisical:v0.165.16 running healthy",
    "container postgres postgres:17.11 running healthy",
    "container redis redis:8.2.3 running healthy",
    "disk 20971520 41943040",
    "engine",
    "backups 1795600800 ",
    "drills 1795600800 ",
]


def _settings(**changes: Any) -> Settings:
    module = runpy.run_path("group_data/all.py")
    values = {key: value for key, value in module.items() if not key.startswith("__")}
    return load(values | {"admin_email": "admin@example.com", "ingress": "none"} | changes)


def _row(name: str, condition: ConditionState, **changes: Any) -> tuple[str, bool]:
    found = rows(condition, _settings(**changes), Log([]), drift([]), _NOW)
    (row,) = (each for each in found if each.name == name)
    return row.text, row.ok


@pytest.fixture
def condition() -> ConditionState:
    return Condition().process(_OUTPUT)


def test_a_host_where_all_is_well(condition: ConditionState) -> None:
    assert all(row.ok for row in rows(condition, _settings(), Log([]), drift([]), _NOW))
    assert _row("infisical", condition) == ("infisical/infisical:v0.165.16: healthy", True)
    assert _row("Disk", condition) == ("20.0 of 40.0 GB free", True)


def test_another_version_than_wanted_is_told(condition: ConditionState) -> None:
    text, ok = _row("infisical", condition, infisical_version="v0.166.0")
    assert text == (
        "infisical/infisical:v0.165.16, but infisical/infisical:v0.166.0 is wanted: healthy"
    )
    assert not ok


@pytest.mark.parametrize(("status", "health"), [("exited", "none"), ("running", "unhealthy")])
def test_a_container_that_is_unwell_is_told(
    condition: ConditionState, status: str, health: str
) -> None:
    redis = Running("redis:8.2.3", status, health)
    unwell = replace(condition, containers={**condition.containers, "redis": redis})
    text, ok = _row("redis", unwell)
    assert not ok
    assert text.endswith(health if status == "running" else status)


def test_a_container_that_is_missing_is_told(condition: ConditionState) -> None:
    assert _row("redis", ConditionState()) == ("no container; redis:8.2.3 is wanted", False)


def test_a_full_disk_is_told(condition: ConditionState) -> None:
    text, ok = _row("Disk", replace(condition, disk_free_gb=0.5))
    assert not ok
    assert text == "0.5 of 40.0 GB free: make room before the database stops"


@pytest.mark.parametrize(("days", "ok"), [(60, True), (13, False), (-1, False)])
def test_a_certificate_is_judged_by_its_end(condition: ConditionState, days: int, ok: bool) -> None:
    ends = int(_NOW.timestamp()) + days * _DAY
    seen = replace(condition, certificate_ends=ends)
    text, well = _row("Certificate", seen, **_HTTPS)
    assert well == ok
    assert text.endswith(f"{days} days from now")


def test_a_missing_certificate_is_told_where_one_is_needed(condition: ConditionState) -> None:
    assert _row("Certificate", condition)[1]
    text, ok = _row("Certificate", condition, **_HTTPS)
    assert (text, ok) == ("none is served for https://secrets.example.com", False)
    text, ok = _row("Certificate", condition, site_url="https://secrets.example.com")
    assert text == "none on the host: https://secrets.example.com is served from elsewhere"
    assert ok


@pytest.mark.parametrize(("hours", "ok"), [(3, True), (-1, False)])
def test_caddys_own_authority_certifies_for_hours(
    condition: ConditionState, hours: int, ok: bool
) -> None:
    seen = replace(condition, certificate_ends=int(_NOW.timestamp()) + hours * 3600)
    text, well = _row("Certificate", seen, **_HTTPS, acme_ca="internal")
    assert text.startswith("until 2026-11-25 1")
    assert text.endswith("UTC, renewed by Caddy's own authority")
    assert well == ok


def _entry(outcome: Any, run: str, event: Any = "apply") -> Entry:
    at = "2026-11-25T11:00:00Z"
    return Entry(at, "ada@laptop", event, outcome, run, "abc123", ["+ package curl"])


@pytest.mark.parametrize(
    ("outcome", "end"), [("done", "changed 1"), ("failed", "failed"), ("begun", "has not ended")]
)
def test_the_last_apply_is_told(condition: ConditionState, outcome: str, end: str) -> None:
    log = Log([_entry("done", "1"), _entry(outcome, "2"), _entry("done", "3", "backup")])
    found = rows(condition, _settings(), log, drift([]), _NOW)
    (row,) = (each for each in found if each.name == "Last apply")
    assert row.text == f"2026-11-25T11:00:00Z by ada@laptop, revision abc123: {end}"


def test_pending_drift_is_told_and_is_not_well(condition: ConditionState) -> None:
    pending = [f"+ package {number}" for number in range(5)]
    row = rows(condition, _settings(), Log([]), drift(pending), _NOW)[-1]
    assert not row.ok
    assert row.text == "+ package 0; + package 1; + package 2 and 2 more"


def test_drift_that_cannot_be_told_is_not_well() -> None:
    row = drift([], error="a key is gone")
    assert (row.text, row.ok) == ("can't be told: a key is gone", False)


def test_backups_are_told_as_the_host_recorded_them(condition: ConditionState) -> None:
    assert _row("Last backup", condition) == ("none yet", True)
    recorded = Condition().process(
        [
            'backups 1795600800 {"began": "2026-11-25T02:31:00Z", "ended": "2026-11-25T02:31:07Z", '
            '"failure": "local: no space  left", "bytes": 0, "targets": [ ]}'
        ]
    )
    text, ok = _row("Last backup", recorded)
    assert not ok
    assert text.startswith("failed at 2026-11-25T02:31:07Z: local: no space")
    text, ok = _row("Last backup", replace(condition, backups="{"))
    assert not ok
    assert text.startswith("its record can't be read")


def test_backups_that_are_not_set_up_are_not_well(condition: ConditionState) -> None:
    assert not _row("Last backup", replace(condition, backups_since=None))[1]


def test_drills_are_told_as_the_host_recorded_them(condition: ConditionState) -> None:
    none_yet = ("none yet: `infisical-iac restore --drill` makes one", True)
    assert _row("Last drill", condition) == none_yet
    text, ok = _row("Last drill", replace(condition, drills="{}"))
    assert not ok
    assert text.startswith("its record can't be read: no record of a drill")
    assert not _row("Last drill", replace(condition, drills_since=None))[1]


def test_docker_that_does_not_answer_is_told_in_the_place_of_containers() -> None:
    condition = Condition().process(["disk 20971520 41943040"])
    first = rows(condition, _settings(), Log([]), drift([]), _NOW)[0]
    assert (first.name, first.ok) == ("Docker", False)


def test_who_is_at_work_and_a_log_that_was_changed_are_told() -> None:
    condition = Condition().process([*_OUTPUT, "busy by ada@laptop since noon, process 7"])
    found = rows(condition, _settings(), Log([], broken_at=3), drift([]), _NOW)
    assert [(row.name, row.text) for row in found[-2:]] == [
        ("At work now", "by ada@laptop since noon, process 7"),
        ("Audit log", "line 3 was changed"),
    ]


def test_credentials_that_do_not_end_are_not_spoken_of(condition: ConditionState) -> None:
    names = [each.name for each in rows(condition, _settings(), Log([]), drift([]), _NOW)]
    assert "Credentials" not in names


@pytest.mark.parametrize(
    ("days", "text", "ok"),
    [
        (60, "backend.production ends 2027-01-24, 60 days from now", True),
        (14, "backend.production ends 2026-12-09, 14 days from now: rotate", False),
        (1, "backend.production ends 2026-11-26, 1 day from now: rotate", False),
        (-1, "backend.production has ended on 2026-11-24: rotate", False),
    ],
)
def test_credentials_are_judged_by_their_end(
    condition: ConditionState, days: int, text: str, ok: bool
) -> None:
    term = Term(_NOW - timedelta(days=90), _NOW + timedelta(days=days))
    later = Term(term.begins, term.ends + timedelta(days=200))
    terms = {"backend.staging": later, "backend.production": term}
    told = text.replace(": rotate", ": `infisical-iac credentials rotate`")
    assert _row("Credentials", replace(condition, credentials=terms)) == (told, ok)


def test_a_short_life_is_told_of_in_its_last_quarter(condition: ConditionState) -> None:
    term = Term(_NOW - timedelta(days=5), _NOW + timedelta(days=3))
    assert _row("Credentials", replace(condition, credentials={"a.b": term}))[1]


def test_when_a_target_was_last_saved_in_is_read_from_what_is_known_of_it(tmp_path: Path) -> None:
    (tmp_path / "box").write_text("success 1795600800\nsnapshot ab\nerror no answer\n")
    (tmp_path / "bucket").write_text("error no answer\n")
    shell = Condition().command("", 443, "none")
    shell = shell.replace("/var/lib/infisical-backup/targets", str(tmp_path))
    ran = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, timeout=60)
    assert Condition().process(ran.stdout.splitlines()).saved == {
        "box": datetime(2026, 11, 25, 10, tzinfo=UTC)
    }


def test_the_end_of_credentials_is_read_from_their_file(tmp_path: Path) -> None:
    term = Term(_NOW, _NOW + timedelta(days=90))
    text = render(Credential("production", "client-1", "secret-1", "fake-secret", term))
    (tmp_path / "backend.production.env").write_text(text)
    shell = (
        Condition().command("", 443, "none").replace("/etc/infisical/credentials", str(tmp_path))
    )
    ran = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, timeout=60)
    assert Condition().process(ran.stdout.splitlines()).credentials == {"backend.production": term}
