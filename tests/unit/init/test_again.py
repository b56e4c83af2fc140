"""Test that a second `infisical-iac init` in a repository adds and corrects, and loses nothing."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from infisical_iac.init.repository import read_settings
from infisical_iac.workspace import local_file
from infisical_iac.workspace.load import load
from infisical_iac.workspace.model import Workspace
from tests.unit.init.own import NEEDED, check, make_repository, read_all, run_init

# The numbers of the menu.
_SERVICE, _ENVIRONMENT, _PERSON, _CORRECT, _PIPELINE, _END = "123456"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Return a repository that `init` wrote, with comments that a person added."""
    directory = make_repository(tmp_path)
    check(run_init(directory, *NEEDED, "--domain", "secrets.exmaple.com", "--yes"))
    for name, comment in (
        ("acme-shop.yaml", "# by hand\n"),
        ("hetzner.py", "start_timeout = 600\n"),
    ):
        file = directory / "group_data" / name
        file.write_text(file.read_text() + comment)
    return directory


def _load(own: Path) -> Workspace:
    text = (own / "group_data" / "acme-shop.yaml").read_text()
    assert text.endswith("# by hand\n")
    return load(text)


def _values(own: Path) -> dict[str, object]:
    return read_settings((own / "group_data" / "hetzner.py").read_text())


def test_a_menu_adds_a_service_an_environment_and_a_person(own: Path) -> None:
    service = (_SERVICE, "docs=../docs", "y")
    environment = (_ENVIRONMENT, "qa=Quality", "y")
    person = (_PERSON, "zoe@example.com", "developer", "y")
    ran = check(run_init(own, typed=(*service, *environment, *person, _END)))
    declared = _load(own)
    assert declared.services["docs"].folder == "/docs"
    assert declared.environments[-1].name == "Quality"
    assert declared.people == {"zoe@example.com": "developer"}
    written = [line for line in ran.output.splitlines() if line.startswith("Wrote ")]
    assert ["acme-shop.yaml" in line for line in written].count(True) == 3
    known = local_file.parse((own.parent / "docs" / ".infisical.json").read_text())
    assert known == local_file.LocalFile("", "https://secrets.exmaple.com", "/docs")


def test_an_unchanged_local_file_is_not_said_to_be_written(own: Path) -> None:
    file = own.parent / "docs" / ".infisical.json"
    text = {"workspaceId": "fake-id", "domain": "https://secrets.exmaple.com"}
    file.write_text(json.dumps({**text, "defaultSecretPath": "/docs"}, indent=2) + "\n")
    before = file.stat().st_mtime_ns
    ran = check(run_init(own, typed=(_SERVICE, "docs=../docs", "y", _END)))
    (written,) = [line for line in ran.output.splitlines() if line.startswith("Wrote ")]
    assert (str(file) in written, file.stat().st_mtime_ns) == (False, before)
    (kept,) = [line for line in ran.output.splitlines() if "docs/.infisical.json stays" in line]
    assert "https://secrets.exmaple.com" in kept


def test_bad_answers_of_the_menu_are_asked_again(own: Path) -> None:
    service = (_SERVICE, "Docs", "docs=../none", "backend", "n")
    person = (_PERSON, "zoe", "zoe@example.com", "boss", "viewer", "perhaps", "n")
    typed = ("0", "six", *service[:-1], *person, _ENVIRONMENT, "QA", "staging", _CORRECT, "name")
    ran = check(run_init(own, typed=(*typed, "email", "nobody", "ada@example.com", _END)))
    refused = re.findall(r"Error: (.*)", ran.output)
    facts = (
        *("'0'", "'six'", "'Docs'", "'../none'", "'backend'", "'zoe'", "'boss'"),
        *("invalid input", "'QA'", "'staging'", "'name'", "'nobody'"),
    )
    for fact, sentence in zip(facts, refused, strict=True):
        assert fact in sentence
    assert (_load(own).people, "zoe" in str(read_all(own))) == ({}, False)


def test_options_add_without_a_question(own: Path) -> None:
    before = read_all(own)
    additions = ("--add-service", "docs=../docs", "--add-service", "cron")
    people = ("--add-person", "zoe@example.com=viewer", "--add-environment", "qa")
    ran = check(run_init(own, *additions, *people, "--yes"))
    declared = _load(own)
    assert [*declared.services] == ["backend", "frontend", "docs", "cron"]
    assert [each.slug for each in declared.environments][-1] == "qa"
    after = read_all(own)
    assert {path for path in after if after[path] != before.get(path)} == {
        "group_data/acme-shop.yaml"
    }
    assert "+  cron:" in ran.output


def test_a_refused_addition_changes_nothing(own: Path) -> None:
    before = read_all(own)
    for option, value in (
        ("--add-service", "backend"),
        ("--add-environment", "staging"),
        ("--add-service", "docs=../none"),
    ):
        ran = run_init(own, option, value, "--yes")
        assert (ran.exit_code, ran.output.startswith("Error: ")) == (1, True)
    assert read_all(own) == before


def test_the_menu_sets_the_pipeline_up(own: Path) -> None:
    subprocess.run(["git", "init", "--quiet", str(own)], check=True)
    address = "git@github.com:acme/infisical.git"
    subprocess.run(["git", "-C", str(own), "remote", "add", "origin", address], check=True)
    check(run_init(own, typed=(_PIPELINE, "gitea", "", "y", _END)))
    assert [*_load(own).ci] == ["check", "plan", "drift"]


def test_answering_no_writes_nothing(own: Path) -> None:
    before = read_all(own)
    check(run_init(own, "--add-environment", "qa", typed=("n",)))
    check(run_init(own, typed=(_PERSON, "zoe@example.com", "", "n", _END)))
    assert read_all(own) == before


