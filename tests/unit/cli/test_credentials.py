"""Test the commands for credentials: what they print, write, deliver and record."""

import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from infisical_iac.cli import credentials as commands
from infisical_iac.cli.credentials import Delivery, open_delivery
from infisical_iac.cli.main import main as program
from infisical_iac.core.errors import FileError, UserError
from infisical_iac.migrate import cleaning
from infisical_iac.workspace.credential_file import Replaced, parse, render
from infisical_iac.workspace.credentials import Holder, Step, overview
from tests.unit.cli.credential_host import (
    NOW,
    TARGET,
    CredentialHost,
    FakeCourier,
    client_secret,
)
from tests.unit.held import ACCOUNT, DELIVERED, HELD

_NO_SECRETS = "- client secrets of web.qa: 2"
_FOREIGN = "OTHER=obviously-fake\n"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CredentialHost:
    return CredentialHost(tmp_path / "credentials", monkeypatch)


@click.command
@commands.overlap_option
def _overlap(overlap: timedelta) -> None:
    click.echo(overlap.total_seconds())


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ([], 86_400),
        (["--overlap", "0"], 0),
        (["--overlap", "90m"], 5_400),
        (["--overlap", "24h"], 86_400),
        (["--overlap", "7d"], 604_800),
        (["--overlap", "9999d"], 863_913_600),
    ],
)
def test_an_overlap_is_given_in_minutes_hours_or_days(given: list[str], seconds: float) -> None:
    assert float(CliRunner().invoke(_overlap, given).stdout) == seconds


@pytest.mark.parametrize("given", ["", "soon", "-1h", "1w", "1", "00", "10000m", "1h30m", " 1h"])
def test_a_malformed_overlap_is_refused(given: str) -> None:
    refused = CliRunner().invoke(program, ["credentials", "rotate", "backend", "--overlap", given])
    assert refused.exit_code == 1
    assert repr(given) in refused.stderr


def test_the_options_name_the_project_and_the_place_of_its_credentials(
    host: CredentialHost, tmp_path: Path
) -> None:
    file = tmp_path / "project.yaml"
    host.run("list", "-i", "inventory/acme.py", "--project-file", str(file))
    assert host.opened == [("inventory/acme.py", file, False)]


def test_the_former_name_of_the_project_files_option_works_and_warns(host: CredentialHost) -> None:
    ran = host.run("list", "--file", "former.yaml")
    assert [file for _, file, _ in host.opened] == [Path("former.yaml")]
    assert re.search(r"--file\b.*--project-file\b", ran.stderr)
    assert "--file " not in host.run("list", "--help").output
    assert host.run("list", "--project-file", "new.yaml").stderr == ""


@pytest.mark.parametrize(
    ("arguments", "locks"),
    [
        (("list",), False),
        (("show", "web", "--env", "qa"), False),
        (("push", "--to", "json", "--env", "qa"), False),
        (("push", "backend"), True),
        (("rotate", "web", "--env", "qa"), True),
        (("revoke", "web", "--env", "qa", "--yes"), True),
    ],
)
def test_commands_that_change_something_take_the_lock(
    host: CredentialHost, arguments: tuple[str, ...], locks: bool
) -> None:
    host.run(*arguments)
    assert [each[2] for each in host.opened] == [locks]


# What `credentials list` prints.


def test_list_prints_a_row_for_each_service_in_each_environment(host: CredentialHost) -> None:
    host.rotate("web", "qa")
    shown = host.run("list")
    assert shown.exit_code == 0
    heading, *rows = (re.split(r" {2,}", line.strip()) for line in shown.stdout.splitlines())
    assert heading == ["Credentials", "Made", "Last used", "Uses", "Ends", "File", "Others"]
    assert [(row[0], row[-2]) for row in rows] == [
        ("backend.qa", "missing"),
        ("backend.production", "missing"),
        ("web.qa", "works"),
        ("web.production", "missing"),
    ]
    assert host.read_credential("web.qa").client_secret not in shown.output
    assert host.audited == []


