"""Test what all facts share: the value for a silent host, and several facts in one command."""

import subprocess

from infisical_iac.cluster.stack_state import NodeTasks
from infisical_iac.core.files import Paths
from infisical_iac.core.remote import join_commands, split_output
from infisical_iac.host.kernel import Kernel, KernelState


def test_the_fact_of_a_silent_host_is_empty() -> None:
    assert Kernel().default() == KernelState()
    assert Paths().default() == {}
    assert NodeTasks().default() == ()


def test_the_output_of_several_commands_is_split() -> None:
    command = join_commands("echo a; echo; echo b", "true", "false || echo c")
    ran = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert split_output(ran.stdout.splitlines()) == [["a", "", "b"], [], ["c"]]


def test_one_failing_command_fails_the_joined_command() -> None:
    assert subprocess.run(["sh", "-c", join_commands("false", "echo b")], check=False).returncode