def test_a_typing_error_is_corrected_in_its_place(own: Path) -> None:
    before = (own / "group_data" / "hetzner.py").read_text()
    ran = check(run_init(own, typed=(_CORRECT, "domain", "secrets.example.com", "y", _END)))
    after = (own / "group_data" / "hetzner.py").read_text()
    assert after == before.replace("exmaple", "example")
    assert '-site_url = "https://secrets.exmaple.com"' in ran.output


def test_an_option_corrects_an_answer_after_a_confirmation(own: Path) -> None:
    check(run_init(own, "--email", "bob@example.com", "--domain", "none", typed=("y",)))
    values = _values(own)
    assert (values["admin_email"], values["start_timeout"]) == ("bob@example.com", 600)
    assert (values["ingress"], "site_url" in values) == ("none", False)
    check(run_init(own, "--domain", "secrets.example.com", typed=("y",)))
    assert (_values(own)["site_url"], "ingress" in _values(own)) == (
        "https://secrets.example.com",
        False,
    )


def test_a_corrected_domain_changes_the_authority_of_its_certificate(own: Path) -> None:
    check(run_init(own, "--domain", "secrets.acme.internal", typed=("y",)))
    assert _values(own)["acme_ca"] == "internal"
    check(run_init(own, "--domain", "secrets.example.com", typed=("y",)))
    assert "acme_ca" not in _values(own)


@pytest.mark.parametrize(
    "setting", ['ingress = "none"', 'tls_certificate = "a.pem"', 'acme_ca = "https://ca.acme.lan/"']
)
def test_a_corrected_domain_keeps_a_certificate_of_ones_own(own: Path, setting: str) -> None:
    file = own / "group_data" / "hetzner.py"
    file.write_text(f"{file.read_text()}{setting}\n")
    before = _values(own)
    check(run_init(own, "--domain", "secrets.acme.internal", typed=("y",)))
    assert _values(own) == {**before, "site_url": "https://secrets.acme.internal"}


def test_yes_refuses_to_correct_existing_settings(own: Path) -> None:
    before = read_all(own)
    ran = run_init(own, "--domain", "secrets.example.com", "--yes")
    assert ran.exit_code == 1
    assert re.match(r"Error: group_data/hetzner\.py .*site_url.*--force", ran.output)
    assert read_all(own) == before


def test_a_corrected_host_port_or_user_is_tested_and_written(own: Path) -> None:
    host = (_CORRECT, "host", "198.51.100.1", "y", "y")
    port = (_CORRECT, "ssh-port", "2222", "y", "y")
    user = (_CORRECT, "ssh-user", "deploy", "y", "y")
    ran = check(run_init(own, typed=(*host, *port, *user, _END)))
    values = _values(own)
    assert (values["ssh_hostname"], values["ssh_port"], values["ssh_user"]) == (
        "198.51.100.1",
        2222,
        "deploy",
    )
    assert ran.output.count("Testing 198.51.100.1") == 3


def test_a_second_backup_target_is_added_next_to_the_default(own: Path) -> None:
    place = "s3:https://fsn1.example.com/bucket"
    check(run_init(own, typed=(_CORRECT, "backup", "/backups", place, "y", _END)))
    check(run_init(own, "--backup", f"{place}2", typed=("y",)))
    targets = _values(own)["backup_targets"]
    assert isinstance(targets, tuple)
    assert [each["repository"] for each in targets] == ["/var/backups/infisical", f"{place}2"]


def test_the_same_answers_again_change_nothing(own: Path) -> None:
    before = read_all(own)
    options = (
        "--domain",
        "secrets.exmaple.com",
        "--environments",
        "development staging production",
    )
    for yes in (("--yes",), ()):
        ran = check(run_init(own, *NEEDED, *options, "--project", "Acme Shop", *yes))
        assert "Wrote" not in ran.output
        assert "Nothing to change" in ran.output
    check(run_init(own, "--yes"))
    assert read_all(own) == before


@pytest.mark.parametrize(
    ("option", "value", "fact"),
    [("--environments", "dev", "--add-environment"), ("--project", "Other", "'Acme Shop'")],
)
def test_another_project_or_other_environments_are_refused(
    own: Path, option: str, value: str, fact: str
) -> None:
    ran = run_init(own, option, value, "--yes")
    assert (ran.exit_code, fact in ran.output) == (1, True)


def test_the_menu_without_input_names_the_options(own: Path) -> None:
    ran = run_init(own)
    assert ran.exit_code == 1
    for option in ("--add-service", "--add-environment", "--add-person"):
        assert option in ran.stderr


def test_force_overwrites_and_shows_what_is_lost(own: Path) -> None:
    (own / "group_data" / "hetzner.py").write_text(
        'backup_webhook = "https://h.example/obviously-fake"\n'
        'registry_login = {\n    "password": "obviously-fake",\n}\n'
    )
    ran = check(run_init(own, *NEEDED, "--force", "--yes"))
    assert "start_timeout" not in _values(own)
    assert "backup_webhook" in ran.output
    assert "obviously-fake" not in ran.output


def test_a_deleted_file_is_not_created_again(own: Path) -> None:
    (own / ".gitlab-ci.yml").unlink()
    check(run_init(own, "--add-environment", "qa", "--yes"))
    assert not (own / ".gitlab-ci.yml").exists()


def test_an_edited_project_file_is_kept_if_the_settings_are_missing(own: Path) -> None:
    (own / "group_data" / "hetzner.py").unlink()
    ran = check(run_init(own, *NEEDED, "--yes", "--add-person", "zoe@example.com=none"))
    assert _load(own).people == {"zoe@example.com": "none"}
    assert _values(own)["workspace_file"] == "group_data/acme-shop.yaml"
    assert "+people:" in ran.output
