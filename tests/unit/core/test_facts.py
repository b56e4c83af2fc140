"""Test what facts have in common: their value of a silent host, and several in one command."""

import subprocess

from infisical_iac.cluster.stack_state import NodeTasks
from infisical_iac.core.facts import join_commands, split_output
from infisical_iac.core.files import Paths
from infisical_iac.host.kernel import Kernel, KernelState


def test_a_host_that_prints_nothing_has_an_empty_value() -> None:
    assert Kernel().default() == KernelState()
    assert Paths().default() == {}
    assert NodeTasks().default() == ()


def test_the_output_of_several_commands_is_split() -> None:
    command = join_commands("echo a; echo; echo b", "true", "false || echo c")
    ran = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert split_output(ran.stdout.splitlines()) == [["a", "", "b"], [], ["c"]]


def test_a_command_that_fails_fails_all() -> None:
    assert subprocess.run(["sh", "-c", join_commands("false", "echo b")], check=False).returncode
