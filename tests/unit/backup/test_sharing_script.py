"""Test which targets a node of a cluster writes, depending on its role in the Swarm."""

import re
from pathlib import Path

import pytest

from infisical_iac.core.rendering import script_file
from tests.unit.fake_programs import fake_docker, run_with

# The end of Docker's error on a node of a Swarm that has lost its quorum.
_NO_LEADER = "the swarm does not have a leader"


def run_own(directory: Path, *, variables: str, leads: str, targets: str = "local box") -> str:
    """Run `own` of sharing.sh; return its output, then the targets unless it has ended the run."""
    fake_docker(directory, f"*) {leads} ;;")
    text = f"{script_file('sharing')}\nTARGETS='{targets}'\n{variables}\nown\necho runs: $TARGETS"
    return run_with(directory, f"set -eu\n{text}", check=True).stdout


_NODE = "NODE=2 SHARED=box"


@pytest.mark.parametrize(
    ("variables", "leads", "output"),
    [
        ("", "exit 1", "runs: local box\n"),
        (_NODE, "echo true", "runs: local box\n"),
        (_NODE, "echo false", "box .*\nruns: local\n"),
        (_NODE, f"echo '{_NO_LEADER}' >&2; exit 1", "runs: local box\n"),
        ("NODE=0 SHARED=box", "exit 1", ".* no data: .*\n"),
    ],
    ids=["a host of its own", "leads", "follows", "no leader", "no data"],
)
def test_the_leader_writes_the_shared_targets(
    tmp_path: Path, variables: str, leads: str, output: str
) -> None:
    assert re.fullmatch(output, run_own(tmp_path, variables=variables, leads=leads))


def test_a_node_with_nothing_to_write_succeeds_and_names_the_target(tmp_path: Path) -> None:
    output = run_own(tmp_path, variables=_NODE, leads="echo false", targets="box")
    assert re.fullmatch("box .*\n", output)
