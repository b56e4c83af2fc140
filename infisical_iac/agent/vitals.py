"""Observe the machine below Infisical: memory, load, units, clock, reboot and recovery kit."""

import http.client
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field

from infisical_iac.agent.canary import CanaryRun, CanaryTarget, ask, connect
from infisical_iac.agent.health import (
    DRIFT,
    HOSTS,
    Running,
    parse_moment,
    run_shortly,
    time_of_change,
)
from infisical_iac.agent.keys import ENCRYPTION_KEY, kit_fingerprints, list_changed, name_due
from infisical_iac.agent.runner import Runner


@dataclass(frozen=True)
class DriftRecord:
    """The result of the last drift check, which looks into Infisical with the operator's rights.

    Attributes:
        at: when it was made.
        changes: one line each; access that the project file does not give begins with `* `.
        error: why the check failed; empty for a success.
    """

    at: float
    changes: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class TimerState:
    """A timer of systemd. Times are in seconds since the epoch.

    Attributes:
        is_active: whether it will start its job, or has started it and waits for its end.
        running_since: when it started the job that has not ended; None if none runs.
        next_run: when it starts its job the next time; None if that is unknown.
    """

    name: str
    is_active: bool = True
    running_since: float | None = None
    next_run: float | None = None


@dataclass(frozen=True)
class Vitals:
    """The state of the machine. Sizes are in bytes, times in seconds since the epoch.

    Attributes:
        uptime: seconds since the boot.
        load: the average over 15 minutes.
        failed_units: the names of systemd's failed units.
        timers: those of this project that should run.
        reboot_due: since when an update asks for a reboot; None if none does.
        synchronized: whether the clock is synchronized; None if that is unknown, as in a
            container.
        lock_taken: when the host's lock was last taken; None if it never was.
        kit: why a new recovery kit is due; empty if none is.
        undelivered: since when nothing could be delivered to a target, and the reason, by its name.
        canary: the last run of the canary; None if there is no canary.
        drift: the last drift check; None if there was none.
        is_sign_up_open: whether anybody may make an account; None if that is unknown.
    """

    uptime: float = 0.0
    load: float = 0.0
    processors: int = 1
    memory: int = 0
    available: int = 0
    swap: int = 0
    free_swap: int = 0
    failed_units: tuple[str, ...] = ()
    timers: tuple[TimerState, ...] = ()
    reboot_due: float | None = None
    synchronized: bool | None = None
    lock_taken: float | None = None
    kit: str = ""
    undelivered: dict[str, tuple[float, str]] = field(default_factory=dict)
    canary: CanaryRun | None = None
    drift: DriftRecord | None = None
    is_sign_up_open: bool | None = None


def observe(runner: Runner, *, timers: Sequence[str], lock: str, api: str = "") -> Vitals:
    """Return the state of the machine. A part that can't be observed has its default.

    Args:
        timers: those that should run.
        lock: the file of the host's lock.
        api: the address of Infisical on the loopback; empty to ask nothing there.
    """
    memory = dict(_meminfo(runner))
    taken = time_of_change(runner, lock)
    due = time_of_change(runner, "/run/reboot-required")
    return Vitals(
        uptime=_first_number(runner, "/proc/uptime", 0),
        load=_first_number(runner, "/proc/loadavg", 2),
        processors=os.cpu_count() or 1,
        memory=memory.get("MemTotal", 0),
        available=memory.get("MemAvailable", 0),
        swap=memory.get("SwapTotal", 0),
        free_swap=memory.get("SwapFree", 0),
        failed_units=tuple(_failed_units(runner)),
        timers=tuple(_timers(runner, timers)),
        reboot_due=due,
        synchronized=_is_clock_synchronized(runner),
        lock_taken=taken,
        kit=_why_new_kit(runner),
        drift=_read_drift(runner),
        is_sign_up_open=_is_sign_up_open(api) if api else None,
    )


def _first_number(runner: Runner, path: str, position: int) -> float:
    words = (runner.text(path) or "").split()
    try:
        return float(words[position])
    except (IndexError, ValueError):
        return 0.0


