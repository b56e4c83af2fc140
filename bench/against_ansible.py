"""Run Ansible in its own environment, with a playbook that manages the same state."""

import re
import sys

from bench.measuring import HOST, REPOSITORY, BenchError, Command, run, say

ANSIBLE = "ansible-playbook playbook.yml"
_HERE = REPOSITORY / "bench" / "ansible"
_LOCK = _HERE / "requirements.lock"
_ENVIRONMENT = REPOSITORY / "bench" / ".venv"
_MARK = _ENVIRONMENT / ".installed"
_MOST_SECONDS = 600


def install() -> None:
    """Install Ansible by its lock in its own environment, unless that is up to date."""
    if _MARK.exists() and _MARK.read_text() == _LOCK.read_text():
        return
    say("Installing Ansible in bench/.venv")
    run((sys.executable, "-m", "venv", "--clear", _ENVIRONMENT))
    quietly = ("--quiet", "--disable-pip-version-check")
    pip = _ENVIRONMENT / "bin" / "pip"
    run((pip, "install", *quietly, "--require-hashes", "--requirement", _LOCK), timeout=600)
    _MARK.write_text(_LOCK.read_text())


def command() -> Command:
    """Return the command that runs the playbook."""
    return ("env", f"ANSIBLE_CONFIG={_HERE / 'ansible.cfg'}", _playbook(), _HERE / "playbook.yml")


def refuse_changes(host: str = HOST) -> None:
    """Run the playbook on a deployed host. Raises BenchError if it changes anything.

    A playbook that changes something would manage another state.
    """
    output = run(command(), timeout=_MOST_SECONDS, host=host)
    recap = re.search(r"changed=(\d+) +unreachable=0 +failed=0", output)
    if recap is None or recap[1] != "0":
        changed = "\n".join(list_changes(output)) or output[-1500:]
        raise BenchError(
            "the playbook changes something on the deployed host: make bench/ansible/ manage "
            f"the same state as the deploy\n{changed}"
        )


def list_changes(output: str) -> list[str]:
    """Return the tasks in the playbook's output that changed something, each with its item."""
    changes, task = [], ""
    for line in output.splitlines():
        if line.startswith(("TASK [", "RUNNING HANDLER [")):
            task = line.partition("[")[2].partition("]")[0]
        elif line.startswith("changed:"):
            item = line.partition("(item=")[2].removesuffix(")")
            changes.append(f"{task}: {item}" if item else task)
    return changes


def version() -> str:
    """Return the version of ansible-core."""
    found = re.search(r"\[core (\S+)\]", run((_playbook(), "--version")))
    return found[1] if found else "unknown"


def _playbook() -> str:
    return str(_ENVIRONMENT / "bin" / "ansible-playbook")
