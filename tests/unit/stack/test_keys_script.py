"""Test the lengths of keys and passwords that keys.sh makes on the host."""

import subprocess
from pathlib import Path

from infisical_iac.core.rendering import script_file

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


def test_the_length_of_the_administrators_password_is_in_the_same_table(tmp_path: Path) -> None:
    row = "admin_password) echo 24 ;;"
    text = script_file("keys")
    assert text.count(row) == 1
    longer = text.replace(row, "admin_password) echo 40 ;;")
    assert _make(tmp_path, longer) == _LENGTHS | {"admin password": 80}
