"""Test the output of `plan` and `apply`: headings, next steps, restarts and the summary."""

from types import SimpleNamespace
from typing import Any, Literal

import pytest

from infisical_iac.cli.deploy import _summarize, find_new_services, next_steps, restarts
from infisical_iac.cli.output import explain_links, show_plan
from infisical_iac.core.change import Change
from infisical_iac.core.journal import Journal, Journals, OperationPlan
from infisical_iac.workspace.access import sentence
from infisical_iac.workspace.load import load
from tests.unit.settings_of import settings_of


def _plan(name: str, *what: str) -> OperationPlan:
    return OperationPlan(name, changes=[Change("+", each) for each in what])


def _print(capsys: pytest.CaptureFixture[str], journals: Journals) -> list[str]:
    show_plan(journals.planned_steps, [Change("!", "sshd", "blocked: a file")], ["credentials"])
    return capsys.readouterr().out.splitlines()


def _of_one_host(changes: int) -> Journals:
    files = [f"file {number}" for number in range(changes - 1)]
    plans = {"1": _plan("Stack | Write files", *files), "2": _plan("Swarm | Nothing")}
    plans["3"] = _plan("Ingress | Open", "edge")
    return Journals({"host": Journal(plans)})


def test_a_plan_that_fills_a_screen_has_a_heading_for_each_step(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = _print(capsys, _of_one_host(31))
    assert lines[:2] == ["Stack | Write files: 30 changes", "+ file 0"]
    assert lines[31:33] == ["Ingress | Open: 1 change", "+ edge"]
    assert [line[0] for line in lines[33:]] == ["!", "?"]


def test_a_short_plan_is_flat(capsys: pytest.CaptureFixture[str]) -> None:
    lines = _print(capsys, _of_one_host(3))
    assert [line[:2] for line in lines] == ["+ ", "+ ", "+ ", "! ", "? "]


def test_a_step_on_several_hosts_is_one_step_of_the_plan() -> None:
    journals = Journals(
        {name: Journal({"1": _plan("Docker | Install", "docker")}) for name in ("a", "b")},
        operations=["1"],
    )
    ((name, items),) = journals.planned_steps
    assert (name, [item.host for item in items]) == ("Docker | Install", ["a", "b"])
    assert journals.planned_changes == items


_HOST = {"ssh_hostname": "203.0.113.7", "ssh_user": "root"}
_FIRST = [Change("+", "administrator admin@example.com")]
_NO_DOMAIN = {"site_url": "http://127.0.0.1:8080", "ingress": "none"}


def test_next_steps_name_the_address_the_password_the_kit_and_a_second_place() -> None:
    steps = next_steps(settings_of(), _HOST, _FIRST)
    for fact in ("https://secrets.example.com", "admin@example.com", "/etc/infisical/admin.env"):
        assert fact in steps
    assert "infisical-iac recovery-kit" in steps
    assert "--output ../kit.txt" in steps
    assert "init --backup" in steps
    assert "ssh -N -L" not in steps


@pytest.mark.parametrize(
    ("data", "end"),
    [
        ({}, " root@203.0.113.7`"),
        (
            {"ssh_user": "ops", "ssh_port": 2222, "ssh_key": "/home/me/my keys/id"},
            " -i '/home/me/my keys/id' -p 2222 ops@203.0.113.7`",
        ),
        (
            {"ssh_known_hosts_file": "/repo/known_hosts"},
            " -o UserKnownHostsFile=/repo/known_hosts root@203.0.113.7`",
        ),
    ],
)
def test_next_steps_have_the_whole_command_of_the_tunnel_without_a_domain(
    data: dict[str, Any], end: str
) -> None:
    steps = next_steps(settings_of(**_NO_DOMAIN), {**_HOST, **data}, _FIRST)
    assert f"`ssh -N -L 8080:127.0.0.1:8080{end}" in steps


@pytest.mark.parametrize(
    ("change", "is_first"),
    [
        (Change("+", "administrator admin@example.com"), True),
        (Change("+", "/etc/infisical/admin.env"), True),
        (Change("~", "/etc/infisical/admin.env", "mode"), False),
        (Change("+", "folder /a in qa"), False),
    ],
)
def test_next_steps_name_the_login_only_after_a_run_that_made_the_administrator(
    change: Change, is_first: bool
) -> None:
    steps = next_steps(settings_of(**_NO_DOMAIN), _HOST, [change])
    assert ("admin.env" in steps, "ssh -N -L" in steps) == (is_first, is_first)
    assert "infisical-iac recovery-kit" in steps


def test_next_steps_name_no_second_place_if_a_backup_target_is_remote() -> None:
    remote = {"name": "far", "repository": "s3:https://s3.example.com/bucket"}
    steps = next_steps(settings_of(backup_targets=(remote,)), _HOST, _FIRST)
    assert "init --backup" not in steps


_WORKSPACE = load(
    "project: {name: Acme, slug: acme-x}\n"
    "environments: [{slug: qa, name: QA}, {slug: production, name: Production}]\n"
    "services: {web: {folder: /web}, api: {folder: /api, renamed_from: backend}}\n"
)


def _made(kind: Literal["+", "~"], *what: str) -> list[Change]:
    return [Change(kind, each) for each in what]


@pytest.mark.parametrize(
    ("made", "names"),
    [
        (_made("+", "identity web-qa", "identity web-production"), ["web"]),
        (_made("+", "credentials web.qa", "credentials web.production"), ["web"]),
        # Only an environment was added.
        (_made("+", "identity web-qa", "identity api-qa"), []),
        (_made("~", "identity backend-qa"), ["api"]),
        (_made("~", "identity web-qa"), []),
        ([], []),
    ],
)
def test_services_to_correct_are_those_that_a_run_added_or_renamed(
    made: list[Change], names: list[str]
) -> None:
    assert find_new_services(_WORKSPACE, made) == names


def test_next_steps_name_the_check_that_writes_the_files_of_new_services() -> None:
    steps = next_steps(settings_of(), _HOST, [], ["web"], has_kit=True)
    assert "infisical-iac check REPO --fix" in steps
    assert "web" in steps
    assert "recovery-kit" not in steps
    assert next_steps(settings_of(), _HOST, [], has_kit=True) == ""


def test_a_plan_names_the_containers_that_restart_and_the_length_of_the_outage() -> None:
    changed = [Change("~", "container infisical", "is paused"), Change("~", "/etc/infisical/.env")]
    (note,) = restarts([*changed, Change("+", "container redis")])
    assert "infisical" in note
    assert "redis" not in note
    assert "a minute" in note


@pytest.mark.parametrize(
    ("what", "detail"),
    [("Infisical", "v0.165.16 → v0.166.2"), ("PostgreSQL", "16 → 17, by dump and restore")],
)
def test_a_change_of_version_takes_longer_than_a_restart(what: str, detail: str) -> None:
    """Infisical is down while the data are dumped and loaded, which takes longer with more data."""
    restart = Change("~", "container infisical", "its part of compose.yaml changes")
    note, outage = restarts([Change("~", what, detail), restart])
    assert note.endswith(" infisical")
    assert "dump" in outage
    assert "log in" in outage


def test_a_change_of_version_on_a_cluster_has_no_outage_for_a_dump() -> None:
    changes = [Change("~", "Infisical", "v0.165.16 → v0.166.2"), Change("~", "service infisical")]
    (note,) = restarts(changes)
    assert "dump" not in note


def test_a_plan_of_a_cluster_names_the_services_that_change_and_whether_writes_pause() -> None:
    (note,) = restarts(
        [Change("~", "service infisical", "another image"), Change("-", "service old")]
    )
    assert "infisical" in note
    assert "old" not in note
    assert "pause" not in note
    (note,) = restarts([Change("~", "service postgres-1", "another image")])
    assert "pause" in note


def test_a_restart_of_an_exporter_prevents_no_logins() -> None:
    (note,) = restarts([Change("~", "container exporter", "is exited")])
    assert "log in" not in note
    assert restarts([Change("+", "container infisical")]) == []


def test_the_summary_names_differences_from_the_plan(
    capsys: pytest.CaptureFixture[str],
) -> None:
    planned = [Change("+", "package cron"), Change("~", "docker.service", "enabled")]
    made = [*planned, Change("~", "/etc/cron.d", "mode 755 → 700")]
    for changes, total, facts in (
        (planned, 2, []),
        (made, 3, ["not in the plan (/etc/cron.d): "]),
        (planned[:1], 1, ["no longer needed (docker.service): "]),
        (
            made[1:],
            2,
            ["not in the plan (/etc/cron.d): ", "no longer needed (package cron): "],
        ),
    ):
        step: Any = SimpleNamespace(name="Base | Install", changes=changes, seconds=1.0)
        _summarize([step], 1.0, planned)
        printed = capsys.readouterr()
        assert printed.out.splitlines()[-1].startswith(f"{total} change")
        notes = printed.err.splitlines()
        assert len(notes) == len(facts)
        for note, fact in zip(notes, facts, strict=True):
            assert fact in note
            # The line shows a person whether to act.
            assert "nothing to do" in note


def test_a_printed_invitation_link_says_that_it_is_shown_once() -> None:
    one, other = (sentence(f"{name}@example.com", "https://fake/a") for name in ("ada", "ben"))
    assert "ada@example.com`" in explain_links(["a note", one])
    assert "workspace invite EMAIL`" in explain_links([one, other])
    assert explain_links(["a note"]) == ""