def test_list_prints_the_same_as_json(host: CredentialHost) -> None:
    host.rotate("web", "qa")
    shown = json.loads(host.run("list", "--json").stdout)
    assert shown["notes"] == []
    assert [
        (each["service"], each["environment"], each["file"]) for each in shown["credentials"]
    ] == [
        ("backend", "qa", "missing"),
        ("backend", "production", "missing"),
        ("web", "qa", "works"),
        ("web", "production", "missing"),
    ]


def test_list_notes_an_unfinished_rotation(host: CredentialHost) -> None:
    _interrupt_rotation(host)
    command = "`infisical-iac credentials push backend --env production`"
    assert command in host.run("list").stderr
    (note,) = json.loads(host.run("list", "--json").stdout)["notes"]
    assert command in note


def test_list_at_a_url_does_not_need_the_files(host: CredentialHost) -> None:
    shown = json.loads(host.run("list", "--json", has_files=False).stdout)
    assert {each["file"] for each in shown["credentials"]} == {"unknown"}


def _cells(step: Step) -> tuple[object, ...]:
    return commands._cells(overview(step, has_file=step.held is not None, now=NOW), NOW)


def test_a_row_of_credentials_that_were_never_made_or_used_says_never() -> None:
    nobody = Step(ACCOUNT, None, creates=True)
    assert _cells(nobody) == (
        *("backend.production", "never", "never", 0, "never", "missing", "none"),
    )
    unused = Step(
        ACCOUNT, Holder("id", "client-1", [client_secret("secret-1")]), creates=False, held=HELD
    )
    assert _cells(unused) == (
        *("backend.production", "3 days ago", "never", 0, "never", "works", "none"),
    )


def test_a_row_shows_age_last_use_uses_end_and_other_client_secrets() -> None:
    used = client_secret("secret-1", uses=12, ttl=10 * 86_400)
    secrets = [
        replace(used, changed=NOW - timedelta(hours=2)),
        *(client_secret(each) for each in ("secret-2", "secret-3")),
    ]
    step = Step(ACCOUNT, Holder("id", "client-1", secrets), creates=False, held=HELD)
    assert _cells(step) == (
        *("backend.production", "3 days ago", "2 hours ago", 12, "2026-12-02", "works", "2"),
    )
    kept = replace(HELD, replaced=Replaced(("secret-2", "secret-3"), NOW + timedelta(hours=1)))
    assert _cells(replace(step, held=kept))[-1] == "2, until 2026-11-25 13:00 UTC"


def test_the_end_of_an_overlap_is_shown_only_with_the_client_secrets_that_it_ends() -> None:
    kept = replace(HELD, replaced=Replaced(("secret-2",), NOW + timedelta(hours=1)))
    revoked = Step(
        ACCOUNT, Holder("id", "client-1", [client_secret("secret-1")]), creates=False, held=kept
    )
    assert _cells(revoked)[-1] == "none"


# Whether credentials may be shown.


def test_credentials_of_production_are_shown_with_yes_only(tmp_path: Path) -> None:
    for into, slug in product((None, tmp_path / ".env.local"), ("production", "prod", "live")):
        with pytest.raises(UserError, match=rf"backend\.{slug}.*--yes"):
            commands.check_disclosure(f"backend.{slug}", slug, yes=False, into=into)
    commands.check_disclosure("backend.production", "production", yes=True)
    commands.check_disclosure("backend.qa", "qa", yes=False)


@pytest.mark.parametrize(
    ("mode", "warns"),
    [(0o600, False), (0o700, False), (0o640, True), (0o620, True), (0o604, True), (0o601, True)],
)
def test_output_into_a_file_that_others_can_read_gets_a_warning(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    mode: int,
    warns: bool,
) -> None:
    file = tmp_path / "output"
    file.touch()
    file.chmod(mode)
    with file.open("w") as output:
        monkeypatch.setattr("sys.stdout", output)
        commands.check_disclosure("backend.qa", "qa", yes=False)
        said = capsys.readouterr().err
        assert ("--output" in said, "others" in said) == (warns, warns)
        commands.check_disclosure("backend.qa", "qa", yes=False, into=tmp_path / ".env.local")
        assert capsys.readouterr().err == ""


