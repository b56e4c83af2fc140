"""Find this machine's Docker engine, or install and start it.

An engine that answers is used unchanged. Else, on Debian as root, Docker's packages are
installed, and the daemon is started if no init does it.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.staging.shell import STATE, StagingError, hold_lock, run, say

_PID_FILES = {
    "dockerd": Path("/var/run/docker.pid"),
    "containerd": Path("/var/run/docker/containerd/containerd.pid"),
}
_START_SECONDS = 60
_STOP_SECONDS = 60


def ensure() -> None:
    """Ensure a Docker engine that answers, and the programs that staging needs.

    Raises StagingError without root, without Debian, or if the daemon fails.
    """
    with hold_lock():
        if not answers():
            _install_and_start()


def is_installed() -> bool:
    """Return whether Docker is installed."""
    return bool(shutil.which("docker"))


def answers() -> bool:
    """Return whether `docker` is installed and reaches an engine."""
    return is_installed() and run("docker", "info", check=False).returncode == 0


def install(packages: dict[str, str]) -> None:
    """Install the Debian packages of the programs that are missing.

    `packages` maps a program to its package. Raises StagingError if this is not Debian, or if
    apt fails.
    """
    if not _missing(packages):
        return
    if not shutil.which("apt-get") or os.geteuid() != 0:
        raise StagingError(f"{' and '.join(_missing(packages))} must be installed on this machine")
    run("apt-get", "update")
    # One by one: Debian 12 has the client in docker.io, and no package docker-cli.
    for program, package in packages.items():
        if not shutil.which(program):
            say(f"Installing {package} from Debian's packages")
            noninteractive = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            run(
                *("apt-get", "install", "-y", "--no-install-recommends", package),
                env=noninteractive,
            )


def stop_if_ours() -> bool:
    """Stop the daemon if `ensure` started it; return whether it did."""
    mark = _mark()
    pid = mark.read_text().strip() if mark.exists() else ""
    mark.unlink(missing_ok=True)
    if not pid or is_stale(pid, _name_of(pid), "dockerd"):
        return False
    say("Stopping the Docker daemon that was started for staging")
    os.kill(int(pid), signal.SIGTERM)
    if not _within(_STOP_SECONDS, lambda: _name_of(pid) != "dockerd"):
        raise StagingError(f"the Docker daemon (process {pid}) does not stop; stop it by hand")
    return True


def is_stale(pid: str, name: str | None, program: str) -> bool:
    """Return whether a pid file names a process that has ended or is another program now.

    `pid` is the file's content, `name` the name of the process with that id, if there is one.
    """
    return not pid.strip().isdigit() or name != program


def _install_and_start() -> None:
    if not shutil.which("apt-get") or os.geteuid() != 0:
        raise StagingError(
            "Docker does not answer; start it (Docker Desktop, or `systemctl start docker`), "
            "or run this as root on Debian, where it is installed and started"
        )
    install({"dockerd": "docker.io", "docker": "docker-cli", "iptables": "iptables"})
    if Path("/run/systemd/system").is_dir():
        say("Starting Docker's service")
        run("systemctl", "start", "docker")
    else:
        _start_daemon()
    if not answers():
        raise StagingError("Docker was started but does not answer; see `docker info`")


def _missing(programs: Iterable[str]) -> list[str]:
    return [program for program in programs if not shutil.which(program)]


def _start_daemon() -> None:
    for program, path in _PID_FILES.items():
        if path.exists() and is_stale(pid := path.read_text(), _name_of(pid), program):
            say(f"Removing the pid file of a dead {program}")
            path.unlink()
    if _PID_FILES["dockerd"].exists():
        say("Waiting for the Docker daemon that is starting")
        _within(_START_SECONDS, answers)
        return
    say("Starting the Docker daemon, as no init does it here")
    STATE.mkdir(exist_ok=True)
    log = STATE / "dockerd.log"
    with log.open("wb") as output:
        daemon = subprocess.Popen(
            ["dockerd"], stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    _mark().write_text(f"{daemon.pid}\n")
    if not _within(_START_SECONDS, lambda: daemon.poll() is not None or answers()) or (
        daemon.poll() is not None
    ):
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
        raise StagingError(f"the Docker daemon does not start; the end of {log}:\n{tail}")


def _mark() -> Path:
    return STATE / "dockerd.pid"


def _name_of(pid: str) -> str | None:
    """Return the name of a live process, or None; a zombie counts as dead."""
    try:
        status = Path(f"/proc/{int(pid)}/status").read_text()
    except (ValueError, OSError):
        return None
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    return None if fields.get("State", "").startswith("Z") else fields.get("Name")


def _within(seconds: float, condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(0.25)
    return met
