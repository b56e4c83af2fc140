"""Test the wording of messages about backups. Other tests assert codes and facts."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from pyrage.x25519 import Identity

from infisical_iac.agent.backup import TargetSharing, find_own_targets
from infisical_iac.backup import kit_host, restore
from infisical_iac.backup.kit import check_forms, open_sheet, seal, unpack
from infisical_iac.backup.kit_keys import identities, parse_recipient
from infisical_iac.backup.target import BackupTarget
from infisical_iac.cli.main import main
from infisical_iac.cluster import restore as cluster_restore
from infisical_iac.core.errors import FileError, SettingsError
from infisical_iac.core.settings import load
from tests.unit.agent.fake_runner import FakeRunner
from tests.unit.backup.kits import KEY, SIGNER, kit
from tests.unit.backup.records import (
    HERE,
    THERE,
    assess_backups,
    assess_drills,
    backup_record,
    drill_record,
)
from tests.unit.backup.test_recipients import ssh_key
from tests.unit.settings_of import defaults


@pytest.mark.parametrize(
    ("record", "targets", "since", "expected"),
    [
        ("", [HERE], None, "not set up: `infisical-iac apply` sets them up"),
        ("", [HERE], 3, "none yet: `infisical-iac backup now` makes one"),
        (
            "",
            [HERE],
            30,
            "none yet, 30 h after they were set up: `infisical-iac backup now` makes one",
        ),
        (
            backup_record(local=1, bucket=1),
            [HERE, THERE],
            100,
            "2026-11-25T11:00:00Z, 6.1 MB to local, bucket",
        ),
        (
            backup_record(local=1),
            [HERE],
            100,
            "2026-11-25T11:00:00Z, 6.1 MB to local (on this host only)",
        ),
        (
            backup_record(local=1, bucket=27),
            [HERE, THERE],
            100,
            "no success within 26 h for bucket; last success 2026-11-25T11:00:00Z",
        ),
        (
            backup_record("no space", local=1),
            [HERE],
            100,
            "failed at 2026-11-25T11:00:00Z: no space; last success 2026-11-25T11:00:00Z",
        ),
        (
            backup_record("no space", local=None),
            [HERE],
            100,
            "failed at 2026-11-25T11:00:00Z: no space; there is none yet",
        ),
    ],
)
def test_wording_of_the_status_of_backups(
    record: str, targets: list[BackupTarget], since: float | None, expected: str
) -> None:
    assert assess_backups(record, *targets, since=since)[0] == expected


_PROVEN = "2026-11-24T12:00:00Z, snapshot 1a2b3c4d of box, made at 2026-11-24T02:41:17Z"


@pytest.mark.parametrize(
    ("record", "since", "expected"),
    [
        ("", None, "not set up: `infisical-iac apply` sets them up"),
        ("", 35, "none yet: `infisical-iac restore --drill` makes one"),
        ("", 36, "none yet, 36 days after they were set up"),
        (
            drill_record(),
            100,
            f"{_PROVEN}: 3020 secrets in 12 folders read as deployer, the canary is intact",
        ),
        (
            drill_record(secrets=1, canary="none", login="administrator"),
            100,
            f"{_PROVEN}: 1 secret in 12 folders read as administrator, which sees no canary",
        ),
        (
            drill_record(failure="no space", success=30),
            100,
            "failed at 2026-11-24T12:00:00Z: no space; last success 2026-10-26T12:00:00Z",
        ),
        (
            drill_record(failure="no space", success=None),
            100,
            "failed at 2026-11-24T12:00:00Z: no space; there is none yet",
        ),
        (
            drill_record(days=36, success=36),
            100,
            "no success within 35 days; last success 2026-10-20T12:00:00Z",
        ),
    ],
)
def test_wording_of_the_status_of_drills(record: str, since: int | None, expected: str) -> None:
    assert assess_drills(record, since=since)[0] == expected


_RECORD = kit_host.record_of(kit(), "0123456789abcdef", SIGNER)
_MADE = f"made 2026-11-25T14:00:00Z, signed by {SIGNER}"


@pytest.mark.parametrize(
    ("record", "changes", "expected"),
    [
        (None, {}, "none has been made: see `infisical-iac recovery-kit --help`"),
        (_RECORD, {}, _MADE),
        (
            _RECORD,
            {"deployer.env": "another"},
            f"{_MADE}, but deployer.env changed since: make a new one",
        ),
    ],
)
def test_wording_of_the_status_of_the_recovery_kit(
    record: kit_host.KitRecord | None, changes: dict[str, str], expected: str
) -> None:
    row = kit_host.describe_record(record, {**_RECORD.files, **changes})
    assert row.text == expected


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"backup_targets": ({"name": "local", "repository": "backups"},)},
            "setting 'backup_targets.0.repository': 'backups' is not a place for a repository: "
            "write a directory such as /var/backups/infisical, sftp:user@host:path, "
            "s3:https://host/bucket or rest:https://host/path",
        ),
        (
            {"backup_keep": {}},
            "setting 'backup_keep': must keep at least one snapshot; write numbers of 0 or more",
        ),
    ],
)
def test_wording_of_a_refused_backup_setting(change: dict[str, object], sentence: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        load(defaults(**change))
    assert str(refusal.value) == sentence


def test_wording_of_a_wrong_option_for_a_drill() -> None:
    done = CliRunner().invoke(main, ["restore", "--drill", "--undo"])
    assert done.stderr.splitlines()[-1] == (
        "Error: --drill uses the host's keys and changes nothing: give only --snapshot and --from "
        "with it"
    )


def test_wording_of_a_text_that_is_not_a_public_key() -> None:
    with pytest.raises(FileError) as refused:
        parse_recipient("ecdsa-sha2-nistp256 AAAA")
    assert str(refused.value) == (
        "a recipient is not a public key: give a whole line that begins with age1, ssh-ed25519 or "
        "ssh-rsa, such as the one in ~/.ssh/id_ed25519.pub or the one that `age-keygen -y` prints"
    )


def test_wording_of_an_identity_with_a_passphrase(tmp_path: Path) -> None:
    with pytest.raises(FileError) as refused:
        identities(ssh_key(tmp_path, passphrase="fake-passphrase").read_text())
    assert str(refused.value) == (
        "the identity file has a passphrase: copy it to a directory in memory, such as /dev/shm, "
        "take the passphrase off there by `ssh-keygen -p -f <copy>`, and remove the copy afterwards"
    )


def test_wording_of_a_file_that_no_kit_has() -> None:
    with pytest.raises(FileError) as refused:
        check_forms({"compose.yaml": "services: {}\n"}, where="the kit")
    assert str(refused.value) == (
        "the kit has a file 'compose.yaml', which does not belong in a recovery kit"
    )


def test_wording_of_a_kit_for_another_recipient() -> None:
    sealed = seal(kit(), [parse_recipient(str(Identity.generate().to_public()))], KEY)
    with pytest.raises(FileError) as refused:
        open_sheet(sealed, [Identity.generate()])
    assert str(refused.value) == (
        "the kit is not encrypted for the key in the identity file: give the private key of one of "
        "the recipients that the kit's first lines name"
    )


def test_wording_of_a_kit_with_a_missing_part() -> None:
    with pytest.raises(FileError) as refused:
        open_sheet("RECOVERY KIT", [Identity.generate()])
    assert str(refused.value) == (
        "the file is not a recovery kit, or a part of it is missing: copy all lines from BEGIN AGE "
        "ENCRYPTED FILE to END AGE ENCRYPTED FILE"
    )


def test_wording_of_a_file_that_holds_no_kit() -> None:
    with pytest.raises(FileError) as refused:
        unpack(b"fake-secret")
    assert str(refused.value) == "the file is not a recovery kit: give another one"


def test_wording_of_the_places_of_replaced_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restore, "host", SimpleNamespace(name="node-1"))
    monkeypatch.setattr(cluster_restore, "host", SimpleNamespace(name="node-1"))
    assert restore.describe_old_data("infisical_postgres_before_20261125T180000Z") == [
        "The old data are on the host node-1, in the Docker volume "
        "infisical_postgres_before_20261125T180000Z, and replaced files in "
        "/var/lib/infisical-restore/aside/20261125T180000Z. Once nobody needs them, run there: "
        "docker volume rm infisical_postgres_before_20261125T180000Z && "
        "rm -rf /var/lib/infisical-restore/aside/20261125T180000Z"
    ]
    assert cluster_restore._describe_old_data({"database": "before_20261125T180000Z"}) == [
        "The old data are on the cluster, in the database before_20261125T180000Z, until the next "
        "restore is proven; replaced files are on node-1 in /var/lib/infisical-restore/aside."
    ]


def test_wording_of_targets_that_a_node_does_not_write(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host, shared = FakeRunner(tmp_path, answers={"docker node inspect": "{}"}), frozenset({"box"})
    find_own_targets(host, TargetSharing(["box"], 2, shared))
    assert capsys.readouterr().out == "box is left to the node that leads the Swarm.\n"
    find_own_targets(host, TargetSharing(["box"], 0, shared))
    assert capsys.readouterr().out == (
        "This node of the cluster has no data: the nodes with data run backups and drills.\n"
    )
