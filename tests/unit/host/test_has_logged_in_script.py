"""Test that the journal shows whether an address has logged in over SSH."""

from pathlib import Path

import pytest

from infisical_iac.core.rendering import script
from tests.unit.fake_programs import JOURNALCTL, fake_program, run_with


def _is_known(address: str, journal: str, directory: Path) -> bool:
    fake_program(directory, "journalctl", JOURNALCTL)
    file = directory / "journal"
    file.write_text(journal)
    done = run_with(directory, script("has-logged-in", address), JOURNAL=str(file))
    assert "--since=-1d" in (directory / "journal.asked").read_text()
    return done.returncode == 0


@pytest.mark.parametrize(
    ("address", "line", "known"),
    [
        ("203.0.113.9", "Accepted publickey for root from 203.0.113.9 port 50000 ssh2: x", True),
        ("2001:db8::9", "Accepted publickey for deploy from 2001:db8::9 port 22 ssh2: x", True),
        ("203.0.113.9", "Accepted publickey for root from 203.0.113.90 port 50000 ssh2", False),
        ("203.0.113.9", "Accepted publickey for root from 203a0b113c9 port 50000 ssh2", False),
        ("203.0.113.9", "Accepted password for root from 203.0.113.9 port 50000 ssh2", False),
        ("203.0.113.9", "Failed publickey for root from 203.0.113.9 port 50000 ssh2", False),
        (
            "203.0.113.9",
            "Invalid user Accepted publickey for root from 203.0.113.9 port 1 from 203.0.113.9",
            False,
        ),
        ("203.0.113.9", "", False),
        (
            "2001:db8:0:1::9",
            "Accepted publickey for root from 2001:db8:0:1:a::5 port 22 ssh2",
            True,
        ),
        ("2001:db8:0:1::9", "Accepted publickey for root from 2001:db8:0:2::9 port 22 ssh2", False),
        ("2001:db8:0:1::/64", "Accepted publickey for x from 2001:db8:0:1::5 port 22 ssh2", True),
        ("2001:db8:0:1::/64", "Accepted publickey for x from 2001:db8:0:2::5 port 22 ssh2", False),
        ("2001:db8:0:1::9", "Accepted publickey for x from fe80::1%eth0 port 22 ssh2", False),
        ("2001:db8:0:1::9", "Accepted password for x from 2001:db8:0:1::9 port 22 ssh2", False),
        ("2001:db8:0:1::9", "", False),
    ],
)
def test_only_an_address_that_logged_in_with_a_key_is_known(
    address: str, line: str, known: bool, tmp_path: Path
) -> None:
    found = _is_known(address, f"{line}\n", tmp_path)
    assert found is known
