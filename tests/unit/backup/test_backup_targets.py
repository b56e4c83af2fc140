"""Test the validation of backup targets, and their files of credentials and configuration."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import infisical_iac.backup
from infisical_iac.agent import restic
from infisical_iac.agent.keys import TARGET_LOGIN
from infisical_iac.backup.deploy import configuration, list_leader_credentials, programs
from infisical_iac.backup.kit import check_forms
from infisical_iac.backup.target import (
    KINDS,
    BackupTarget,
    DirectoryKind,
    RestKind,
    S3Kind,
    SftpKind,
    TargetKind,
    refuse_missing,
    render_logins,
)
from infisical_iac.core.errors import SettingsError
from infisical_iac.core.rendering import script_file
from infisical_iac.core.settings import Settings, load
from tests.unit.clusters import site
from tests.unit.settings_of import defaults

_KEY = f"ssh-ed25519 {'A' * 68}"
_LOCAL = {"name": "local", "repository": "/var/backups/infisical"}
_BOX = {
    "name": "box",
    "repository": "sftp:u1@u1.example.com:backups",
    "host_key": _KEY,
    "port": 23,
}
_BUCKET = {"name": "my-bucket", "repository": "s3:https://s3.example.com/bucket/infisical"}
_SERVER = {
    "name": "vault",
    "repository": "rest:https://backups.example.com:8000/infisical",
    "append_only": True,
}
_ID, _SECRET = (
    f"INFISICAL_BACKUP_MY_BUCKET_{part}" for part in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY")
)


def _settings(**changes: Any) -> Settings:
    return load(defaults(**changes))


def _files(**changes: Any) -> dict[str, str]:
    settings = _settings(**changes)
    return {
        each.path.rpartition("/")[2]: each.content
        for each in (*configuration(settings), *programs(settings))
    }


def test_each_target_is_of_the_kind_that_its_address_names() -> None:
    targets = _settings(backup_targets=(_LOCAL, _BOX, _BUCKET, _SERVER)).backup.backup_targets
    assert [each.kind for each in targets] == [DirectoryKind, SftpKind, S3Kind, RestKind]
    assert [each.kind.on_host for each in targets] == [True, False, False, False]
    assert [bool(each.variables) for each in targets] == [False, False, True, True]
    assert {each.kind for each in targets} == {*KINDS}


def test_the_host_reads_the_login_variables_of_all_kinds() -> None:
    """The host reads the variables that the agent names; a kit may have them too."""
    [names] = re.findall(r'(?m)^target_login="([^"]*)"$', script_file("forms"))
    assert names.split() == [*TARGET_LOGIN]
    assert {*TARGET_LOGIN} == {name for kind in KINDS for name in (*kind.login, *kind.more_login)}
    # The script that reads the file ignores names with other characters.
    assert all(re.fullmatch("[A-Z_]+", each) for each in names.split())
    for name in names.split():
        check_forms({"backup/my-bucket.env": f"{name}=obviously-fake\n"}, where="the kit")


@pytest.mark.parametrize("target", [_LOCAL, _BOX, _BUCKET, _SERVER])
def test_the_host_reads_all_variables_of_a_targets_file(target: dict[str, Any]) -> None:
    """The agent ignores variables that it does not name."""
    text = _files(backup_targets=(target,))[f"{target['name']}.conf"]
    assert {line.partition("=")[0] for line in text.splitlines()} <= {*restic.VARIABLES}


# The name of each kind on pages.
_NAMES = {DirectoryKind: "directory", SftpKind: "SFTP", S3Kind: "S3", RestKind: "rest-server"}


@pytest.mark.parametrize(
    "page",
    [
        *("docs/glossary.md", "docs/operate/backup.md", "docs/operate/cluster/README.md"),
        "docs/operate/cluster/data.md",
    ],
)
def test_a_page_with_a_list_of_kinds_names_each(page: str) -> None:
    assert {*_NAMES} == {*KINDS}
    text = Path(page).read_text()
    assert [name for name in _NAMES.values() if name not in text] == []


def test_each_kind_with_a_login_or_a_key_is_in_what_says_where_these_are() -> None:
    secretive = [name for kind, name in _NAMES.items() if kind.login or kind.uses_ssh]
    for text in (str(infisical_iac.backup.__doc__), Path("docs/operate/recovery.md").read_text()):
        assert [name for name in secretive if name not in text] == []


def test_the_settings_name_an_address_of_each_kind() -> None:
    text = Path("docs/reference/settings.md").read_text()
    assert [each for each in KINDS if not each.on_host and f"`{each.example}`" not in text] == []


def test_a_new_kind_is_not_append_only() -> None:
    assert TargetKind.can_be_append_only is False
    assert {each for each in KINDS if each.can_be_append_only} == {S3Kind, RestKind}


def test_each_variable_of_a_login_has_a_name_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    target = BackupTarget(**_BUCKET)
    assert target.variables == (_ID, _SECRET)
    monkeypatch.setattr(S3Kind, "login", ("USERNAME", "AZURE_ACCOUNT_KEY"))
    prefix = "INFISICAL_BACKUP_MY_BUCKET"
    assert target.variables == (f"{prefix}_USERNAME", f"{prefix}_ACCOUNT_KEY")


@pytest.mark.parametrize(
    ("change", "key", "fact"),
    [
        ({"name": "A b"}, ".name", "'A b' must be 1 to 32"),
        ({"name": "backup"}, ".name", "'backup' is taken"),
        ({"repository": "backups"}, ".repository", "'backups' … is not a place"),
        ({"repository": "/etc/x"}, ".repository", "'/etc/x' … other programs use"),
        ({"repository": "/a/../etc"}, ".repository", "'/a/../etc' is not a place"),
        ({"repository": "ftp://x/y"}, ".repository", "'ftp://x/y' is not a place"),
        ({"host_key": _KEY}, "", "'local' … not on SFTP"),
        ({**_BOX, "host_key": ""}, "", "'box' needs a host_key"),
        ({**_BOX, "host_key": f"{_KEY} x\ny"}, "", "'box' needs a host_key"),
        ({**_BOX, "port": 0}, "", "'box' has port 0"),
        ({**_BUCKET, "repository": "s3:bucket"}, ".repository", "'s3:bucket' … is not a place"),
        (
            {**_SERVER, "repository": "rest:http://203.0.113.7/x"},
            ".repository",
            "'rest:http://203.0.113.7/x' is not a place",
        ),
        ({"append_only": True}, "", "'local' can't be append_only"),
        ({**_BOX, "append_only": True}, "", "'box' can't be append_only"),
    ],
)
def test_a_target_that_cannot_work_is_refused_with_its_key_and_value(
    change: dict[str, Any], key: str, fact: str
) -> None:
    with pytest.raises(SettingsError) as refusal:
        _settings(backup_targets=({**_LOCAL, **change},))
    assert str(refusal.value).startswith(f"setting 'backup_targets.0{key}': ")
    assert all(part in str(refusal.value) for part in fact.split(" … "))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("change", "key", "fact"),
    [
        ({"backup_targets": ()}, "backup_targets", "is empty"),
        ({"backup_targets": (_LOCAL, _LOCAL)}, "backup_targets", "2 targets named 'local'"),
        ({"backup_schedule": "daily\n[Service]"}, "backup_schedule", "OnCalendar"),
        ({"drill_schedule": "monthly; reboot"}, "drill_schedule", "'monthly; reboot'"),
        ({"backup_random_delay": 7200}, "backup_random_delay", "7200 is out of range"),
        ({"backup_keep": {}}, "backup_keep", "at least one"),
        ({"backup_keep": {"daily": -1, "weekly": 2}}, "backup_keep", "at least one"),
        ({"backup_keep": {"hourly": 1}}, "backup_keep.hourly", "is unknown"),
        ({"backup_webhook": "hooks.example.com"}, "backup_webhook", "is not an address"),
        ({"backup_webhook": 'https://x.example/"a'}, "backup_webhook", "is not an address"),
    ],
)
def test_a_backup_setting_that_cannot_work_is_refused_with_its_key(
    change: dict[str, Any], key: str, fact: str
) -> None:
    with pytest.raises(SettingsError) as refusal:
        _settings(**change)
    assert str(refusal.value).startswith(f"setting {key!r}: ")
    assert fact in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_webhooks_address_is_in_no_refusal_and_in_no_file_that_is_shown() -> None:
    address = "https://hooks.example.com/obviously-fake-token"
    with pytest.raises(SettingsError) as refusal:
        _settings(backup_webhook=f"{address} ")
    assert address not in str(refusal.value)
    assert address not in "".join(_files(backup_webhook=address).values())


@pytest.mark.parametrize(
    "address",
    [
        "s3:https://anybody:fake-password@s3.example.com/bucket",
        "s3:https://anybody:fake-pass/word@s3.example.com/bucket",
        "s3:https://anybody:fake pass'word@s3.example.com/bucket",
        "s3:https:/anybody:fake-password@s3.example.com/bucket",
        "s3:anybody:fake-password@s3.example.com/bucket",
        "rest:https://fake-password@backups.example.com/infisical",
        "rest:http://anybody:fake-password@127.0.0.1:8000/",
        "sftp:u1:fake-password@u1.example.com:backups",
        "anybody:fake-password@s3.example.com/bucket",
    ],
)
@pytest.mark.parametrize(
    "around", [lambda each: each, lambda each: (each,), lambda each: [each], lambda each: {each: 1}]
)
def test_a_password_in_an_address_is_in_no_refusal(
    address: str, around: Callable[[str], object]
) -> None:
    for change in (
        {"backup_targets": ({**_BUCKET, "repository": around(address)},)},
        {"backup_targets": {**_BUCKET, "repository": around(address)}},
        {"backup_targets": ({**_BUCKET, "name": around(address)},)},
        {"backup_targets": around(address)},
    ):
        with pytest.raises(SettingsError) as refusal:
            _settings(**change)
        assert not re.search(r"fake.?pass|word@", str(refusal.value)), str(refusal.value)


def test_a_refused_address_is_shown_without_its_password() -> None:
    with pytest.raises(SettingsError) as refusal:
        _settings(backup_targets=({**_BUCKET, "repository": "s3:https://a:fake@host/x"},))
    assert "'s3:https://***@host/x'" in str(refusal.value)


def test_the_files_have_the_values_of_the_settings() -> None:
    files = _files(
        backup_targets=(_LOCAL, _BOX, _BUCKET),
        backup_keep={"daily": 3},
        backup_schedule="hourly",
        backup_random_delay=5,
    )
    assert "TARGETS='local box my-bucket'\n" in files["backup.conf"]
    settings = dict(line.split("=", 1) for line in files["backup.conf"].splitlines())
    assert shlex.split(settings["KEEP"])[0].split() == [
        *("--keep-daily", "3"),
        *("--keep-weekly", "0"),
        *("--keep-monthly", "0"),
    ]
    assert "WITH_ENCRYPTION_KEY=false\n" in files["backup.conf"]
    assert files["local.conf"] == "REPOSITORY=/var/backups/infisical\n"
    assert files["known_hosts"] == f"box {_KEY}\n"
    timer = files["infisical-backup.timer"].splitlines()
    assert "OnCalendar=hourly" in timer
    assert "RandomizedDelaySec=5" in timer


def test_the_file_of_an_append_only_target_has_the_variable_append_only() -> None:
    files = _files(backup_targets=(_SERVER, {**_BUCKET, "append_only": True}))
    repository = "rest:https://backups.example.com:8000/infisical"
    assert files["vault.conf"] == f"REPOSITORY={repository}\nAPPEND_ONLY=true\n"
    assert files["my-bucket.conf"].endswith("\nAPPEND_ONLY=true\n")


def test_sftp_accepts_only_the_servers_host_key() -> None:
    ssh = SftpKind.configuration(BackupTarget.model_validate(_BOX))["SSH"]
    assert ssh.split()[-3:] == ["u1@u1.example.com", "-s", "sftp"]
    for part in ("-p 23", "StrictHostKeyChecking=yes", "HostKeyAlias=box", "-F none"):
        assert part in ssh


def test_credentials_for_s3_are_read_from_the_environment() -> None:
    targets = _settings(backup_targets=(_LOCAL, _BUCKET)).backup.backup_targets
    files = render_logins(targets, {_ID: "obviously-fake-id", _SECRET: "obviously/fake+secret"})
    assert files == {
        "/etc/infisical/backup/my-bucket.env": (
            "AWS_ACCESS_KEY_ID=obviously-fake-id\nAWS_SECRET_ACCESS_KEY=obviously/fake+secret\n"
        )
    }
    assert render_logins(targets, {}) == {}
    refuse_missing(targets, files)


def test_credentials_for_a_rest_server_are_read_from_the_environment() -> None:
    targets = _settings(backup_targets=(_SERVER,)).backup.backup_targets
    name, password = (f"INFISICAL_BACKUP_VAULT_REST_{part}" for part in ("USERNAME", "PASSWORD"))
    files = render_logins(targets, {name: "infisical", password: "obviously-fake"})
    assert files == {
        "/etc/infisical/backup/vault.env": (
            "RESTIC_REST_USERNAME=infisical\nRESTIC_REST_PASSWORD=obviously-fake\n"
        )
    }
    with pytest.raises(SettingsError, match=password) as unusable:
        render_logins(targets, {name: "infisical", password: "obviously@fake"})
    assert unusable.value.code == "settings.unusable_credentials"
    with pytest.raises(SettingsError, match=name) as missing:
        refuse_missing(targets, {})
    assert missing.value.code == "settings.no_credentials"


@pytest.mark.parametrize(
    "environment",
    [
        {_ID: "obviously-fake-id"},
        {_SECRET: "obviously-fake-secret"},
        {_ID: "obviously-fake-id", _SECRET: "obviously-fake $(secret)"},
    ],
)
def test_incomplete_or_executable_credentials_are_refused(environment: dict[str, str]) -> None:
    targets = _settings(backup_targets=(_BUCKET,)).backup.backup_targets
    with pytest.raises(SettingsError) as refusal:
        render_logins(targets, environment)
    assert refusal.value.code == "settings.unusable_credentials"
    assert "obviously-fake" not in str(refusal.value)


def test_an_s3_target_without_credentials_is_refused_with_the_variables() -> None:
    targets = _settings(backup_targets=(_LOCAL, _BUCKET)).backup.backup_targets
    with pytest.raises(SettingsError, match=f"'my-bucket' .*{_ID} and {_SECRET} ") as refusal:
        refuse_missing(targets, [])
    assert refusal.value.code == "settings.no_credentials"


def test_a_node_of_a_cluster_knows_its_number_and_the_shared_targets() -> None:
    made = site(backup_targets=(_LOCAL, _BUCKET))
    files = {each.path: each.content for each in configuration(made.settings, made.number)}
    output = files["/etc/infisical/backup/backup.conf"].splitlines()
    assert output[-2:] == ["NODE=1", "SHARED=my-bucket"]
    assert output[:-2] == _files(backup_targets=(_LOCAL, _BUCKET))["backup.conf"].splitlines()


def test_files_that_the_leader_shares_need_not_exist_on_other_nodes() -> None:
    targets = [BackupTarget(**each) for each in (_LOCAL, _BOX, _BUCKET)]
    brought = list_leader_credentials(targets)
    assert brought == {f"/etc/infisical/backup/{file}" for file in ("ssh_key", "my-bucket.env")}
    with pytest.raises(SettingsError):
        refuse_missing(targets, brought - {"/etc/infisical/backup/my-bucket.env"})
    refuse_missing(targets, brought)
