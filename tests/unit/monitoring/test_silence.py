"""Test that maintenance, upgrades and restores silence the alerts that they cause."""

import sys
from pathlib import Path
from typing import Any

import click
import pytest

from infisical_iac.agent import monitor
from infisical_iac.agent.health import CONFIG
from infisical_iac.agent.runner import Runner
from infisical_iac.agent.swarm import MAINTENANCE
from infisical_iac.cli.main import main
from infisical_iac.core import lock
from infisical_iac.core.rendering import script_file
from tests.unit.agent.fake_runner import FakeRunner
from tests.unit.agent.watching import NOW
from tests.unit.fake_programs import fake_docker, fake_program, run_with

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
import sys
from pathlib import Path
from infisical_iac.agent import health
from infisical_iac.agent.runner import Runner
found = health.facts(Runner(Path(sys.argv[1])), served_name="", port=443, lock=sys.argv[2])
print(found.holder)
"""


def _maintain(root: Path, file: str) -> str:
    """Run the maintenance of a host with its directories below root; return the holder of its lock.

    It is read as the monitor reads it, in another process, while the maintenance installs packages.
    """
    for part in ("maintenance", "reporting", "together"):
        text = script_file(part).replace("/var/lib/", f"{root}/var/lib/")
        (root / f"{part}.sh").write_text(text.replace("/run/", f"{root}/run/"))
    for directory in ("run", "var/lib/infisical-backup"):
        (root / directory).mkdir(parents=True, exist_ok=True)
    (root / "reading.py").write_text(_HOLDS)
    reading = f"{sys.executable} {root}/reading.py {root} {file}"
    (root / "apt.sh").write_text(f'PYTHONPATH="{Path.cwd()}" {reading} >"$HOST/holder"')
    programs = root / "programs"
    fake_docker(programs, "info*) echo inactive false ;;")
    for name in ("sleep", "systemctl", "dpkg-query"):
        fake_program(programs, name)
    run_with(programs, f"sh {root}/maintenance.sh run", HOST=str(root), check=True)
    return (root / "holder").read_text()


def test_the_maintenance_window_holds_the_lock_that_the_monitor_reads(tmp_path: Path) -> None:
    assert _maintain(tmp_path, lock.FILE).startswith(lock.OF_HOST)


def test_the_label_of_a_maintenance_is_the_one_that_the_monitor_reads() -> None:
    assert f'"{MAINTENANCE}=' in script_file("maintenance")


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
