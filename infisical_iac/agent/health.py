"""Observe the health of this host, and read the report of its monitor.

The health is that of its stack, disks, certificate, credentials, backups, edge and firewall.
"""

import fcntl
import json
import os
import re
import shutil
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infisical_iac.agent.runner import Output, Runner, observation

# A program that does not end within this time is treated as one that failed.
_SECONDS = 20
_TLS_SECONDS = 10
_PROJECT = "label=com.docker.compose.project=infisical"
_SERVICE = "com.docker.compose.service"
_DATABASES = "infisical_databases"
_GIVEN_UP = (
    'given-up {{ .Name }} {{ .Label "infisical-iac.since" }} {{ .Label "infisical-iac.writes" }} '
    '{{ .Label "infisical-iac.images" }}'
)
# Docker's directory and its volumes may be file systems of their own.
_DISKS = ("/var/lib", "/var/lib/docker", "/var/lib/docker/volumes")
_TERM = re.compile(r"^# ends ([0-9TZ:-]+), made ([0-9TZ:-]+)$", re.MULTILINE)
_SUCCESS = re.compile(r"^success (\d+)$", re.MULTILINE)
# The holder of the host while a transaction's unit is at work, and no connection holds the lock.
BY_ITSELF = "a change that goes on by itself"
_TRANSACTIONS = ("restore", "upgrade", "scale", "rotation")
_CREDENTIALS = "/etc/infisical/credentials"
_TARGETS = "/var/lib/infisical-backup/targets"
_RULES = "/etc/infisical-iac/firewall.nft"
DRILL_TIMER = "/etc/systemd/system/infisical-drill.timer"


@dataclass(frozen=True)
class Running:
    """A container.

    Attributes:
        health: the result of its health check; `none` if it has no such check.
        started, finished: when its process last started and ended, as Docker prints it; empty if
            unknown.
        restarts: how often Docker has restarted it.
        address: its address in the network of the databases; empty without one.
    """

    image: str
    status: str
    health: str
    started: str = ""
    finished: str = ""
    restarts: int = 0
    address: str = ""


@dataclass(frozen=True)
class DiskSpace:
    """The free and total bytes of the file system that holds the directory `place`."""

    place: str = ""
    free: int = 0
    size: int = 0


@dataclass(frozen=True)
class HealthFacts:
    """The health of a host, as observed. Times are in seconds since the epoch.

    Attributes:
        engine: whether Docker answers.
        containers: by service of the Compose project.
        given_up: a line `given-up <volume> <since> <writes> <images>` for each volume with data
            that were given up.
        disk: of Docker's file systems, the one with the least free space.
        holder: the first line of the host's lock file while it is held, or a phrase while the host
            is at work on a change by itself; else empty.
        credentials: when each client secret that expires was made and ends, as UTC timestamps, by
            the name of its file.
        certificate_ends: when the served certificate expires; None if none is served.
        backups_since, drills_since: when they were set up; None if they are not.
        backups, drills: the record of the last one; empty before the first.
        saved: when this host last saved in a target, by the target's name.
        closed: since when the edge is closed for a change.
        unfinished: the state of an unfinished `restore`, `upgrade`, `scale` or `rotation`, by this
            name.
        ended: the journal of a transaction whose end nobody was told, by the same names.
        firewall: `loaded`, or the rules that are in effect instead: `failed` for the previous ones,
            `ssh-only` or `none`; empty on a host without a firewall of this project.
    """

    engine: bool = False
    containers: dict[str, Running] = field(default_factory=dict)
    given_up: tuple[str, ...] = ()
    disk: DiskSpace = field(default_factory=DiskSpace)
    holder: str = ""
    credentials: dict[str, tuple[str, str]] = field(default_factory=dict)
    certificate_ends: int | None = None
    backups_since: int | None = None
    backups: str = ""
    saved: dict[str, int] = field(default_factory=dict)
    drills_since: int | None = None
    drills: str = ""
    closed: int | None = None
    unfinished: dict[str, str] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)
    firewall: str = ""


def parse_moment(text: str) -> float | None:
    """Return a UTC timestamp, as Docker or this project writes it, in seconds since the epoch.

    None for another text, and for the zero time that Docker prints for "never".
    """
    whole = text.partition(".")[0].removesuffix("Z")
    try:
        moment = datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S")
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC).timestamp() if moment.year > 1 else None


