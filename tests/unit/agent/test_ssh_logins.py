"""Test that the journal shows whether an address has logged in over SSH."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pytest

from infisical_iac.agent.runner import Output
from infisical_iac.agent.ssh_logins import has_logged_in
from tests.unit.agent.fake_runner import FakeRunner


class _Journal(FakeRunner):
    """A host whose journalctl prints the lines of `/journal` that its `--grep` matches."""

    def run(
        self,
        words: Sequence[str],
        *,
        stdin: str = "",
        seconds: float = 0,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> Output:
        assert words[0] == "journalctl"
        assert "--since=-1d" in words
        (pattern,) = (each.removeprefix("--grep=") for each in words if each.startswith("--grep="))
        lines = (self.text("/journal") or "").splitlines()
        return Output(0, "".join(f"{each}\n" for each in lines if re.search(pattern, each)))


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
    host = _Journal(tmp_path)
    host.write("/journal", f"{line}\n")
    assert has_logged_in(host, address) is known
