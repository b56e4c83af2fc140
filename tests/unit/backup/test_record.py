"""Test the comparison of the last recovery kit's record with the files on the host."""

import json
from pathlib import Path

import pytest

from infisical_iac.agent.keys import kit_contents, kit_fingerprints
from infisical_iac.backup import kit_host
from infisical_iac.cluster import swarm
from infisical_iac.core.agent import question
from tests.unit.agent.fake_runner import FakeRunner, answer, docker_answers, docker_container
from tests.unit.backup.kits import FILES, SIGNER, kit

_RECORD = kit_host.record_of(kit(), "0123456789abcdef", SIGNER)


def test_a_rendered_record_can_be_parsed_and_holds_no_secret() -> None:
    assert kit_host.parse_record(kit_host.render_record(_RECORD)) == _RECORD
    assert "fake-" not in kit_host.render_record(_RECORD)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"at": "now"}', '{"unknown": 1}'])
def test_a_malformed_record_counts_as_none(text: str) -> None:
    assert kit_host.parse_record(text) is None


def test_a_host_without_a_kit_is_unhealthy() -> None:
    row = kit_host.describe_record(None, _RECORD.files)
    assert not row.ok
    assert "`infisical-iac recovery-kit --help`" in row.text


def test_a_complete_kit_is_healthy() -> None:
    row = kit_host.describe_record(_RECORD, _RECORD.files)
    assert row.ok
    assert _RECORD.at in row.text
    assert SIGNER in row.text


@pytest.mark.parametrize("path", ["keys/restic_password", "deployer.env", "backup/storage.env"])
def test_changed_and_new_files_are_named(path: str) -> None:
    row = kit_host.describe_record(_RECORD, {**_RECORD.files, path: "another"})
    assert not row.ok
    assert path in row.text


def test_a_changed_encryption_key_is_the_only_file_that_is_named() -> None:
    row = kit_host.describe_record(_RECORD, dict.fromkeys(_RECORD.files, "another"))
    assert not row.ok
    assert [path for path in _RECORD.files if path in row.text] == ["keys/encryption_key"]


def test_a_kit_signed_by_another_key_than_the_setting_is_unhealthy() -> None:
    other = f"SHA256:{'x' * 43}"
    row = kit_host.describe_record(_RECORD, _RECORD.files, other)
    assert not row.ok
    assert all(each in row.text for each in (SIGNER, "'recovery_fingerprint'", other))
    assert kit_host.describe_record(_RECORD, _RECORD.files, SIGNER).ok


def test_a_record_without_the_signing_key_asks_for_a_new_kit() -> None:
    files = {path: each for path, each in _RECORD.files.items() if path != "keys/kit_signing_key"}
    text = json.dumps({"at": _RECORD.at, "kit": _RECORD.kit, "recipients": [], "files": files})
    row = kit_host.describe_record(kit_host.parse_record(text), _RECORD.files)
    assert not row.ok
    assert "keys/kit_signing_key" in row.text


def test_many_changes_are_counted() -> None:
    added = {f"backup/target-{number}.env": "new" for number in range(5)}
    row = kit_host.describe_record(_RECORD, {**_RECORD.files, **added})
    assert [path for path in added if path in row.text] == [*added][:3]
    assert " 2 more" in row.text


def test_a_renewed_service_credential_is_named_and_asks_for_no_kit() -> None:
    path = "credentials/backend.production.env"
    row = kit_host.describe_record(_RECORD, {**_RECORD.files, path: "another"})
    assert row.ok
    assert path in row.text


def test_a_removed_file_asks_for_no_kit() -> None:
    files = {path: each for path, each in _RECORD.files.items() if path != "deployer.env"}
    assert kit_host.describe_record(_RECORD, files).ok


def test_the_host_makes_the_same_fingerprints(tmp_path: Path) -> None:
    host = FakeRunner(tmp_path)
    for path, text in FILES.items():
        host.write(f"/etc/infisical/{path}", text)
    for path in ("keys/encryption_key.new", "keys/notes", "backup/backup.conf"):
        host.write(f"/etc/infisical/{path}", "none of a kit's")
    host.write(kit_host.FILE, kit_host.render_record(_RECORD))
    found = answer(question(kit_fingerprints), host)
    assert found.files == _RECORD.files
    assert kit_host.parse_record(found.record or "") == _RECORD


def test_the_unlock_key_of_a_swarm_is_put_into_a_kit(tmp_path: Path) -> None:
    host = FakeRunner(tmp_path)
    host.write(swarm.KEY_FILE, "SWMKEY-1-obviously-fake\n")
    path = swarm.KEY_FILE.removeprefix("/etc/infisical/")
    assert kit_contents(host).files == {path: "SWMKEY-1-obviously-fake\n"}


def test_a_kit_names_the_running_infisical_and_its_migrations(tmp_path: Path) -> None:
    names = ("infisical", "postgres")
    containers = [docker_container(name, project="infisical", service=name) for name in names]
    host = FakeRunner(tmp_path, answers={**docker_answers(*containers), "docker exec": "42\n"})
    values = kit_contents(host).values
    assert (values["infisical_id"], values["migrations"]) == ("sha256:infisical", "42")
    assert values["host"]


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    host = FakeRunner(tmp_path)
    host.write("/etc/infisical/admin.env", "").write_bytes(b"\xff")
    with pytest.raises(RuntimeError) as refused:
        kit_contents(host)
    assert "admin.env" in refused.value.args[0].message
