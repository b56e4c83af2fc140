"""Observe the machine below Infisical, and Infisical as its users reach it.

The machine's part is memory, load, units, clock, reboot and recovery kit. The users' part is the
canary: a login, and a secret that is written, read and deleted through the public address.
"""

import http.client
import json
import os
import re
import socket
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit

from infisical_iac.agent.health import (
    DRIFT,
    HOSTS,
    Running,
    parse_moment,
    run_shortly,
    time_of_change,
)
from infisical_iac.agent.keys import kit_fingerprint
from infisical_iac.agent.runner import Runner

_KIT = "/etc/infisical/recovery-kit.json"
_ROOT = "/etc/infisical"
ENCRYPTION_KEY = "keys/encryption_key"
# A change of these needs no new kit, because `apply` re-creates lost service credentials.
CREDENTIALS = "credentials/"
# The login of the canary, and the place of its secret, as `apply` writes them.
CANARY_FILE = f"{_ROOT}/canary.env"
_CANARY_SECONDS = 8
_VALUE = "obviously-public"


@dataclass(frozen=True)
class CanaryTarget:
    """The address through which the canary reaches Infisical.

    Attributes:
        url: the public address.
        address: the address to connect to instead of that of the DNS; empty for the DNS. The
            certificate must be for the name in `url` in both cases.
        authorities: files of further authorities, or of the certificate itself, in PEM; those that
            are missing are left out.
    """

    url: str
    address: str = ""
    authorities: Sequence[str] = ()


@dataclass(frozen=True)
class CanaryRun:
    """The result of a run of the canary.

    Attributes:
        at: when it began; 0.0 if there was none.
        seconds: how long each step took that succeeded, by its name.
        failure: the step that failed and why; empty for a success.
    """

    at: float = 0.0
    seconds: Mapping[str, float] = field(default_factory=dict)
    failure: str = ""


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
class Vitals:
    """The state of the machine. Sizes are in bytes, times in seconds since the epoch.

    Attributes:
        uptime: seconds since the boot.
        load: the average over 15 minutes.
        failed_units: the names of systemd's failed units.
        stopped_timers: those timers of this project that should run and do not.
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
    stopped_timers: tuple[str, ...] = ()
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
        stopped_timers=tuple(_stopped_timers(runner, timers)),
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


def _stopped_timers(runner: Runner, timers: Sequence[str]) -> list[str]:
    if not timers:
        return []
    asked = ["systemctl", "show", "--property=Id,ActiveState", "--", *timers]
    blocks = (
        dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        for block in run_shortly(runner, asked).text.split("\n\n")
    )
    return [block["Id"] for block in blocks if block.get("ActiveState") == "inactive"]


def _is_clock_synchronized(runner: Runner) -> bool | None:
    # The clock of a container is its host's.
    if run_shortly(runner, ["systemd-detect-virt", "--quiet", "--container"]).status == 0:
        return None
    asked = ["timedatectl", "show", "--property=NTPSynchronized", "--value"]
    return {"yes": True, "no": False}.get(run_shortly(runner, asked).text.strip())


def _why_new_kit(runner: Runner) -> str:
    """Return why a new recovery kit is due, as `infisical-iac status` finds it."""
    if (text := runner.text(_KIT)) is None:
        return "none has been made"
    key = (runner.text(f"{_ROOT}/{ENCRYPTION_KEY}") or "").strip()
    try:
        files: Mapping[str, str] = json.loads(text)["files"]
        texts = {path: runner.text(f"{_ROOT}/{path}") for path in files}
        now = {
            path: "" if text is None else kit_fingerprint(path, text, key)
            for path, text in texts.items()
        }
        due = [path for path, known in files.items() if now[path] not in ("", known)]
    except (ValueError, KeyError, TypeError, AttributeError):
        return "the record of the last one can't be read"
    due = sorted(path for path in due if not path.startswith(CREDENTIALS))
    if not key or not due:
        return ""
    # All fingerprints change with the key.
    names = [ENCRYPTION_KEY] if ENCRYPTION_KEY in due else due
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more} changed since the last one"


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
        with closing(_connect(CanaryTarget(api))) as connection:
            found = _ask(connection, "GET", "/api/v1/admin/config", None)
            return bool(found["config"]["initialized"] and found["config"]["allowSignUp"])
    except (OSError, ValueError, LookupError, TypeError, http.client.HTTPException):
        return None


def trust(paths: Sequence[str]) -> ssl.SSLContext:
    """Return the context that verifies servers by the host's authorities and those in files."""
    context = ssl.create_default_context()
    for path in paths:
        if path and Path(path).exists():
            context.load_verify_locations(path)
    return context


