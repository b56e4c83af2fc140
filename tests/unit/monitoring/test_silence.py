"""Test that maintenance, upgrades and restores silence the alerts that they cause."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import pytest

from infisical_iac.agent import maintenance, monitor
from infisical_iac.agent.health import CONFIG
from infisical_iac.agent.runner import Output, Runner
from infisical_iac.agent.swarm import MAINTENANCE
from infisical_iac.cli.main import main
from infisical_iac.core import lock
from tests.unit.agent.fake_runner import FakeRunner
from tests.unit.agent.watching import NOW

# What stops containers or closes the edge.
_COMMANDS = ("apply", "rollback", "restore", "keys rotate", "scale-out", "scale-in", "destroy")


@pytest.mark.parametrize("words", _COMMANDS)
def test_a_command_that_stops_containers_holds_the_lock(words: str) -> None:
    """The monitor delays the alerts of a host whose lock is held."""
    command: Any = main
    for word in words.split():
        command = command.get_command(click.Context(command), word)
    assert {"break_lock", "lock_timeout"} <= {each.name for each in command.params}


_HOLDS = """\
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from infisical_iac.agent import health
from infisical_iac.agent.runner import Output, Runner
found = health.facts(Runner(Path(sys.argv[1])), served_name="", port=443, lock=sys.argv[2])
print(found.holder)
"""


class _Maintained(FakeRunner):
    """A host whose lock is read, as the monitor reads it, while packages are installed."""

    def run(self, words: Sequence[str], **more: Any) -> Output:
        if words[0] != "apt-get" or "install" not in words:
            return super().run(words, **more)
        command = [sys.executable, "-c", _HOLDS, str(self.root), lock.FILE]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        self.ran.append(("holder", done.stdout))
        return Output(0)


def test_the_maintenance_window_holds_the_lock_that_the_monitor_reads(tmp_path: Path) -> None:
    answers = {
        "dpkg-query": "",
        "apt-get": "",
        "docker info": '{"LocalNodeState": "inactive"}',
        "docker ps": "",
    }
    host = _Maintained(tmp_path, answers=answers)
    assert maintenance.run_window(host, reboots=False) == 0
    (holder,) = (said for command, said in host.ran if command == "holder")
    assert holder.startswith(lock.OF_HOST)


def test_the_label_of_a_maintenance_is_the_one_that_the_monitor_reads(tmp_path: Path) -> None:
    manager = '{"LocalNodeState": "active", "ControlAvailable": true, "NodeID": "n"}'
    host = FakeRunner(tmp_path, answers={"docker info": manager})
    maintenance.announce_absence(host)
    assert f" {MAINTENANCE}=" in host.ran[-1][0]


@pytest.mark.parametrize("holder", ["by the host's maintenance", "by ada", ""])
def test_the_monitor_is_quiet_while_the_lock_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holder: str
) -> None:
    """Without a holder, the same state is an alert at once."""
    host = FakeRunner(tmp_path, answers={"docker ps": "", "docker info": "{}"})
    host.write("/proc/uptime", "99999.0 1.0\n")
    host.write("/etc/infisical/recovery-kit.json", '{"files": {}}')
    host.write("/var/lib/docker/x", "")
    host.write(CONFIG, '{"of": "web-1", "expected": {"services": ["postgres"]}}')
    monkeypatch.setattr("infisical_iac.agent.health._holder", lambda *_: holder)
    monkeypatch.setattr("infisical_iac.agent.vitals.time_of_change", _times(NOW))
    lines = [line for minute in range(5) for line in monitor.run(host, NOW + 60 * minute)]
    assert any("postgres" in line for line in lines) is not bool(holder)


def _times(at: float) -> Any:
    def time_of_change(_: Runner, path: str) -> float | None:
        return at if path == lock.FILE else None

    return time_of_change
