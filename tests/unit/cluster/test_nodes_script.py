"""Test that a script lists all nodes of a swarm, or none."""

import os
import subprocess
from pathlib import Path

import pytest

from infisical_iac.core.rendering import script_file

_DOCKER = """#!/bin/sh
case "$2" in
ls) cat "$HOST/ids" ;;
inspect) cat "$HOST/told"; test ! -e "$HOST/lost" ;;
esac
"""
_CERTIFICATE = r'{"TrustRoot": "-----BEGIN CERTIFICATE-----\nMIIB\n"}'


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    program = tmp_path / "docker"
    program.write_text(_DOCKER)
    program.chmod(0o755)
    (tmp_path / "ids").write_text("one\ntwo\n")
    (tmp_path / "told").write_text(f"{_CERTIFICATE}\n{_CERTIFICATE}\n")
    return tmp_path


def _listed(directory: Path) -> str:
    env = {"HOST": str(directory), "PATH": f"{directory}:{os.environ['PATH']}"}
    text = f"{script_file('nodes')}\ninspect_nodes '{{{{ json . }}}}' || true\n"
    done = subprocess.run(["sh", "-c", text], env=env, check=True, capture_output=True, text=True)
    return done.stdout


def test_a_node_is_listed_as_one_line(directory: Path) -> None:
    assert _listed(directory).splitlines() == [_CERTIFICATE] * 2


def test_an_unreadable_node_makes_the_whole_list_fail(directory: Path) -> None:
    (directory / "lost").touch()
    assert _listed(directory) == ""


def test_a_worker_lists_no_nodes(directory: Path) -> None:
    (directory / "ids").write_text("")
    assert _listed(directory) == ""