def name_failure(error: Exception) -> str:
    """Return the reason for a failed request, without text that may contain an address."""
    match error:
        case TimeoutError():
            return "no answer in time"
        case ConnectionRefusedError():
            return "the connection is refused"
        case socket.gaierror():
            return "its name can't be resolved"
        case ssl.SSLCertVerificationError():
            return "its certificate is not accepted"
        case ssl.SSLError():
            return "it does not speak TLS"
    return type(error).__name__


class _Secure(http.client.HTTPSConnection):
    """A connection to an address, with a certificate that must be for another name."""

    def __init__(self, name: str, port: int | None, address: str, context: ssl.SSLContext) -> None:
        super().__init__(name, port, timeout=_CANARY_SECONDS, context=context)
        self._address, self._trusted = address, context

    def connect(self) -> None:
        made = socket.create_connection((self._address, self.port), self.timeout)
        self.sock = self._trusted.wrap_socket(made, server_hostname=self.host)


def _connect(target: CanaryTarget) -> http.client.HTTPConnection:
    url = urlsplit(target.url)
    name = url.hostname or ""
    if url.scheme == "https":
        return _Secure(name, url.port, target.address or name, trust(target.authorities))
    return http.client.HTTPConnection(target.address or name, url.port, timeout=_CANARY_SECONDS)


def run_canary(runner: Runner, target: CanaryTarget, now: float) -> CanaryRun:
    """Log in, and write, read and delete a secret, through the public address of Infisical.

    A secret of an interrupted run is replaced. No text in the result is secret.
    """
    known = dict(
        line.split("=", 1)
        for line in (runner.text(CANARY_FILE) or "").splitlines()
        if "=" in line and not line.startswith("#")
    )
    # Hosts of a cluster share the login, so each has its own secret.
    key = f"PROBE_{re.sub('[^A-Z0-9]', '_', socket.gethostname().upper())}"
    seconds: dict[str, float] = {}
    doing = "logging in"
    try:
        login = {
            "clientId": known["INFISICAL_CLIENT_ID"],
            "clientSecret": known["INFISICAL_CLIENT_SECRET"],
        }
        place = {
            "projectId": known["INFISICAL_PROJECT_ID"],
            "environment": known["INFISICAL_ENVIRONMENT"],
            "secretPath": "/",
        }
        with closing(_connect(target)) as connection:
            began = time.monotonic()

            def end(step: str) -> None:
                nonlocal began
                seconds[step], began = round(time.monotonic() - began, 3), time.monotonic()

            path = "/api/v1/auth/universal-auth/login"
            token = str(_ask(connection, "POST", path, login)["accessToken"])
            end("login")
            doing = "writing a secret"
            stored = {"mode": "upsert", "secrets": [{"secretKey": key, "secretValue": _VALUE}]}
            _ask(connection, "PATCH", "/api/v4/secrets/batch", {**place, **stored}, token)
            end("write")
            doing = "reading the secret"
            path = f"/api/v4/secrets/{key}"
            read = _ask(connection, "GET", f"{path}?{urlencode(place)}", None, token)
            if read["secret"]["secretValue"] != _VALUE:
                return CanaryRun(now, seconds, f"{doing} fails: it has another value")
            end("read")
            doing = "deleting the secret"
            _ask(connection, "DELETE", path, place, token)
            end("delete")
    except KeyError:
        if not known:
            return CanaryRun(now, {}, "its login is not on the host")
        return CanaryRun(now, seconds, f"{doing} fails: another answer than expected")
    except HTTPError as refused:
        return CanaryRun(now, seconds, f"{doing} fails: HTTP {refused.code}")
    except (OSError, ValueError, TypeError, http.client.HTTPException) as error:
        return CanaryRun(now, seconds, f"{doing} fails: {name_failure(error)}")
    return CanaryRun(now, seconds)


def _ask(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: Mapping[str, Any] | None,
    token: str = "",
) -> Any:
    """Return the JSON of an answer. Raises HTTPError for another status than 200."""
    headers = {"User-Agent": "infisical-iac", "Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    text = None if body is None else json.dumps(body)
    connection.request(method, path, text, headers)
    answer = connection.getresponse()
    found = answer.read()
    if answer.status != 200:
        raise HTTPError(path, answer.status, answer.reason, answer.headers, None)
    return json.loads(found)