def parse_progress(state: str) -> tuple[bool, float]:
    """Return whether an unfinished change waits for an answer, and when its last step began.

    The time is 0.0 if the state does not have it, as that of an earlier version.
    """
    try:
        found = json.loads(state)
        return bool(found["waits"]), parse_moment(found["log"][-1][0]) or 0.0
    except (ValueError, LookupError, TypeError):
        return False, 0.0


@observation
def facts(runner: Runner, *, served_name: str, port: int, lock: str) -> HealthFacts:
    """Return the health of the host. A part that can't be observed has its default.

    Args:
        served_name: the name in the certificate to look for; empty for none.
        port: where that certificate is served.
        lock: the file of the host's lock.
    """
    engine = run_shortly(runner, ["docker", "ps", "--all", "--quiet", "--filter", _PROJECT])
    answers = engine.status == 0
    return HealthFacts(
        engine=answers,
        containers=_containers(runner, engine.lines),
        given_up=tuple(_given_up(runner)) if answers else (),
        disk=_fullest_disk(runner),
        holder=_holder(runner, lock) or _change_at_work(runner),
        credentials=dict(_terms(runner)),
        certificate_ends=_certificate_end(runner, served_name, port) if served_name else None,
        backups_since=time_of_change(runner, "/etc/infisical/keys/restic_password"),
        backups=runner.text("/var/lib/infisical-backup/last.json") or "",
        saved=dict(_times_of_backups(runner)),
        drills_since=time_of_change(runner, DRILL_TIMER),
        drills=runner.text("/var/lib/infisical-drill/last.json") or "",
        closed=time_of_change(runner, "/etc/infisical/ingress/closed"),
        unfinished=dict(_transactions(runner, "state")),
        ended=dict(_transactions(runner, "last")),
        firewall=_firewall(runner),
    )


def run_shortly(
    runner: Runner, words: Sequence[str], *, stdin: str = "", seconds: int = _SECONDS
) -> Output:
    """Run a program; return the status 124 if it was killed after `seconds`."""
    try:
        return runner.run(words, stdin=stdin, seconds=seconds)
    except RuntimeError:
        return Output(124)


def _containers(runner: Runner, ids: Sequence[str]) -> dict[str, Running]:
    if not ids:
        return {}
    # Docker fails if a container is removed meanwhile, but prints the others.
    shown = run_shortly(runner, ["docker", "inspect", "--format", "{{json .}}", *ids]).text
    found = [json.loads(line) for line in shown.splitlines() if line.startswith("{")]
    return {each["Config"]["Labels"].get(_SERVICE, ""): _running(each) for each in found}


def _running(container: Mapping[str, Any]) -> Running:
    state = container["State"]
    networks = container.get("NetworkSettings", {}).get("Networks", {})
    return Running(
        container["Config"]["Image"],
        state["Status"],
        (state.get("Health") or {}).get("Status", "none"),
        state.get("StartedAt", ""),
        state.get("FinishedAt", ""),
        container.get("RestartCount", 0),
        networks.get(_DATABASES, {}).get("IPAddress", ""),
    )


def _given_up(runner: Runner) -> list[str]:
    kept = "name=^infisical_postgres_given_up_"
    return run_shortly(
        runner, ["docker", "volume", "ls", "--filter", kept, "--format", _GIVEN_UP]
    ).lines


def _fullest_disk(runner: Runner) -> DiskSpace:
    found = []
    for place in _DISKS:
        try:
            usage = shutil.disk_usage(runner.path(place))
        except OSError:
            continue
        found.append(DiskSpace(place, usage.free, usage.total))
    return min(found, key=lambda each: each.free, default=DiskSpace())


def _holder(runner: Runner, lock: str) -> str:
    try:
        descriptor = os.open(runner.path(lock), os.O_RDONLY)
    except OSError:
        return ""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        lines = (runner.text(lock) or "").splitlines()
        return lines[0] if lines else ""
    finally:
        os.close(descriptor)
    return ""


def _change_at_work(runner: Runner) -> str:
    """Return a phrase if a unit is at work on a change that no connection holds the lock for."""
    units = ["systemctl", "is-active", "--quiet", "infisical-transaction-*"]
    return BY_ITSELF if run_shortly(runner, units).status == 0 else ""


def _files(runner: Runner, folder: str) -> list[Path]:
    return sorted(each for each in runner.path(folder).glob("*") if each.is_file())


