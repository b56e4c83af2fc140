"""Run Ansible in its own environment, with a playbook that manages the same state."""

import re
import sys

from bench.measuring import REPOSITORY, BenchError, Command, run, say

ANSIBLE = "ansible-playbook playbook.yml"
_HERE = REPOSITORY / "bench" / "ansible"
_LOCK = _HERE / "requirements.lock"
_ENVIRONMENT = REPOSITORY / "bench" / ".venv"
_MARK = _ENVIRONMENT / ".installed"


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


def refuse_changes() -> None:
    """Run the playbook on the deployed host. Raises BenchError if it changes anything.

    A playbook that changes something would manage another state.
    """
    recap = re.search(r"changed=(\d+) +unreachable=0 +failed=0", output := run(command()))
    if recap is None or recap[1] != "0":
        raise BenchError(
            "the playbook changes something on the deployed host: make bench/ansible/ manage "
            f"the same state as the deploy\n{output[-1500:]}"
        )


def version() -> str:
    """Return the version of ansible-core."""
    found = re.search(r"\[core (\S+)\]", run((_playbook(), "--version")))
    return found[1] if found else "unknown"


def _playbook() -> str:
    return str(_ENVIRONMENT / "bin" / "ansible-playbook")
