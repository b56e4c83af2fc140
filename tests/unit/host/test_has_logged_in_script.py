"""Test whether an address has logged in over SSH, by what the journal says."""

import os
import subprocess
from pathlib import Path

import pytest

from infisical_iac.core.rendering import script

# A journalctl that filters as `--grep` does, and logs its other arguments.
_JOURNALCTL = """#!/bin/sh
echo "$@" >"$JOURNAL.asked"
for each; do
    case $each in --grep=*) grep -E -e "${each#--grep=}" "$JOURNAL" ;; esac
done
"""


def _is_known(address: str, journal: str, directory: Path) -> bool:
    program, file = directory / "journalctl", directory / "journal"
    program.write_text(_JOURNALCTL)
    program.chmod(0o755)
    file.write_text(journal)
    path = f"{directory}:{os.environ['PATH']}"
    done = subprocess.run(
        script("has-logged-in", address),
        shell=True,
        env={**os.environ, "PATH": path, "JOURNAL": str(file)},
        timeout=30,
    )
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
def test_an_address_is_known_that_logged_in_with_a_key(
    address: str, line: str, known: bool, tmp_path: Path
) -> None:
    assert _is_known(address, f"{line}\n", tmp_path) is known