def _terms(runner: Runner) -> Iterator[tuple[str, tuple[str, str]]]:
    for file in _files(runner, _CREDENTIALS):
        name, _, kind = file.name.rpartition(".")
        if kind == "env" and (
            term := _TERM.search(runner.text(f"{_CREDENTIALS}/{file.name}") or "")
        ):
            yield name, (term[2], term[1])


def _times_of_backups(runner: Runner) -> Iterator[tuple[str, int]]:
    for file in _files(runner, _TARGETS):
        if success := _SUCCESS.search(runner.text(f"{_TARGETS}/{file.name}") or ""):
            yield file.name, int(success[1])


def time_of_change(runner: Runner, path: str) -> int | None:
    """Return when a path was last changed; None without it."""
    try:
        return int(runner.path(path).stat().st_mtime)
    except OSError:
        return None


def _certificate_end(runner: Runner, name: str, port: int) -> int | None:
    client = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", name]
    served = run_shortly(runner, client, seconds=_TLS_SECONDS).text
    if "BEGIN CERTIFICATE" not in served:
        return None
    shown = run_shortly(runner, ["openssl", "x509", "-noout", "-enddate"], stdin=served).text
    try:
        return int(ssl.cert_time_to_seconds(shown.strip().removeprefix("notAfter=")))
    except ValueError:
        return None


def _transactions(runner: Runner, file: str) -> Iterator[tuple[str, str]]:
    for name in _TRANSACTIONS:
        if (text := runner.text(f"/var/lib/infisical-{name}/{file}")) is not None:
            yield name, " ".join(text.split())


def _firewall(runner: Runner) -> str:
    if not runner.path(_RULES).exists():
        return ""
    rules = run_shortly(runner, ["nft", "list", "table", "inet", "infisical"])
    if not rules.lines:
        return "none"
    if "chain ssh_only" in rules.text:
        return "ssh-only"
    unit = ["systemctl", "--quiet", "is-failed", "infisical-firewall.service"]
    return "failed" if run_shortly(runner, unit).status == 0 else "loaded"


CONFIG = "/etc/infisical/monitoring.json"
DIRECTORY = "/var/lib/infisical-monitor"
SILENCE = f"{DIRECTORY}/silence.json"
# The addresses of containers, as the exporters see them in place of /etc/hosts.
HOSTS = f"{DIRECTORY}/hosts"
# The result of the last `infisical-iac drift`, as JSON.
DRIFT = f"{DIRECTORY}/drift.json"
# The result of the last `infisical-iac outdated --keep`, as JSON.
RELEASES = f"{DIRECTORY}/releases.json"
# The state that a run of the monitor saves for the next one; the second path is for a full disk.
MEMORIES = (f"{DIRECTORY}/state.json", "/run/infisical-monitor/state.json")
# node_exporter, as Debian and Ubuntu package it, reads metrics from files in this directory.
COLLECTED = "/var/lib/prometheus/node-exporter/infisical_monitor.prom"


@dataclass(frozen=True)
class Silence:
    """A period without alerts, its reason, and the person who asked for it."""

    until: float
    why: str = ""
    by: str = ""


def read_silence(runner: Runner, now: float) -> Silence | None:
    """Return the current silence; None without one, and for a file that can't be read."""
    try:
        found = json.loads(runner.text(SILENCE) or "{}")
        silence = Silence(float(found["until"]), str(found["why"]), str(found["by"]))
    except (ValueError, KeyError, TypeError):
        return None
    return silence if silence.until > now else None


@dataclass(frozen=True)
class MonitorReport:
    """The state of the monitor, as `status` shows it.

    Attributes:
        at: when it last ran; 0.0 if it never did.
        alerts: the sentences on the alerts that last.
        failing: why alerts can't be delivered, by the target's name.
    """

    at: float = 0.0
    alerts: tuple[str, ...] = ()
    failing: dict[str, str] = field(default_factory=dict)
    silence: Silence | None = None


@observation
def report(runner: Runner) -> MonitorReport:
    """Return the state of the monitor, and the current silence."""
    silence, found = read_silence(runner, time.time()), MonitorReport()
    for path in MEMORIES:
        try:
            memory = json.loads(runner.text(path) or "{}")
            texts = tuple(each["text"] for each in memory["book"]["alerts"].values())
            failing = {name: why for name, (_, why) in memory["failing"].items()}
            read = MonitorReport(memory["at"], texts, failing)
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        found = max(found, read, key=lambda each: each.at)
    return replace(found, silence=silence)
