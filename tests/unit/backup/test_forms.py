"""Test the checks of a kit's files on the operator's machine and on the host."""

import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from infisical_iac.agent import aside
from infisical_iac.agent.keys import ALL_KEYS, FORMS, TARGET_LOGIN
from infisical_iac.backup import kit, kit_keys, target
from infisical_iac.backup.target import BackupTarget
from infisical_iac.cluster import swarm
from infisical_iac.core.errors import FileError
from infisical_iac.core.rendering import script_file
from infisical_iac.stack import keys
from infisical_iac.workspace import credential_file
from infisical_iac.workspace.credential_file import Credential, Replaced, Term
from tests.unit.agent.fake_runner import FakeRunner
from tests.unit.backup.kits import FILES

_NOW = datetime(2026, 11, 25, tzinfo=UTC)
_AWS = "AWS_ACCESS_KEY_ID=fake\nAWS_SECRET_ACCESS_KEY={}\n"
_KEY = "x" * 32
# The path and the text of forged files, by the name of the case.
_FORGED = {
    "traversal": ("../cron.d/x", "* * * * * root touch /tmp/forged\n"),
    "traversal inside": ("keys/../../cron.d/x", _KEY),
    "absolute": ("/etc/cron.d/x", _KEY),
    "second line of path": ("../x\nkeys/encryption_key", _KEY),
    "first line of path": ("keys/encryption_key\n/../x", _KEY),
    "extra file": ("backup/backup.conf", "KEEP=$(touch /tmp/forged)\n"),
    "extra key": ("keys/another", _KEY),
    "directory": ("keys/", _KEY),
    "unit": ("compose.yaml", "services: {}\n"),
    "shell in a target's file": ("backup/local.env", "touch /tmp/forged\n"),
    "shell after a target's file": ("backup/local.env", f"{_AWS.format('x')}touch /tmp/forged\n"),
    "shell in a value": ("backup/local.env", _AWS.format("$(touch /tmp/forged)")),
    "shell in quotes": ("backup/local.env", _AWS.format('"`touch /tmp/forged`"')),
    "another variable": ("backup/local.env", "RESTIC_PASSWORD_COMMAND=touch\n"),
    "credentials by a process": ("backup/local.env", "AWS_CONFIG_FILE=/tmp/forged\n"),
    "short key": ("keys/encryption_key", "short"),
    "two lines of a key": ("keys/auth_secret", f"{_KEY}\n{_KEY}\n"),
    "shell in a key": ("keys/redis_password", "$(touch /tmp/forged)$(true)"),
    "control sign": ("admin.env", FILES["admin.env"].replace("fake", "\x1b[2J")),
    "carriage return": ("deployer.env", FILES["deployer.env"].replace("\n", "\r\n")),
    "no login": ("admin.env", "INFISICAL_ADMIN_EMAIL=admin@example.com\n"),
    "empty": ("admin.env", ""),
    "another text for a key of SSH": ("backup/ssh_key", "ProxyCommand touch /tmp/forged\n"),
    "options of a key of SSH": ("backup/ssh_key.pub", 'command="touch" ssh-ed25519 AAAA\n'),
}
# These have a path that no kit has; the others have a wrong text.
_FOREIGN = {
    *("traversal", "traversal inside", "absolute", "second line of path"),
    *("first line of path", "extra file", "extra key", "directory", "unit"),
}
_S3 = BackupTarget(name="bucket", repository="s3:https://s3.example.com/bucket")
_CREDENTIAL = Credential("production", "1-2", "3-4", "fake+/=._~-")
_LEGIT = {
    **FILES,
    "keys/cluster_ca_key": f"{'obviously+fake/' * 12}==\n",
    "keys/swarm_unlock_key": "SWMKEY-1-obviously+fake/\n",
    "keys/postgres_password": f"{_KEY}\n",
    "admin.env": (
        "INFISICAL_ADMIN_EMAIL=admin@example.com\nINFISICAL_ADMIN_PASSWORD=$ 'é' \"`x`\" \\ =\n"
    ),
    **{
        _S3.login_file.removeprefix("/etc/infisical/"): text
        for text in target.render_logins(
            [_S3],
            {
                "INFISICAL_BACKUP_BUCKET_ACCESS_KEY_ID": "fake",
                "INFISICAL_BACKUP_BUCKET_SECRET_ACCESS_KEY": "fake/+=._~-",
            },
        ).values()
    },
    "backup/hand-written.env": (
        "# by hand\nexport AWS_SECRET_ACCESS_KEY='$x y'\nAWS_REGION=\"a b\"\n"
    ),
    "credentials/a.env": credential_file.render(_CREDENTIAL),
    "credentials/b.env": credential_file.render(
        Credential(
            *("production", "1", "2", "fake"),
            term=Term(_NOW, _NOW),
            replaced=Replaced(("1", "2"), _NOW),
        )
    ),
    "credentials/of-three-variables.env": credential_file.render(_CREDENTIAL).replace(
        "INFISICAL_ENVIRONMENT=production\n", ""
    ),
    "credentials/c.env": credential_file.render(
        Credential("production", "1", "2", "fake", replaced=Replaced(("1",)))
    ),
}


