"""End a cluster on this host: its services, its containers, and the data that only it has."""

import shutil
import stat
import time
from dataclasses import dataclass
from pathlib import Path

from infisical_iac.agent import files, removal
from infisical_iac.agent.database import Database
from infisical_iac.agent.docker import find_container, remove_containers
from infisical_iac.agent.health import run_shortly
from infisical_iac.agent.runner import Failure, Runner, action, observation
from infisical_iac.agent.shared_state import ROOT, list_shared
from infisical_iac.agent.tasks import OF_STACK

_UNIT = "infisical-unlock.service"
_UNIT_FILE = f"/etc/systemd/system/{_UNIT}"
_FIREWALL = "/etc/infisical-iac/firewall.nft"
_DAEMON = "/etc/docker/daemon.json"
_SERVED = "/var/lib/infisical-scale/served"
_SHARE = "/var/lib/infisical-share"
_PATRONI = "infisical_patroni"
_VOLUMES = ("etcd", "patroni", "redis-replica", "sentinel", "tmp")
_TIMERS = ("backup", "drill", "maintenance")
_END_SECONDS = 120
_RELOAD_SECONDS = 15


def _refuse(message: str, remedy: str = "") -> RuntimeError:
    return RuntimeError(Failure("command", message, remedy))


def _manages(runner: Runner) -> bool:
    return run_shortly(runner, ["docker", "node", "ls", "--quiet"]).status == 0


def _list_running(runner: Runner) -> list[str]:
    call = ["docker", "ps", "--filter", OF_STACK, "--format", "{{.Names}}"]
    done = runner.run(call)
    if done.status != 0:
        raise _refuse("Docker does not answer", "see `journalctl -u docker`")
    return done.lines


def _list_volumes(runner: Runner, *chosen: str) -> list[str]:
    filters = [word for each in chosen for word in ("--filter", each)]
    done = runner.run(["docker", "volume", "ls", "--quiet", *filters])
    if done.status != 0:
        raise _refuse("Docker does not answer", "see `journalctl -u docker`")
    return done.lines


@observation
def deployed(runner: Runner) -> list[str]:
    """Return the parts of the stack on this node, such as `container infisical_redis-1.1.x`."""
    root = runner.path(ROOT)
    found = [f"files {ROOT}"] if root.is_dir() and any(root.iterdir()) else []
    if runner.path(_FIREWALL).exists():
        found.append(f"files {_FIREWALL}")
    if runner.run(["docker", "--version"]).status == 127:
        return found
    found += [f"container {each}" for each in _list_running(runner)]
    return [*found, *(f"volume {each}" for each in _list_volumes(runner, OF_STACK))]


@dataclass(frozen=True)
class _OwnDatabase(Database):
    """The PostgreSQL in this node's own container, whose socket needs no password."""

    @property
    def is_clustered(self) -> bool:
        return False


def _find_own(runner: Runner) -> _OwnDatabase | None:
    container = find_container(runner, "postgres", "swarm")
    return _OwnDatabase(runner, container) if container else None


@observation
def is_primary(runner: Runner) -> bool:
    """Return whether this node's PostgreSQL is the primary."""
    try:
        database = _find_own(runner)
        return bool(database) and database.sql("SELECT pg_is_in_recovery()") == ["f"]  # type: ignore[union-attr]
    except RuntimeError:
        return False


@action
def back_up(runner: Runner, *, directory: str) -> None:
    """Save the database and the files of /etc/infisical in a new directory; on the primary's node.

    Raises RuntimeError with a Failure, with nothing saved.
    """
    database = _find_own(runner)
    if database is None:
        raise _refuse("no PostgreSQL runs on this node")
    removal.save(runner, database, directory)


@action
def remove_services(runner: Runner) -> bool:
    """Remove the services, secrets, configs and networks, and return whether that was done.

    Only a manager that works can.
    """
    if not _manages(runner):
        return False
    runner.must_run(["docker", "stack", "rm", "infisical"])
    return True


@action
def end_stack(runner: Runner) -> None:
    """Wait for this node's containers to end, and remove them and the stack's files.

    Raises RuntimeError with a Failure.
    """
    _await_end(runner)
    # Containers of tasks that ended earlier still hold the volumes.
    remove_containers(runner, OF_STACK)
    _remove_files(runner)


