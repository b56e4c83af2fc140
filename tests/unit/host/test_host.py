"""Test the hardening of a host: file modes, kernel, shells and audit rules."""

import subprocess
from pathlib import Path

import pytest

from infisical_iac.agent.files import PathState
from infisical_iac.host import hardening, kernel
from tests.unit.settings_of import settings_of


def test_a_mode_loses_excess_permissions_and_gains_none() -> None:
    states = {
        "/etc/crontab": PathState("regular file", "644", "root:root"),
        "/etc/cron.d": PathState("directory", "500", "root:root"),
        "/etc/cron.daily": PathState("directory", "2755", "root:root"),
        "/etc/sudoers.d": PathState("directory", "1750", "root:root"),
    }
    assert hardening.find_loose_modes(states) == {"/etc/crontab": "600", "/etc/cron.daily": "2700"}


def test_missing_files_get_no_mode() -> None:
    assert hardening.find_loose_modes({}) == {}


def test_no_kernel_parameter_disables_the_forwarding_of_docker() -> None:
    assert [name for name in kernel.parameters(settings_of()) if "forward" in name] == []


def test_a_blocked_kernel_module_can_not_be_loaded_by_name() -> None:
    lines = kernel.modules().splitlines()
    assert "install dccp /bin/false" in lines
    assert "blacklist dccp" in lines


def test_an_interactive_shell_creates_private_files_and_has_a_timeout(tmp_path: Path) -> None:
    profile = tmp_path / "profile.sh"
    profile.write_text(hardening.SHELLS)
    done = subprocess.run(
        ["bash", "-c", f". {profile}; umask; echo $TMOUT; TMOUT=0; echo not reached"],
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines() == ["0027", "1800"]
    assert "readonly" in done.stderr


@pytest.mark.parametrize("line", hardening.AUDIT_RULES.splitlines()[1:])
def test_an_audit_rule_watches_writes_and_has_a_key(line: str) -> None:
    flag, path, permissions, kinds, key, name = line.split()
    assert (flag, permissions, kinds, key) == ("-w", "-p", "wa", "-k")
    assert path.startswith("/")
    assert name.isalpha()
