"""Run the maintenance window and the firewall's fallback, for units of systemd.

--maintenance run [reboot]   upgrades Docker's packages; with `reboot`, reboots the host then if an
                             update asked for it. Waits up to two hours for work that it must
                             not interrupt
--maintenance turn <number>  on a host of a cluster, before `run`: waits half an hour for each
                             host before this one, then until the cluster is complete
--maintenance failed         reports a failure to the journal and the webhook
--firewall fallback <file>   loads rules that allow only SSH, unless some rules are loaded
--firewall failed            reports to the webhook what the fallback reported to the journal

Around a restart of its engine, a host of a cluster waits until the cluster is complete. A task that
runs may not have rejoined etcd or PostgreSQL yet, so their members are counted by their own
answers. Only a data node can ask them; elsewhere both counts are 0.
"""

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from infisical_iac.agent.docker import PROJECT, find_container, list_containers
from infisical_iac.agent.files import hold, write
from infisical_iac.agent.reporting import plain, report_failure, utc
from infisical_iac.agent.runner import Failure, Output, Runner, action, failure_of, observation
from infisical_iac.agent.swarm import MAINTENANCE
from infisical_iac.agent.system import install_packages

_STATE = "/var/lib/infisical-maintenance"
_LOCK = "/run/infisical-iac.lock"
_BACKUP_LOCK = "/var/lib/infisical-backup/lock"
_CHANGES = ("restore", "upgrade", "rotation", "scale")
_REBOOT = "/run/reboot-required"
_PATIENCE = 7200
_APT_SECONDS = 600
_PACKAGES = ("docker*", "containerd", "containerd.io", "runc")


def main(arguments: Sequence[str]) -> int:
    """Run what the arguments say, as the docstring of this module describes; return the status."""
    runner = Runner()
    match arguments:
        case ["run", *more]:
            return run_window(runner, reboots="reboot" in more)
        case ["turn", number]:
            return wait_for_turn(runner, int(number))
        case ["failed"]:
            return report_failure(runner, "The host's maintenance", _STATE)
    return 2


def run_window(runner: Runner, *, reboots: bool) -> int:
    """Run the maintenance window, and record its result; return the exit status."""
    _begin(runner)
    with ExitStack() as locks:
        try:
            _hold_locks(runner, locks)
            announce_absence(runner)
            _upgrade(runner)
        except RuntimeError as error:
            _conclude(runner, error.args[0].message)
            announce_return(runner)
            print(error.args[0].message, file=sys.stderr)
            return 1
        _conclude(runner, "")
        announce_return(runner)
        if reboots and runner.path(_REBOOT).exists():
            announce_absence(runner)
            asking = " ".join((runner.text(f"{_REBOOT}.pkgs") or "").split())
            print(f"The host reboots, as an update of {asking} requires")
            runner.run(["systemctl", "reboot"])
    return 0


def _begin(runner: Runner) -> None:
    write(runner.path(f"{_STATE}/running"), b"", mode=0o644)


def _conclude(runner: Runner, reason: str) -> None:
    ended = {"ended": utc(time.time()), "failure": plain(reason)}
    write(runner.path(f"{_STATE}/last.json"), f"{json.dumps(ended)}\n".encode(), mode=0o644)
    runner.path(f"{_STATE}/running").unlink(missing_ok=True)