def _await_end(runner: Runner) -> None:
    end = time.monotonic() + _END_SECONDS
    while left := _list_running(runner):
        if time.monotonic() >= end:
            raise _refuse(
                f"{left[0]} still runs {_END_SECONDS} s after its service was removed",
                "see `docker ps`, and run again",
            )
        time.sleep(0.5)


def _remove_files(runner: Runner) -> None:
    for name in ("stack.yaml", "stack.json"):
        files.remove(runner.path(f"{ROOT}/{name}"))
    shutil.rmtree(runner.path(f"{ROOT}/stack"), ignore_errors=True)


@action
def remove_volumes(runner: Runner) -> None:
    """Remove the volumes, and with them all data; to be called once the host has left the swarm."""
    if volumes := _list_volumes(runner, OF_STACK):
        runner.must_run(["docker", "volume", "rm", *volumes])
    file = runner.path(_UNIT_FILE)
    if file.exists():
        runner.must_run(["systemctl", "disable", "--quiet", _UNIT])
        files.remove(file)
        runner.must_run(["systemctl", "daemon-reload"])


@observation
def await_containers(runner: Runner) -> None:
    """Wait for this host's containers of the services to end.

    A node that can't reach its managers leaves the swarm next, which ends its containers. Raises
    RuntimeError with a Failure.
    """
    if _manages(runner):
        _await_end(runner)


@action
def remove_data(runner: Runner, *, stamp: str) -> str:
    """Remove the cluster's data once the host has left the swarm.

    Args:
        stamp: the suffix of the name of a volume that keeps PostgreSQL's data; empty to keep none.

    Returns the name of that volume; empty if there is none. Raises RuntimeError with a Failure.
    """
    remove_containers(runner, OF_STACK)
    kept = f"{_PATRONI}_before_{stamp}" if stamp else ""
    if kept and _holds(runner, _PATRONI):
        label = "com.docker.compose.project=infisical"
        runner.must_run(["docker", "volume", "create", "--label", label, kept])
        _move(_place(runner, _PATRONI), _place(runner, kept), runner)
    for name in _VOLUMES:
        if _list_volumes(runner, f"name=^infisical_{name}$"):
            runner.must_run(["docker", "volume", "rm", f"infisical_{name}"])
    _remove_files(runner)
    files.remove(runner.path(_SERVED))
    return kept if kept and _list_volumes(runner, f"name=^{kept}$") else ""


def _place(runner: Runner, volume: str) -> Path:
    inspect = ["docker", "volume", "inspect", "--format", "{{.Mountpoint}}", volume]
    return runner.path(runner.must_run(inspect).strip())


def _holds(runner: Runner, volume: str) -> bool:
    """Return whether a volume has content; it is an error if that can't be read."""
    if not _list_volumes(runner, f"name=^{volume}$"):
        return False
    place = _place(runner, volume)
    return place.is_dir() and any(place.iterdir())


def _move(place: Path, to: Path, runner: Runner) -> None:
    """Move data in one step, so that they are always in one place or the other."""
    runner.must_run(["mv", "--no-target-directory", str(place), str(to)])
    for each in {place.parent, to.parent}:
        files.sync(each)


@action
def restore_names(runner: Runner) -> None:
    """Let the containers of a single host, which go on running, find each other by name.

    When Docker leaves a swarm, it forgets the names of all containers until it is restarted. With
    live-restore, containers go on running meanwhile.
    """
    file = runner.path(_DAEMON)
    text = file.read_text().replace('"live-restore": false', '"live-restore": true')
    files.write(file, text.encode(), mode=stat.S_IMODE(file.stat().st_mode))
    runner.must_run(["systemctl", "reload", "docker.service"])
    asked = ["docker", "info", "--format", "{{json .LiveRestoreEnabled}}"]
    end = time.monotonic() + _RELOAD_SECONDS
    while run_shortly(runner, asked).text.strip() != "true" and time.monotonic() < end:
        time.sleep(0.5)
    runner.must_run(["systemctl", "restart", "docker.service"])


@action
def forget(runner: Runner) -> None:
    """Remove the timers of a host that has no Infisical any more, and what it shared with others.

    That is the keys and records; the host's own configuration stays.
    """
    for name in _TIMERS:
        runner.run(["systemctl", "disable", "--quiet", "--now", f"infisical-{name}.timer"])
    for path in list_shared(runner):
        files.remove(runner.path(f"{ROOT}/{path}"))
    shutil.rmtree(runner.path(_SHARE), ignore_errors=True)
