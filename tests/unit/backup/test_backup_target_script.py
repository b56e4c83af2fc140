"""Test backup-target.sh with a fake restic."""

import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from infisical_iac.core.rendering import script_file
from tests.unit.fake_programs import fake_program, run_with

_REFUSING = "echo 'Fatal: wrong password or no key found' >&2\nexit 12"
# Writes its environment and arguments to a file of the host, and lists nothing.
_RECORDING = """
{ env | grep -E '^(AWS|RESTIC|FORGED)' | sort
for each; do echo "argument $each"; done; } >"$HOST/received"
"""


def _run(root: Path, restic: str, *step: str) -> subprocess.CompletedProcess[str]:
    fake_program(root, "restic", restic)
    text = script_file("backup-target").replace("/etc/infisical/backup", str(root))
    return run_with(root, f"cd {root}\n{text}", "backup-target.sh", *step)


@pytest.mark.parametrize("step", [("list", "box"), ("fetch", "box", "latest", "fetched")])
def test_a_wrong_password_is_reported_with_its_file(tmp_path: Path, step: tuple[str, ...]) -> None:
    (tmp_path / "backup.conf").touch()
    (tmp_path / "box.conf").write_text("REPOSITORY=/mnt/box\n")
    done = _run(tmp_path, _REFUSING, *step)
    assert done.returncode == 1
    error = done.stderr.splitlines()[-1]
    assert "/mnt/box" in error
    assert "/etc/infisical/keys/restic_password" in error
    assert "`keys rotate restic`" in error


@pytest.mark.parametrize("step", [("list", "box"), ("fetch", "box", "latest", "fetched")])
@pytest.mark.skipif(not shutil.which("restic"), reason="restic is not installed")
def test_a_missing_repository_is_reported_with_the_command_that_makes_it(
    tmp_path: Path, step: tuple[str, ...]
) -> None:
    (tmp_path / "password").write_text("fake")
    (tmp_path / "backup.conf").touch()
    (tmp_path / "box.conf").write_text(f"REPOSITORY={tmp_path}/missing\n")
    real = f'RESTIC_PASSWORD_FILE={tmp_path}/password exec {shutil.which("restic")} "$@"'
    done = _run(tmp_path, real, *step)
    assert done.returncode == 1
    error = done.stderr.splitlines()[-1]
    assert f"{tmp_path}/missing" in error
    assert "`infisical-iac backup now`" in error


def test_a_repository_that_never_opens_is_reported_with_the_last_refusal(tmp_path: Path) -> None:
    """Recorded from restic 0.18, which retries without end on a bucket that does not exist."""
    (tmp_path / "backup.conf").write_text("ANSWER_SECONDS=1\n")
    (tmp_path / "box.conf").write_text("REPOSITORY=s3:https://s3.example.com/missing\n")
    retries = "".join(
        f"echo 'Stat(<config/>) returned error, retrying after {wait}: Stat: {refusal}' >&2\n"
        for wait, refusal in (("1.4s", "connection refused"), ("1m2.3s", "no such bucket"))
    )
    done = _run(tmp_path, f"{retries}sleep 30", "list", "box")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(": no such bucket")


def _read_received(
    root: Path, credentials: str, configuration: str = "REPOSITORY=/mnt/box\n"
) -> list[str]:
    (root / "backup.conf").touch()
    (root / "box.conf").write_text(configuration)
    (root / "box.env").write_text(credentials)
    done = _run(root, _RECORDING, "list", "box")
    assert (done.returncode, done.stderr) == (0, "")
    assert not (root / "forged").exists()
    return (root / "received").read_text().splitlines()


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("plain+/=._~-", "plain+/=._~-"),
        ("'$x `y` \"z\" \\n #'", '$x `y` "z" \\n #'),
        ('"it\'s $x"', "it's $x"),
        ("$(touch forged)", "$(touch forged)"),
        ("`touch forged`", "`touch forged`"),
        ("a=b=c", "a=b=c"),
        ("last-line-without-an-end", "last-line-without-an-end"),
    ],
)
def test_credentials_are_passed_to_restic_unchanged(
    tmp_path: Path, written: str, value: str
) -> None:
    end = "" if written.startswith("last") else "\n"
    output = _read_received(
        tmp_path, f"export AWS_ACCESS_KEY_ID=id\nAWS_SECRET_ACCESS_KEY={written}{end}"
    )
    assert output[:2] == ["AWS_ACCESS_KEY_ID=id", f"AWS_SECRET_ACCESS_KEY={value}"]


def test_the_file_of_a_target_is_never_executed(tmp_path: Path) -> None:
    output = _read_received(
        tmp_path,
        "touch forged\nAWS_REGION=x; touch forged\nRESTIC_PASSWORD_COMMAND=forged\nFORGED=x\n"
        "PATH=/forged\nREPOSITORY=/forged\nAWS_CONFIG_FILE=/forged\n",
        "REPOSITORY='/mnt/box'\ntouch forged\nSSH='ssh -p 23'\nRESTIC_CACHE_DIR=/forged\n",
    )
    assert dict(line.split("=", 1) for line in output[:4]) == {
        "AWS_REGION": "x; touch forged",
        "RESTIC_CACHE_DIR": "/var/cache/infisical-backup",
        "RESTIC_PASSWORD_FILE": "/etc/infisical/keys/restic_password",
        "RESTIC_REPOSITORY": "/mnt/box",
    }
    assert "argument sftp.command=ssh -p 23" in output


@pytest.mark.parametrize("password", ["fake|login", "fake&login", "fake@/:%login"])
def test_the_login_of_a_rest_server_is_escaped_and_no_argument_of_a_program(
    tmp_path: Path, password: str
) -> None:
    for name in ("sed", "od", "tr", "echo", "printf"):
        note = 'for each; do echo "$each" >>"$HOST/arguments"; done'
        fake_program(tmp_path, name, f'{note}\nexec {shutil.which(name)} "$@"')
    output = _read_received(
        tmp_path,
        f"RESTIC_REST_USERNAME=host\nRESTIC_REST_PASSWORD='{password}'\n",
        "REPOSITORY=rest:https://backup.example.com/x\n",
    )
    (repository,) = (each for each in output if each.startswith("RESTIC_REPOSITORY="))
    address = urlsplit(repository.partition("=rest:")[2])
    assert (address.hostname, address.path, unquote(address.username or "")) == (
        "backup.example.com",
        "/x",
        "host",
    )
    assert unquote(address.password or "") == password
    assert password not in (tmp_path / "arguments").read_text()


def test_no_script_runs_a_file_of_data() -> None:
    """Scripts source only files of this project, and the secrets that a Swarm gives a container."""
    scripts = {file.stem: file.read_text() for file in Path("infisical_iac/scripts").rglob("*.sh")}
    read = re.compile(r"(?m)^[^#\n]*?(?:^|[;&|({' ])(?:\.|source) ([\"'/$]\S+)")
    found = {what.strip("\"';") for text in scripts.values() for what in read.findall(text)}
    assert found == {"$here/reporting.sh", "/run/secrets/env"}
    runs = re.compile(r"(?m)^[^#\n]*\beval\b")
    assert [name for name, text in scripts.items() if runs.search(text)] == []
