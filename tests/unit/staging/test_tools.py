"""Test that installing the programs of the tests starts no service on this machine."""

import subprocess
from pathlib import Path

import pytest

from tests.tools import nothing_started


def test_packages_start_no_service_while_they_are_installed(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    with nothing_started(policy):
        assert subprocess.run([policy, "caddy", "start"]).returncode == 101
    assert not policy.exists()


def test_an_installation_that_fails_leaves_no_policy_behind(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    with pytest.raises(RuntimeError), nothing_started(policy):
        raise RuntimeError
    assert not policy.exists()


def test_an_existing_policy_is_kept(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text("obviously mine")
    with nothing_started(policy):
        pass
    assert policy.read_text() == "obviously mine"