def test_output_into_a_pipe_or_a_device_gets_no_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The mode of a pipe or a device does not show who reads the output."""
    with Path("/dev/null").open("w") as output:
        monkeypatch.setattr("sys.stdout", output)
        commands.check_disclosure("backend.qa", "qa", yes=False)
    assert capsys.readouterr().err == ""


# What `credentials show` prints and writes.


def test_show_prints_the_file_without_the_lines_of_a_rotation(host: CredentialHost) -> None:
    host.rotate("web", "qa")
    host.rotate("web", "qa")
    held = host.read_credential("web.qa")
    assert held.replaced is not None
    shown = host.run("show", "web", "--env", "qa")
    assert (shown.exit_code, shown.stdout) == (0, render(held.without_rotation))
    assert host.audited == [("credentials", ["shown: web.qa"])]


def test_show_writes_and_replaces_a_file_that_only_its_owner_can_read(
    host: CredentialHost, tmp_path: Path
) -> None:
    host.rotate("web", "production")
    file = tmp_path / ".env.local"
    for _ in range(2):
        shown = host.run("show", "web", "--env", "production", "--yes", "--output", str(file))
        assert (shown.exit_code, shown.stdout) == (0, "")
        assert shown.stderr.startswith(f"Wrote {file}, ")
    assert parse(file.read_text()) == host.read_credential("web.production")
    assert file.stat().st_mode & 0o777 == 0o600
    assert host.audited == [("credentials", ["shown: web.production"])] * 2


def test_show_fills_in_a_copy_of_the_sample_and_replaces_no_other_file(
    host: CredentialHost, tmp_path: Path
) -> None:
    host.rotate("web", "qa")
    file = tmp_path / ".env.local"
    cleaning.write(file)
    assert host.run("show", "web", "--env", "qa", "--output", str(file)).exit_code == 0
    assert parse(file.read_text()) == host.read_credential("web.qa")
    file.write_text("INFISICAL_CLIENT_ID=\nDATABASE_URL=obviously-fake\n")
    assert str(file) in str(host.refusal("show", "web", "--env", "qa", "--output", str(file)))


def test_show_names_the_line_that_keeps_the_own_values_of_a_file(
    host: CredentialHost, tmp_path: Path
) -> None:
    host.rotate("web", "qa")
    file = tmp_path / ".env.local"
    file.write_text("DATABASE_URL=obviously-fake\n")
    given = ("show", "web", "--env", "qa", "--output", str(file))
    assert "`# overrides`" in str(host.refusal(*given))
    file.write_text(f"# overrides\n{file.read_text()}")
    assert host.run(*given).exit_code == 0
    assert file.read_text().endswith("\n# overrides\nDATABASE_URL=obviously-fake\n")


def test_show_of_production_without_yes_is_refused_and_not_recorded(host: CredentialHost) -> None:
    host.rotate("web", "production")
    assert "--yes" in str(host.refusal("show", "web", "--env", "production"))
    assert host.audited == []


def _write_foreign(file: Path) -> None:
    file.write_text(_FOREIGN)


def _link_to_itself(file: Path) -> None:
    file.symlink_to(file)


def _identity(file: Path) -> tuple[int, int, int, int]:
    """Inode, mode, size and change time (ns); the access time moves when a link is followed."""
    found = os.lstat(file)
    return found.st_ino, found.st_mode, found.st_size, found.st_ctime_ns


@pytest.mark.parametrize("make", [_write_foreign, _link_to_itself])
def test_show_refuses_a_file_that_holds_something_else_before_it_connects(
    host: CredentialHost, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    file = tmp_path / ".env.local"
    make(file)
    before = _identity(file)
    refused = host.refusal("show", "web", "--env", "qa", "--output", str(file))
    assert (refused.code, str(file) in str(refused)) == ("file", True)
    assert (_identity(file), host.opened) == (before, [])


def test_show_replaces_an_empty_file(host: CredentialHost, tmp_path: Path) -> None:
    host.rotate("web", "qa")
    file = tmp_path / ".env.local"
    file.touch()
    assert host.run("show", "web", "--env", "qa", "--output", str(file)).exit_code == 0
    assert parse(file.read_text()) == host.read_credential("web.qa")


def test_show_names_a_file_that_it_can_not_write(host: CredentialHost, tmp_path: Path) -> None:
    host.rotate("web", "qa")
    file = tmp_path / "missing" / ".env.local"
    refused = host.refusal("show", "web", "--env", "qa", "--output", str(file))
    assert isinstance(refused, FileError)
    assert str(file) in str(refused)


# The delivery to a target.


def _delivery(*, deploys: bool = True) -> tuple[Delivery, FakeCourier, list[str]]:
    reported: list[str] = []
    (account,) = DELIVERED.accounts()
    courier: Any = FakeCourier()
    return Delivery(account, courier, deploys, reported.append), courier, reported


def test_a_target_that_has_the_credentials_is_neither_written_nor_deployed() -> None:
    delivery, courier, reported = _delivery()
    assert delivery.is_due(HELD)
    delivery.deliver(HELD)
    assert courier.calls == ["deliver", "deploy"]
    assert [line.partition(":")[0] for line in reported] == [f"~ {TARGET}", f"~ {TARGET}"]
    assert reported[0] == f"~ {TARGET}: credentials backend.production"
    assert not delivery.is_due(HELD)
    delivery.deliver(HELD)
    assert courier.calls == ["deliver", "deploy", "compare"]
    assert len(reported) == 2


def test_a_delivery_that_was_interrupted_before_its_deploy_deploys() -> None:
    delivery, courier, reported = _delivery()
    courier.there = HELD
    delivery.deliver(replace(HELD, replaced=Replaced(("secret-0",))))
    assert courier.calls == ["compare", "deploy"]
    assert len(reported) == 1


@pytest.mark.parametrize(("asked", "able"), [(False, True), (True, False), (False, False)])
def test_a_target_is_deployed_only_if_requested_and_possible(asked: bool, able: bool) -> None:
    delivery, courier, reported = _delivery(deploys=asked)
    courier.deploys = able
    delivery.deliver(HELD)
    assert courier.calls == ["deliver"]
    assert len(reported) == 1


def test_a_service_without_a_target_has_nothing_to_deliver() -> None:
    delivery = open_delivery(ACCOUNT, deploys=True, report=pytest.fail)
    assert delivery.courier is None
    delivery.check()
    delivery.deliver(HELD)
    assert not delivery.is_due(HELD)


def test_the_key_of_a_target_comes_from_the_environment(host: CredentialHost) -> None:
    (account,) = DELIVERED.accounts()
    delivery = open_delivery(account, deploys=True, report=pytest.fail)
    ((target, environ),) = host.targets
    assert (target, environ is os.environ) == (TARGET, True)
    assert (delivery.account, delivery.deploys) == (account, True)
    delivery.check()
    assert host.courier.calls == ["check"]


# What `credentials push` does.


def _interrupt_rotation(host: CredentialHost) -> str:
    """Leave a rotation of `backend.production` undelivered; return the id of the old secret."""
    host.rotate("backend", "production")
    old = host.read_credential("backend.production")
    host.rotate("backend", "production")
    new = replace(host.read_credential("backend.production"), replaced=Replaced((old.secret_id,)))
    host.file("backend.production").write_text(render(new))
    host.courier.there = new.without_rotation
    host.courier.calls.clear()
    return old.secret_id


def test_push_delivers_credentials_that_differ_and_records_the_change(host: CredentialHost) -> None:
    host.rotate("backend", "production")
    host.courier.there = None
    host.courier.calls.clear()
    pushed = host.run("push")
    change = f"~ {TARGET}: credentials backend.production"
    assert (pushed.exit_code, pushed.stdout) == (0, f"{change}\n")
    assert host.audited == [("rotation", [change])]
    again = host.run("push", "--deploy")
    assert (again.exit_code, again.stdout) == (0, "Nothing to deliver.\n")
    assert host.courier.calls == ["deliver"]
    assert len(host.audited) == 1


def test_push_deploys_the_target_if_requested(host: CredentialHost) -> None:
    host.rotate("backend", "production")
    host.courier.there = None
    host.courier.calls.clear()
    assert host.run("push", "backend", "--environment", "production", "--deploy").exit_code == 0
    assert host.courier.calls == ["deliver", "deploy"]


@pytest.mark.parametrize(
    ("overlap", "remaining"), [("0", 1), ("1h", 2)], ids=["at once", "after an hour"]
)
def test_push_completes_an_interrupted_rotation(
    host: CredentialHost, overlap: str, remaining: int
) -> None:
    _interrupt_rotation(host)
    assert host.run("push", "--overlap", overlap, "--deploy").exit_code == 0
    # The target had the credentials, but perhaps no deploy with them.
    assert host.courier.calls == ["compare", "deploy"]
    assert len(host.list_client_secrets("backend-production")) == remaining
    assert not host.read_credential("backend.production").is_undelivered


def test_push_without_a_target_is_refused(host: CredentialHost) -> None:
    host.rotate("web", "qa")
    assert "`deliver`" in str(host.refusal("push", "web"))
    assert "`deliver`" in str(host.refusal("push", "--env", "qa"))
    assert host.audited == []


def test_push_to_json_prints_the_variables_and_delivers_nothing(host: CredentialHost) -> None:
    host.rotate("backend", "production")
    host.rotate("web", "production")
    host.courier.calls.clear()
    assert "--yes" in str(host.refusal("push", "--to", "json", "--env", "production"))
    assert host.audited == []
    given = host.run("push", "--to", "json", "--env", "production", "--yes")
    names = ["backend.production", "web.production"]
    assert json.loads(given.stdout) == {
        name: {
            "INFISICAL_CLIENT_ID": host.read_credential(name).client_id,
            "INFISICAL_CLIENT_SECRET": host.read_credential(name).client_secret,
            "INFISICAL_ENVIRONMENT": "production",
            "NODE_ENV": "production",
        }
        for name in names
    }
    assert host.audited == [("credentials", [f"shown: {name}" for name in names])]
    assert host.courier.calls == []


# What `credentials rotate` does.


def test_rotate_checks_the_target_first_then_delivers_and_deploys(host: CredentialHost) -> None:
    host.rotate("backend", "production", "--deploy")
    assert host.courier.calls == ["check", "deliver", "deploy"]
    assert host.courier.there == host.read_credential("backend.production").without_rotation


def test_rotate_does_not_deploy_unless_asked(host: CredentialHost) -> None:
    host.rotate("backend", "production")
    assert host.courier.calls == ["check", "deliver"]


def test_rotate_makes_no_client_secret_that_could_not_be_delivered(host: CredentialHost) -> None:
    host.courier.broken = True
    refused = host.refusal("rotate", "backend", "--env", "production")
    assert refused.code == "error.broken"
    assert host.list_client_secrets("backend-production") == []
    assert host.audited == []


def test_rotate_records_its_changes(host: CredentialHost) -> None:
    ran = host.run("rotate", "web", "--environment", "qa")
    assert (ran.exit_code, ran.stdout) == (0, "+ credentials web.qa\n")
    assert host.audited == [("rotation", ["+ credentials web.qa"])]


def test_rotate_ends_the_old_client_secret_after_the_overlap(host: CredentialHost) -> None:
    host.rotate("web", "qa")
    old = host.read_credential("web.qa").secret_id
    host.rotate("web", "qa", "--overlap", "2h")
    replaced = host.read_credential("web.qa").replaced
    assert replaced is not None
    assert replaced.until is not None
    assert replaced.ids == (old,)
    left = replaced.until - datetime.now(replaced.until.tzinfo)
    assert timedelta(hours=1, minutes=59) < left <= timedelta(hours=2)
    host.rotate("web", "qa", "--overlap", "0")
    assert host.list_client_secrets("web-qa") == [host.read_credential("web.qa").secret_id]


def test_rotate_completes_an_interrupted_rotation_with_its_client_secret(
    host: CredentialHost,
) -> None:
    old = _interrupt_rotation(host)
    new = host.read_credential("backend.production").secret_id
    first, *rest = host.rotate("backend", "production").splitlines()
    assert "interrupted" in first
    assert not any(line.startswith("+") for line in rest)
    assert host.list_client_secrets("backend-production") == [old, new]
    assert host.courier.calls == ["check", "compare"]
    assert "interrupted" not in host.rotate("backend", "production")


# What `credentials revoke` does.


@pytest.mark.parametrize("answer", ["yes\n", "web.production\n", "\n"])
def test_revoke_needs_the_typed_name(host: CredentialHost, answer: str) -> None:
    host.rotate("web", "qa")
    refused = host.refusal("revoke", "web", "--env", "qa", answer=answer)
    assert "web.qa" in str(refused)
    assert host.list_client_secrets("web-qa") == [host.read_credential("web.qa").secret_id]
    assert host.audited == []


@pytest.mark.parametrize(("option", "answer"), [((), "web.qa\n"), (("--yes",), "")])
def test_revoke_ends_all_client_secrets_and_removes_the_file(
    host: CredentialHost, option: tuple[str, ...], answer: str
) -> None:
    host.rotate("web", "qa")
    host.rotate("web", "qa")
    ran = host.run("revoke", "web", "--env", "qa", *option, answer=answer)
    assert ran.exit_code == 0
    (done,) = ran.stdout.splitlines()
    assert done.startswith("Revoked 2 client secrets")
    assert "web.qa" in done
    assert ("web.qa" in ran.stderr) is not bool(option)  # the question, on standard error
    assert host.list_client_secrets("web-qa") == []
    assert not host.file("web.qa").exists()
    assert host.audited == [("rotation", [_NO_SECRETS, "- credentials web.qa"])]


def test_revoke_reports_that_the_target_keeps_a_client_secret_that_no_longer_works(
    host: CredentialHost,
) -> None:
    host.rotate("backend", "production")
    ran = host.run("revoke", "backend", "--env", "production", "--yes")
    done, target = ran.stdout.splitlines()
    assert done.startswith("Revoked 1 client secret ")
    assert "backend.production" in done
    assert target.startswith(TARGET)


def test_revoke_removes_a_file_whose_client_secrets_are_gone(host: CredentialHost) -> None:
    host.rotate("web", "qa")
    host.forget("web-qa")
    ran = host.run("revoke", "web", "--env", "qa", "--yes")
    assert ran.stdout.startswith("Revoked 0 client secrets")
    assert "web.qa" in ran.stdout
    assert not host.file("web.qa").exists()


def test_revoke_ends_client_secrets_whose_file_is_gone(host: CredentialHost) -> None:
    host.rotate("web", "qa")
    host.file("web.qa").unlink()
    assert host.run("revoke", "web", "--env", "qa", "--yes").exit_code == 0
    assert host.list_client_secrets("web-qa") == []


def test_revoke_without_credentials_ends_without_a_question(
    host: CredentialHost,
) -> None:
    ran = host.run("revoke", "web", "--env", "qa")
    assert (ran.exit_code, ran.output) == (0, "Nothing to revoke.\n")
    assert host.audited == []
