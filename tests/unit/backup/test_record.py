"""Test the comparison of the last recovery kit's record with the files on the host."""

import base64
import json
import subprocess
from pathlib import Path

import pytest

from infisical_iac.backup import kit_host
from infisical_iac.cluster import swarm
from infisical_iac.core.rendering import script_file
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
    for path, text in FILES.items():
        file = tmp_path / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    for path in ("keys/encryption_key.new", "keys/notes", "backup/backup.conf"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text("none of a kit's")
    output = dict(line.removeprefix("file ").split() for line in _run(tmp_path, "fingerprints"))
    assert output == _RECORD.files


def test_the_unlock_key_of_a_swarm_is_put_into_a_kit(tmp_path: Path) -> None:
    path = swarm.KEY_FILE.removeprefix("/etc/infisical/")
    (tmp_path / "keys").mkdir()
    (tmp_path / path).write_text("SWMKEY-1-obviously-fake\n")
    [line] = [line for line in _run(tmp_path, "contents") if line.startswith("file ")]
    assert line.split()[:2] == ["file", path]
    assert base64.b64decode(line.split()[2]).decode() == "SWMKEY-1-obviously-fake\n"


def _run(root: Path, step: str) -> list[str]:
    """Return the lines that recovery.sh prints of a host whose /etc/infisical is `root`."""
    text = script_file("recovery").replace("root=/etc/infisical", f"root='{root}'")
    done = subprocess.run(
        ["sh", "-c", text, "recovery.sh", step], check=True, capture_output=True, text=True
    )
    return done.stdout.splitlines()