def _hold_locks(runner: Runner, locks: ExitStack) -> None:
    """Take the locks of infisical-iac's runs and of backups, so that neither begins.

    The first lock has no process number, since nobody may end the maintenance. A drill also holds
    the second lock while it reads a repository.

    Raises RuntimeError with a Failure.
    """
    hours = "has been at work for 2 hours"
    locks.enter_context(hold(runner.path(_LOCK), _PATIENCE, f"a run of infisical-iac {hours}"))
    holder = f"by the host's maintenance since {time.strftime('%a %b %e %H:%M:%S %Z %Y')}\n"
    runner.path(_LOCK).write_text(holder)
    for _ in range(max(1, _PATIENCE // 30)):
        reason = _find_work(runner)
        if not reason:
            # An unfinished change needs this lock for its end, so it is not held while one is.
            backups = ExitStack()
            backups.enter_context(hold(runner.path(_BACKUP_LOCK), _PATIENCE, f"a backup {hours}"))
            reason = _find_work(runner)
            if not reason:
                locks.enter_context(backups)
                return
            backups.close()
        time.sleep(30)
    raise failure_of(reason)


def _find_work(runner: Runner) -> str:
    """Return what must end before the maintenance; empty if nothing must."""
    for each in _CHANGES:
        if runner.path(f"/var/lib/infisical-{each}/state").exists():
            return f"an unfinished {each} has to end first: run `infisical-iac apply`"
    shown = ["systemctl", "show", "--property=ActiveState", "--value", "infisical-drill.service"]
    is_drilling = runner.run(shown).text.strip().endswith("activating")
    return "a drill has been at work for 2 hours" if is_drilling else ""


def _upgrade(runner: Runner) -> None:
    """Upgrade Docker's packages, and wait for healthy containers. Raises RuntimeError."""
    query = ["dpkg-query", "--show", "--showformat", "${db:Status-Abbrev} ${Package}\\n"]
    lines = runner.run([*query, *_PACKAGES]).text.splitlines()
    # Packages that the operator holds back are not upgraded.
    found = [name for status, name in map(str.split, lines) if status == "ii"]
    install_packages(runner, names=found, seconds=_APT_SECONDS)
    for _ in range(60):
        if _is_healthy(runner):
            return
        time.sleep(5)
    raise failure_of("the containers are not healthy 5 minutes after Docker's upgrade")


def _is_healthy(runner: Runner) -> bool:
    if whole(runner, *PARTS):
        return False
    try:
        own = list_containers(runner, f"label=com.docker.compose.project={PROJECT}")
    except RuntimeError:
        return False
    return all(each.health == "healthy" for each in own)


def wait_for_turn(runner: Runner, number: int) -> int:
    """Wait for this host's turn, and until the cluster is complete; return the exit status."""
    _begin(runner)
    time.sleep(number * 1800)
    for _ in range(120):
        missing = whole(runner, *PARTS)
        if not missing:
            return 0
        print(missing, file=sys.stderr)
        time.sleep(30)
    _conclude(
        runner,
        "another node of the cluster is unreachable, a service lacks tasks, or etcd or PostgreSQL "
        "lacks members, so this host waits",
    )
    return 1


_TABLE = ("inet", "infisical")
_FIREWALL_STATE = "/run/infisical-firewall"


def main_of_firewall(arguments: Sequence[str]) -> int:
    """Handle a firewall whose rules can't be loaded; return the exit status."""
    runner = Runner()
    match arguments:
        case ["fallback", file]:
            return load_fallback(runner, file)
        case ["failed"]:
            return report_failure(runner, "The start of the firewall", _FIREWALL_STATE)
    return 2


def load_fallback(runner: Runner, file: str) -> int:
    """Load the rules of a file, which allow only SSH, unless some rules are loaded already."""
    then = "Docker is not started: run `infisical-iac apply`"
    listed = runner.run(["nft", "list", "table", *_TABLE])
    if listed.status == 127:
        why = f"there is no program nft, so nothing is filtered, and {then}"
        return _record(runner, 2, why)
    if listed.status == 0:
        why = "its rules can't be loaded, and those that were loaded before stay: "
        return _record(runner, 3, f"{why}run `infisical-iac apply`")
    loaded = runner.run(["nft", "-f", file])
    if loaded.status != 0:
        print(loaded.errors.strip(), file=sys.stderr)
        why = (
            "neither its rules nor those that allow only SSH can be loaded, so nothing is filtered"
        )
        return _record(runner, 2, f"{why}, and {then}")
    return _record(runner, 3, f"its rules can't be loaded, so only SSH is allowed, and {then}")


def _record(runner: Runner, level: int, why: str) -> int:
    """Record why the rules aren't loaded; return 1 for `level` 2: nothing is filtered."""
    print(f"<{level}>The firewall: {why}", file=sys.stderr)
    text = json.dumps({"failure": why}) + "\n"
    write(runner.path(f"{_FIREWALL_STATE}/last.json"), text.encode(), mode=0o644)
    return 1 if level == 2 else 0


PARTS = ("nodes", "services", "data")
_UNIT = "docker.service"
_RELOAD_SECONDS = 30
_CLUSTER = """curl --noproxy "*" --silent --max-time 5 "${REST:-http}://127.0.0.1:8008/cluster\""""


@dataclass(frozen=True)
class DataCounts:
    """The numbers of healthy members of etcd, and of PostgreSQLs.

    A PostgreSQL counts as a running primary, or as a standby that streams from it.
    """

    etcd: int = 0
    postgres: int = 0

    def __str__(self) -> str:
        return f"etcd {self.etcd}, PostgreSQL {self.postgres}"


@observation
def count_data(runner: Runner) -> DataCounts:
    """Return the counts that this host's members report."""
    said = _ask(runner, "etcd", ["etcdctl", "endpoint", "health", "--cluster"])
    try:
        cluster = json.loads(_ask(runner, "postgres", ["sh", "-c", _CLUSTER]).text)
        copies = sum(map(_is_healthy_member, cluster["members"]))
    except (ValueError, KeyError, TypeError):
        copies = 0
    return DataCounts(f"{said.text}{said.errors}".count(" is healthy"), copies)


def _is_healthy_member(member: dict[str, Any]) -> bool:
    state = member.get("state")
    return state == "streaming" or (member.get("role"), state) == ("leader", "running")


def _ask(runner: Runner, service: str, words: Sequence[str]) -> Output:
    try:
        container = find_container(runner, service)
    except RuntimeError:
        return Output(1)
    if container is None:
        return Output(1)
    return runner.run(["docker", "exec", container.id, *words], seconds=60)


def find_missing(runner: Runner, *parts: str) -> str:
    """Return what the cluster lacks, of `PARTS`; empty if it is complete.

    It is complete for a host outside a swarm, and for a worker, which can't see the others.
    """
    shown = runner.run(["docker", "info", "--format", "{{json .Swarm}}"], seconds=60)
    try:
        swarm = json.loads(shown.text)
    except ValueError:
        return shown.errors.strip() or "Docker does not answer"
    state = swarm.get("LocalNodeState")
    if state == "inactive" or (state == "active" and not swarm.get("ControlAvailable")):
        return ""
    if state != "active":
        return f"the host is {state} in the swarm"
    finders: dict[str, Callable[[Runner], Iterator[str]]] = {
        "nodes": _missing_nodes,
        "services": _missing_tasks,
        "data": _missing_data,
    }
    return next((why for part in parts for why in finders[part](runner)), "")


def _missing_nodes(runner: Runner) -> Iterator[str]:
    for node in _list(runner, "node"):
        state = f"{node['Status']} {node['Availability']} {node['ManagerStatus']}".strip()
        if not re.fullmatch("Ready Active( Leader| Reachable)?", state):
            yield f"{node['Hostname']} is {state}"


def _missing_tasks(runner: Runner) -> Iterator[str]:
    for service in _list(runner, "service"):
        running, _, desired = service["Replicas"].split()[0].partition("/")
        if running != desired:
            yield f"{service['Name']} {service['Replicas']}"


def _missing_data(runner: Runner) -> Iterator[str]:
    names = [each["Name"] for each in _list(runner, "service")]
    expected = DataCounts(
        sum(each.startswith("infisical_etcd-") for each in names),
        sum(each.startswith("infisical_postgres-") for each in names),
    )
    yield from _fewer_than(expected, count_data(runner))


def _fewer_than(expected: DataCounts, found: DataCounts) -> Iterator[str]:
    if found.etcd < expected.etcd or found.postgres < expected.postgres:
        yield f"healthy members: {found}, instead of {expected}"


def _list(runner: Runner, kind: str) -> list[dict[str, str]]:
    """Return the nodes or services; raises RuntimeError with a Failure.

    Without a leader nothing is listed, which does not mean that nothing is missing.
    """
    text = runner.must_run(["docker", kind, "ls", "--format", "{{json .}}"], seconds=60)
    return [json.loads(line) for line in text.splitlines()]


def whole(runner: Runner, *parts: str) -> str:
    """Return as `find_missing`, with the reason if the Swarm does not answer."""
    try:
        return find_missing(runner, *parts)
    except RuntimeError as error:
        return str(error.args[0].message)


def _refuse(message: str, remedy: str = "") -> RuntimeError:
    return RuntimeError(Failure("command", message, remedy))


@observation
def check_spare(runner: Runner) -> DataCounts:
    """Return the counts of healthy members if the cluster can do without this host for a while.

    Raises RuntimeError with a Failure if it can't.
    """
    if missing := whole(runner, "nodes"):
        raise _refuse(
            f"another node is unreachable ({missing}), and without both there would be no majority",
            "bring that one back first",
        )
    found = count_data(runner)
    if find_container(runner, "etcd") and found.etcd < 3:
        raise _refuse(
            f"only {found.etcd} members of etcd are healthy, and without this host's there would "
            "be no majority",
            "see docs/operate/cluster/runbooks.md",
        )
    return found


@observation
def await_health(runner: Runner, *, seconds: float, etcd: int, postgres: int) -> None:
    """Wait until all nodes are there, each service has all tasks, and so many members are healthy.

    Raises RuntimeError with a Failure if they are not within the seconds.
    """
    end = time.monotonic() + seconds
    while missing := _missing_of(runner, DataCounts(etcd, postgres)):
        if time.monotonic() >= end:
            raise _refuse(missing)
        time.sleep(1)


def _missing_of(runner: Runner, expected: DataCounts) -> str:
    found = whole(runner, "nodes", "services")
    return found or next(_fewer_than(expected, count_data(runner)), "")


@observation
def await_node(runner: Runner, *, node: str, seconds: float) -> None:
    """Wait until the swarm reports a node as ready; for a manager.

    Raises RuntimeError with a Failure if it does not within the seconds.
    """
    end = time.monotonic() + seconds
    shown = ["docker", "node", "inspect", "--format", "{{.Status.State}}", node]
    while runner.run(shown, seconds=60).text.strip() != "ready":
        if time.monotonic() >= end:
            raise _refuse("the swarm still reports it as down", "see `journalctl -u docker` there")
        time.sleep(1)


@action
def reload_engine(runner: Runner, *, config: str) -> None:
    """Have the engine read its configuration file without a restart, so that live-restore ends.

    Raises RuntimeError with a Failure if live-restore stays on.
    """
    runner.must_run(["systemctl", "reload", _UNIT])
    shown = ["docker", "info", "--format", "{{.LiveRestoreEnabled}}"]
    for _ in range(_RELOAD_SECONDS):
        if runner.run(shown, seconds=60).text.strip() != "true":
            break
        time.sleep(1)
    else:
        raise _refuse(f"Docker still has live-restore on after it reloaded {config}")
    # A file newer than the engine's start means that a restart is due.
    asked = ["systemctl", "show", "--timestamp=unix", "--property=ExecMainStartTimestamp"]
    started = runner.must_run([*asked, "--value", _UNIT]).strip().removeprefix("@")
    os.utime(runner.path(config), (float(started), float(started)))


# The longest time that the other nodes' monitors expect a host to be unreachable.
_ABSENCE_SECONDS = 1200


def announce_absence(runner: Runner) -> None:
    """Have the monitors of the other nodes expect this one to be unreachable for a while."""
    _label(runner, "--label-add", f"{MAINTENANCE}={int(time.time()) + _ABSENCE_SECONDS}")


def announce_return(runner: Runner) -> None:
    """Have the monitors of the other nodes expect this one again."""
    _label(runner, "--label-rm", MAINTENANCE)


def _label(runner: Runner, option: str, label: str) -> None:
    """Change a label of this node, which only a manager can."""
    shown = runner.run(["docker", "info", "--format", "{{json .Swarm}}"], seconds=60)
    try:
        swarm = json.loads(shown.text)
    except ValueError:
        return
    if swarm.get("ControlAvailable") and swarm.get("NodeID"):
        runner.run(["docker", "node", "update", option, label, swarm["NodeID"]], seconds=60)
