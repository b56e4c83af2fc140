"""Test that a script lists all nodes of a swarm, or none."""

from pathlib import Path

import pytest

from infisical_iac.core.rendering import script_file
from tests.unit.fake_programs import fake_docker, run_with

_CERTIFICATE = r'{"TrustRoot": "-----BEGIN CERTIFICATE-----\nMIIB\n"}'


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    fake_docker(tmp_path, '"node inspect"*) cat "$HOST/output"; test ! -e "$HOST/lost" ;;')
    (tmp_path / "docker node ls").write_text("one\ntwo\n")
    (tmp_path / "output").write_text(f"{_CERTIFICATE}\n{_CERTIFICATE}\n")
    return tmp_path


def _list_nodes(directory: Path) -> str:
    text = f"{script_file('nodes')}\ninspect_nodes '{{{{ json . }}}}' || true\n"
    return run_with(directory, text, check=True).stdout


def test_a_node_is_listed_as_one_line(directory: Path) -> None:
    assert _list_nodes(directory).splitlines() == [_CERTIFICATE] * 2


def test_an_unreadable_node_makes_the_whole_list_fail(directory: Path) -> None:
    (directory / "lost").touch()
    assert _list_nodes(directory) == ""


def test_a_worker_lists_no_nodes(directory: Path) -> None:
    (directory / "docker node ls").write_text("")
    assert _list_nodes(directory) == ""
