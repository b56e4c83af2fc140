"""Remove Infisical from a single host, after a backup of its database, keys and credentials."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from infisical_iac.agent.database import Database, find_database
from infisical_iac.agent.docker import list_containers, remove_containers
from infisical_iac.agent.files import make_folder, sync
from infisical_iac.agent.runner import Failure, Runner, action, failure_of, observation
from infisical_iac.agent.stack import COMPOSE_FILE, ROOT, close_port

_FIREWALL = "/etc/infisical-iac/firewall.nft"
_UNITS = "/etc/systemd/system"
_JAIL = "/etc/fail2ban/jail.d/infisical-iac.conf"
_BANS = (
    _JAIL,
    "/etc/fail2ban/filter.d/infisical-login.conf",
    "/etc/fail2ban/filter.d/infisical-calls.conf",
    "/etc/fail2ban/action.d/infisical-nftables.conf",
    "/etc/fail2ban/action.d/infisical_networks.py",
)
_SOCKETS = ("infisical-metrics-infisical.socket", "infisical-metrics-caddy.socket")
_EXPORTERS = tuple(f"prometheus-{each}-exporter.service" for each in ("node", "postgres", "redis"))
_TIMERS = ("infisical-backup.timer", "infisical-drill.timer")
_JOBS = ("infisical-backup.service", "infisical-drill.service")
# A killed restore, change of version, migration or drill has left a copy of the data.
_PROJECTS = (
    "infisical",
    *(f"infisical-{each}" for each in ("restore", "upgrade", "scale", "drill")),
)
# The records of the repositories are worthless without their password.
_PLACES = (
    ROOT,
    "/var/lib/infisical-backup",
    "/var/lib/infisical-drill",
    "/var/lib/infisical-restore",
    "/var/lib/infisical-upgrade",
    "/var/lib/infisical-rotation",
    "/var/lib/infisical-scale",
    "/var/lib/infisical-share",
    "/var/lib/infisical-monitor",
    "/var/lib/infisical-logs",
)
# A dump takes as long as there are data.
_DUMP_SECONDS = 86400
_NEW = ".new"


@observation
def deployed(runner: Runner) -> list[str]:
    """Return the existing parts of the stack, such as `container infisical-redis-1`.

    Raises RuntimeError with a Failure if Docker does not answer.
    """
    root = runner.path(ROOT)
    # On a data volume the directory is a mount point, which stays.
    found = [f"files {ROOT}"] if root.is_dir() and any(root.iterdir()) else []
    if runner.path(_FIREWALL).exists():
        found.append(f"files {_FIREWALL}")
    if runner.run(["docker", "--version"]).status == 127:
        return found
    chosen = _of("infisical")
    found += [f"container {each.name}" for each in list_containers(runner, chosen)]
    listed = runner.must_run(["docker", "volume", "ls", "--quiet", "--filter", chosen])
    return [*found, *(f"volume {each}" for each in listed.split())]


def _of(project: str) -> str:
    return f"label=com.docker.compose.project={project}"


@action
def back_up(runner: Runner, *, directory: str) -> None:
    """Save the database and the files of /etc/infisical in a new directory.

    Raises RuntimeError with a Failure, with nothing saved, if the database does not run or its dump
    can't be read back.
    """
    save(runner, find_database(runner), directory)


def save(runner: Runner, database: Database, directory: str) -> None:
    """Save a database and the files of /etc/infisical before they are removed.

    The directory is new and private to root, and it is complete or missing.
    """
    saved = runner.path(directory)
    new = saved.with_name(f"{saved.name}{_NEW}")
    # A killed run leaves its files unencrypted.
    for each in saved.parent.glob(f"*{_NEW}"):
        shutil.rmtree(each, ignore_errors=True)
    make_folder(saved.parent)
    new.mkdir(mode=0o700)
    try:
        _fill(runner, database, new)
        new.rename(saved)
        sync(saved.parent)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _fill(runner: Runner, database: Database, directory: Path) -> None:
    dump, files = directory / "database.dump", directory / "etc-infisical.tar"
    done = database.dump(dump, seconds=_DUMP_SECONDS)
    if done.status != 0:
        raise failure_of(done.errors or f"pg_dump ended with status {done.status}")
    list_ = ["docker", "exec", "--interactive", database.container.id, "pg_restore", "--list"]
    if "TABLE DATA" not in runner.load(list_, dump, seconds=_DUMP_SECONDS).text:
        raise RuntimeError(Failure("command", "the dump of the database can't be read back"))
    root = str(runner.path("/"))
    runner.must_run(["tar", "--create", "--file", str(files), "--directory", root, ROOT[1:]])
    for each in (dump, files, directory):
        each.chmod(0o700 if each == directory else 0o600)
        sync(each)


@action
def remove_stack(runner: Runner) -> None:
    """Remove containers and networks; data and keys stay.

    Raises RuntimeError with a Failure if Docker does not answer.
    """
    # The next deploy enables the timers again; until then there is nothing to back up.
    _disable(runner, *_TIMERS, "infisical-transaction.service")
    _disable(runner, "infisical-monitor.timer")
    # The units of packages are this project's if it has written the socket next to them.
    if runner.path(f"{_UNITS}/{_SOCKETS[0]}").exists():
        _disable(runner, *_SOCKETS, *_EXPORTERS)
    runner.run(["systemctl", "stop", *_JOBS, "infisical-transaction-*"])
    close_port(runner, "infisical")
    if containers := list_containers(runner, _of("infisical")):
        stop = ["docker", "stop", "--time", "20"]
        runner.must_run([*stop, *(each.id for each in containers)])
    remove_containers(runner, _of("infisical"))
    _remove(runner, "network", "infisical")
    runner.path(COMPOSE_FILE).unlink(missing_ok=True)


def _disable(runner: Runner, *units: str) -> None:
    runner.run(["systemctl", "disable", "--quiet", "--now", *units])


def _remove(runner: Runner, kind: str, project: str) -> None:
    """Remove the networks or volumes of a Compose project."""
    listed = ["docker", kind, "ls", "--quiet", "--filter", _of(project)]
    if found := runner.must_run(listed).split():
        runner.must_run(["docker", kind, "rm", *found])


@action
def remove_everything(runner: Runner) -> None:
    """Remove the stack, the data, keys, credentials and the firewall.

    Raises RuntimeError with a Failure.
    """
    remove_stack(runner)
    for project in _PROJECTS:
        close_port(runner, project)
        remove_containers(runner, _of(project))
        for kind in ("network", "volume"):
            _remove(runner, kind, project)
    if runner.path(_JAIL).exists():
        _unlink(runner, *_BANS)
        runner.run(["systemctl", "try-restart", "fail2ban.service"])
    _disable(runner, "infisical-logs.service")
    for place in _PLACES:
        _empty(runner.path(place))
    _remove_firewall(runner)


def _unlink(runner: Runner, *paths: str) -> None:
    for each in paths:
        runner.path(each).unlink(missing_ok=True)


def _empty(place: Path) -> None:
    """Remove a directory with its content; a mount point stays, empty."""
    try:
        for each in _content(place):
            if each.is_dir() and not each.is_symlink():
                shutil.rmtree(each)
            else:
                each.unlink()
    except OSError as error:
        raise RuntimeError(
            Failure("command", f"{place} can't be emptied: {error.strerror}")
        ) from None
    try:
        place.rmdir()
    except OSError:
        return


def _content(place: Path) -> Iterator[Path]:
    if place.is_dir() and not place.is_symlink():
        yield from place.iterdir()


def _remove_firewall(runner: Runner) -> None:
    """Remove only this project's table. It protects the data until they are gone."""
    if not runner.path(_FIREWALL).exists():
        return
    # Docker requires the firewall's unit, and would be stopped with it.
    _unlink(runner, f"{_UNITS}/docker.service.d/infisical-firewall.conf")
    runner.must_run(["systemctl", "daemon-reload"])
    runner.must_run(["systemctl", "disable", "--quiet", "--now", "infisical-firewall.service"])
    runner.run(["nft", "delete", "table", "inet", "infisical"])
    _unlink(
        runner,
        "/etc/infisical-iac/firewall-fallback.nft",
        "/usr/local/lib/infisical-iac/firewall.sh",
        *(f"{_UNITS}/infisical-firewall{each}.service" for each in ("", "-fallback", "-failed")),
        # Last, because it shows that there is something to remove.
        _FIREWALL,
    )
    runner.must_run(["systemctl", "daemon-reload"])