def _meminfo(runner: Runner) -> Iterator[tuple[str, int]]:
    for line in (runner.text("/proc/meminfo") or "").splitlines():
        match line.split():
            case [name, number, "kB"] if number.isdecimal():
                yield name.removesuffix(":"), int(number) * 1024


def _failed_units(runner: Runner) -> list[str]:
    shown = run_shortly(runner, ["systemctl", "list-units", "--state=failed", "--output=json"])
    try:
        return sorted(each["unit"] for each in json.loads(shown.text or "[]"))
    except (ValueError, KeyError, TypeError):
        return []


_TIMER = "Id,ActiveState,SubState,LastTriggerUSec,NextElapseUSecRealtime"


def _timers(runner: Runner, timers: Sequence[str]) -> Iterator[TimerState]:
    if not timers:
        return
    asked = ["systemctl", "show", "--timestamp=unix", f"--property={_TIMER}", "--", *timers]
    blocks = (
        dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        for block in run_shortly(runner, asked).text.split("\n\n")
    )
    for block in blocks:
        if "Id" in block:
            # An elapsed timer starts nothing any more.
            stopped = "inactive" in block.values() or block.get("SubState") == "elapsed"
            began = _moment(block.get("LastTriggerUSec", ""))
            yield TimerState(
                block["Id"],
                not stopped,
                began if block.get("SubState") == "running" else None,
                _moment(block.get("NextElapseUSecRealtime", "")),
            )


def _moment(text: str) -> float | None:
    """Return a time that systemd prints as `@1795600800`; None for another text."""
    return float(text[1:]) if text.startswith("@") and text[1:].isdecimal() else None


def _is_clock_synchronized(runner: Runner) -> bool | None:
    # The clock of a container is its host's.
    if run_shortly(runner, ["systemd-detect-virt", "--quiet", "--container"]).status == 0:
        return None
    asked = ["timedatectl", "show", "--property=NTPSynchronized", "--value"]
    return {"yes": True, "no": False}.get(run_shortly(runner, asked).text.strip())


def _why_new_kit(runner: Runner) -> str:
    """Return why a new recovery kit is due, as `infisical-iac status` finds it."""
    found = kit_fingerprints(runner)
    if ENCRYPTION_KEY not in found.files:
        return ""
    if found.record is None:
        return "none has been made"
    try:
        due = name_due(list_changed(json.loads(found.record)["files"], found.files))
    except (ValueError, KeyError, TypeError, AttributeError):
        return "the record of the last one can't be read"
    return f"{due} changed since the last one" if due else ""


def write_hosts(runner: Runner, containers: Mapping[str, Running]) -> None:
    """Write where the exporters find the containers, as lines of /etc/hosts.

    A container's address may change at each start. The file is written in place, because a unit
    that has it mounted keeps the file that was there at its start.
    """
    text = "127.0.0.1 localhost\n" + "".join(
        f"{each.address} {service}.infisical.internal\n"
        for service, each in sorted(containers.items())
        if each.address
    )
    # While Docker does not answer, the addresses of before are the better ones.
    if not containers or runner.text(HOSTS) == text:
        return
    path = runner.path(HOSTS)
    with suppress(OSError), path.open("r+" if path.exists() else "w") as file:
        file.write(text)
        file.truncate()
        path.chmod(0o644)


def _read_drift(runner: Runner) -> DriftRecord | None:
    try:
        found = json.loads(runner.text(DRIFT) or "{}")
        at = parse_moment(str(found["at"]))
        changes = tuple(map(str, found["changes"]))
        return None if at is None else DriftRecord(at, changes, str(found["error"]))
    except (ValueError, KeyError, TypeError):
        return None


def _is_sign_up_open(api: str) -> bool | None:
    """Return whether sign-up is open; None if Infisical does not say it."""
    try:
        with closing(connect(CanaryTarget(api))) as connection:
            found = ask(connection, "GET", "/api/v1/admin/config", None)
            return bool(found["config"]["initialized"] and found["config"]["allowSignUp"])
    except (OSError, ValueError, LookupError, TypeError, http.client.HTTPException):
        return None