def test_the_restore_on_the_host_knows_the_same_forms() -> None:
    table = re.search(r"(?ms) <<'FORMS'\n(.*?)^FORMS$", script_file("forms"))
    assert table
    lines = table[1].replace("TARGET_LOGIN", "|".join(TARGET_LOGIN)).splitlines()
    assert {path: form for path, _, form in (line.partition(" ") for line in lines)} == FORMS


@pytest.mark.parametrize("name", _FORGED)
def test_a_file_that_no_kit_has_is_refused_without_its_text(name: str) -> None:
    path, text = _FORGED[name]
    with pytest.raises(FileError) as refused:
        kit.check_forms({path: text}, where="the kit")
    assert refused.value.code == f"file.{'foreign' if name in _FOREIGN else 'malformed'}_in_kit"
    assert ascii(path)[1:-1] in str(refused.value)
    assert "touch" not in str(refused.value)


@pytest.fixture
def host(tmp_path: Path) -> FakeRunner:
    made = FakeRunner(tmp_path)
    made.write("/etc/infisical/keys/encryption_key", "own")
    return made


def _files(host: FakeRunner) -> dict[str, str]:
    return {
        str(file.relative_to(host.root)): file.read_text()
        for file in host.root.rglob("*")
        if file.is_file()
    }


def _put(host: FakeRunner, path: str, text: str) -> None:
    aside.stage(host, {path: text})
    aside.put(host, [path])


@pytest.mark.parametrize("name", _FORGED)
def test_the_host_stores_no_file_that_no_kit_has(host: FakeRunner, name: str) -> None:
    before = _files(host)
    with pytest.raises(RuntimeError) as refused:
        _put(host, *_FORGED[name])
    assert re.search(r": nothing was (changed|written)$", refused.value.args[0].message)
    assert _files(host) == before


def test_the_host_puts_no_file_that_no_kit_has(host: FakeRunner) -> None:
    before = _files(host)
    for path in ("../cron.d/x", "compose.yaml"):
        with pytest.raises(RuntimeError):
            aside.put(host, [path])
    assert _files(host) == before


@pytest.mark.parametrize("path", _LEGIT)
def test_files_of_this_project_are_put_unchanged(host: FakeRunner, path: str) -> None:
    kit.check_forms({path: _LEGIT[path]}, where="the kit")
    _put(host, path, _LEGIT[path])
    assert host.text(f"/etc/infisical/{path}") == _LEGIT[path]


def test_an_ssh_key_pair_is_put_unchanged(host: FakeRunner, tmp_path: Path) -> None:
    file = tmp_path / "ssh_key"
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "a@b", "-f", str(file)]
    subprocess.run(command, check=True)
    for name in ("ssh_key", "ssh_key.pub"):
        text = (tmp_path / name).read_text()
        kit.check_forms({f"backup/{name}": text}, where="the kit")
        _put(host, f"backup/{name}", text)


def test_every_key_that_is_made_has_a_place_in_a_kit() -> None:
    """Checks the keys of each host, the keys of a cluster, and the unlock key of a Swarm."""
    made = {*ALL_KEYS, *keys.OF_A_CLUSTER.split(), *keys.OF_INGRESS}
    assert "kit_signing_key" in made
    for name in made:
        text = "0" * (64 if name == "kit_signing_key" else 32)
        kit.check_forms({f"keys/{name}": text}, where="the kit")
    assert kit_keys.SIGNING_KEY == "keys/kit_signing_key"
    path = swarm.KEY_FILE.removeprefix("/etc/infisical/")
    kit.check_forms({path: _LEGIT[path]}, where="the kit")
