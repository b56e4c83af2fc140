"""Test the lengths of keys and passwords that keys.sh makes on the host."""

import re
import subprocess
from pathlib import Path

import click
import pytest
import yaml

from infisical_iac.change.keys import KEYS
from infisical_iac.cli.keys import keys
from infisical_iac.cluster.stack_file import SECRETS
from infisical_iac.core.rendering import script_file
from tests.host import stored

# The lengths of keys, in hexadecimal digits.
_LENGTHS = {
    "encryption_key": 32,
    "auth_secret": 64,
    "postgres_password": 48,
    "redis_password": 48,
    "restic_password": 48,
    "kit_signing_key": 64,
}


def _make(root: Path, text: str) -> dict[str, int]:
    """Run the text of keys.sh, and return the lengths of the keys and the admin's password."""
    command = ["sh", "-c", text.replace("root=/etc/infisical", f"root='{root}'"), "keys.sh"]
    arguments = ["make", "admin@example.com"]
    done = subprocess.run(
        [*command, *arguments], input="\n", capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    lengths = {each.name: len(each.read_text()) for each in (root / "keys").iterdir()}
    lines = (root / "admin.env").read_text().splitlines()
    [password] = [
        line.partition("=")[2] for line in lines if line.startswith("INFISICAL_ADMIN_PASSWORD=")
    ]
    return lengths | {"admin password": len(password)}


def test_each_key_has_its_length(tmp_path: Path) -> None:
    assert _make(tmp_path, script_file("keys")) == _LENGTHS | {"admin password": 48}


# No command rotates this key: docs/operate/keys.md says how to replace it.
_NOT_ROTATED = "kit_signing_key"


@pytest.mark.parametrize(
    ("place", "names"),
    [
        ("KEYS of change/keys.py", {*(each.file for each in KEYS), _NOT_ROTATED}),
        ("KEYS of tests/host/stored.py", {*stored.KEYS}),
    ],
)
def test_each_list_of_keys_has_those_that_the_host_makes(place: str, names: set[str]) -> None:
    assert names == {*_LENGTHS}, place


@pytest.mark.parametrize(
    ("place", "names"),
    [
        (
            "keys of bench/ansible/vars.yml",
            {*yaml.safe_load(Path("bench/ansible/vars.yml").read_text())["keys"]},
        ),
        (
            "templates/stack/compose.yaml.j2",
            {
                name.lower()
                for name in re.findall(
                    r"\$\{([A-Z_]+):\?\}", Path("templates/stack/compose.yaml.j2").read_text()
                )
            }
            & {*_LENGTHS},
        ),
        (
            "SECRETS of cluster/stack_file.py",
            {name for each in SECRETS.values() for name in each} & {*_LENGTHS},
        ),
    ],
)
def test_each_list_of_the_containers_keys_has_those_of_a_host(place: str, names: set[str]) -> None:
    assert names == {*stored.STACK_KEYS}, place


def test_the_help_and_the_page_name_each_key_that_can_be_rotated() -> None:
    rotate = keys.get_command(click.Context(keys), "rotate")
    page = Path("docs/operate/keys.md").read_text()
    rows = {line.split()[1] for line in page.splitlines() if line.startswith("| `")}
    listed = {line.split()[0] for line in page.splitlines() if line.startswith("    ")}
    assert [each.name for each in KEYS if f"`{each.name}`" not in str(rotate and rotate.help)] == []
    assert [each.name for each in KEYS if f"`{each.name}`" not in rows] == []
    assert [each.name for each in KEYS if each.name not in listed] == []


def test_the_length_of_the_administrators_password_is_in_the_same_table(tmp_path: Path) -> None:
    row = "admin_password) echo 24 ;;"
    text = script_file("keys")
    assert text.count(row) == 1
    longer = text.replace(row, "admin_password) echo 40 ;;")
    assert _make(tmp_path, longer) == _LENGTHS | {"admin password": 80}


def test_the_passwords_for_metrics_are_made_on_request_and_surplus_later(tmp_path: Path) -> None:
    """Compose reads the password for Redis only; PostgreSQL's container doesn't need the other."""
    text = script_file("keys").replace("root=/etc/infisical", f"root='{tmp_path}'")

    def run(*arguments: str) -> str:
        command = ["sh", "-c", text, "keys.sh", *arguments]
        return subprocess.run(
            command, input="\n", capture_output=True, text=True, timeout=60, check=True
        ).stdout

    names = ("metrics_postgres_password", "metrics_redis_password")
    run("make", "admin@example.com", " ".join(names))
    made = {name: (tmp_path / "keys" / name).read_text() for name in names}
    assert [*map(len, made.values())] == [48, 48]
    variables = (tmp_path / ".env").read_text()
    assert f"METRICS_REDIS_PASSWORD={made[names[1]]}" in variables.splitlines()
    assert made[names[0]] not in variables
    surplus = [f"surplus {name}" for name in names]
    assert not {*surplus} & {*run("check", " ".join(names)).splitlines()}
    assert [line for line in run("check").splitlines() if line in surplus] == surplus
    run("forget", *names)
    assert "METRICS" not in (tmp_path / ".env").read_text()
