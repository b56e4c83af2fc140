"""Inspect Caddy on the host, and have it use new files."""

import json
import re
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from infisical_iac.agent.docker import DockerContainer, find_container, list_networks, read_log
from infisical_iac.agent.files import sync
from infisical_iac.agent.runner import Failure, Runner, action, observation

_ROOT = "/etc/infisical"
_REVISION = "http://127.0.0.1:2019/"
STOPPED, NONE = "stopped", "none"
_ERROR = re.compile('ERROR|"level":"error"')
_MOST_CHARACTERS = 500
_WEB = (80, 443)
_USERS = re.compile(r'users:\(\("([^"]*)"')
_PEM = re.compile("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", re.DOTALL)
# What Caddy's image needs to validate files, without any way to the outside.
_APART = (
    *("--rm", "--network", "none", "--read-only", "--cap-drop", "ALL"),
    *("--security-opt", "no-new-privileges"),
    *(
        f"--tmpfs={each}"
        for each in ("/data", "/config", "/run/caddy", "/var/log/infisical-access")
    ),
)


@dataclass(frozen=True)
class WebPorts:
    """The use of the ports 80 and 443, and Docker's networks.

    Attributes:
        holders: the program that holds a port, such as `nginx` or `container traefik`, except this
            project's Caddy.
        networks: the names of Docker's networks.
    """

    holders: Mapping[int, str] = field(default_factory=dict)
    networks: frozenset[str] = frozenset()


@observation
def web_ports(runner: Runner) -> WebPorts:
    """Return who holds the ports 80 and 443, and Docker's networks."""
    ss = ["ss", "--no-header", "--listening", "--tcp", "--numeric", "--processes"]
    listening = runner.run([*ss, "sport = :80 or sport = :443"]).lines
    ours = _recognize(runner) if listening else ""
    others = [line for line in listening if not ours or ours not in line]
    is_published = bool(_publishers(runner, *_WEB))
    holders = {}
    for port in _WEB:
        published = _publishers(runner, port) if is_published else []
        programs = (_name_program(line) for line in others if f":{port} " in line)
        if who := next(iter(published), "") or next(programs, ""):
            holders[port] = who
    return WebPorts(holders, frozenset(list_networks(runner)))


def _recognize(runner: Runner) -> str:
    """Return a text in the lines of `ss` on this project's Caddy; empty if it does not run.

    It is recognized by its process, or, if Docker is stopped, by its revision.
    """
    caddy = _find_running(runner)
    if caddy:
        return f"pid={caddy.pid},"
    return '"caddy"' if _ask(runner, None) else ""


def _publishers(runner: Runner, *ports: int) -> list[str]:
    """Return the containers that publish one of the ports."""
    chosen = [word for port in ports for word in ("--filter", f"publish={port}/tcp")]
    listed = runner.run(["docker", "ps", "--format", "{{json .Names}}", *chosen])
    return [f"container {json.loads(line)}" for line in listed.lines]


def _name_program(line: str) -> str:
    found = _USERS.search(line)
    return found[1] if found else line


@dataclass(frozen=True)
class ServedIngress:
    """The revision and the certificate that Caddy serves.

    Attributes:
        revision: that of the running Caddy; `none` if it reports none, `stopped` if it does not
            run.
        certificate: in PEM; empty if none is served.
    """

    revision: str = STOPPED
    certificate: str = ""


@observation
def inspect(runner: Runner, *, site: str, port: int) -> ServedIngress:
    """Return the revision, and the certificate of `site` at a port of the loopback address."""
    revision = STOPPED
    # A Caddy that was just started needs a moment.
    for _ in range(10):
        caddy = _find_running(runner)
        revision = _ask(runner, caddy) or (NONE if caddy else STOPPED)
        if revision != NONE:
            break
        time.sleep(0.5)
    return ServedIngress(revision, _certificate(runner, site, port))


def _find_running(runner: Runner) -> DockerContainer | None:
    """Return Caddy's container if it runs."""
    try:
        found = find_container(runner, "caddy")
    except RuntimeError:
        return None
    return found if found and found.is_running else None


def _ask(runner: Runner, caddy: DockerContainer | None) -> str:
    """Return the revision that Caddy reports; empty if it does not answer."""
    if caddy and "host" not in caddy.networks:
        # Behind another proxy, Caddy is not in the host's network, so its container calls it.
        asked = ["docker", "exec", caddy.id, "wget", "-q", "-T", "2", "-O", "-", _REVISION]
    else:
        asked = ["curl", "--noproxy", "*", "--silent", "--fail", "--max-time", "2", _REVISION]
    return "\n".join(runner.run(asked, seconds=60).lines).strip()


def _certificate(runner: Runner, name: str, port: int) -> str:
    asked = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", name]
    try:
        found = _PEM.search(runner.run(asked, seconds=10).text)
    except RuntimeError:
        return ""
    return found[0] if found else ""


@action
def take(runner: Runner, *, image: str) -> None:
    """Validate the files of `ingress.new` with Caddy's image, and have Caddy use them.

    Raises RuntimeError with a Failure if Caddy refuses them; the old ones go on serving.
    """
    new, here, old = (runner.path(f"{_ROOT}/ingress{each}") for each in (".new", "", ".old"))
    validate = ["caddy", "validate", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]
    mounted = f"--volume={new}:/etc/caddy:ro"
    checked = runner.run(["docker", "run", *_APART, mounted, image, *validate])
    if checked.status != 0:
        shutil.rmtree(new, ignore_errors=True)
        raise _refuse("Caddy refuses it", checked.text + checked.errors)
    here.mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.rmtree(old, ignore_errors=True)
    runner.must_run(["cp", "-a", str(here), str(old)])
    _replace(new, here)
    caddy = _find_running(runner)
    if not _ask(runner, caddy):
        # With an invalid old file, Caddy restarts again and again.
        with suppress(RuntimeError):
            if container := find_container(runner, "caddy"):
                runner.run(["docker", "restart", container.id])
    elif caddy:
        reload = ["caddy", "reload", *validate[2:], "--address", "unix//run/caddy/admin.sock"]
        done = runner.run(["docker", "exec", caddy.id, *reload])
        if done.status != 0:
            _replace(old, here)
            raise _refuse("Caddy can't use it", done.text + done.errors)
    shutil.rmtree(old, ignore_errors=True)


def _refuse(what: str, said: str) -> RuntimeError:
    reason = (said.strip().splitlines() or ["no reason given"])[-1]
    return RuntimeError(Failure("command", f"{what} ({reason}); the old one goes on serving"))


def _replace(source: Path, target: Path) -> None:
    """Replace the files of a folder by those of another one, which is removed."""
    files = [*source.iterdir()]
    for each in files:
        sync(each)
    for each in files:
        each.replace(target / each.name)
    caddyfile = target / "Caddyfile"
    if "/etc/caddy/tls" not in caddyfile.read_text("utf-8", errors="replace"):
        for name in ("tls.crt", "tls.key"):
            (target / name).unlink(missing_ok=True)
    sync(target)
    shutil.rmtree(source, ignore_errors=True)


@observation
def await_certificate(runner: Runner, *, name: str, port: int, seconds: float) -> str:
    """Wait until a certificate of a name is served; return Caddy's last error if none is.

    Empty for success; "Caddy gives no reason" without an error in its log.
    """
    end = time.monotonic() + seconds
    while not _certificate(runner, name, port):
        if time.monotonic() >= end:
            return _last_error(runner) or "Caddy gives no reason"
        time.sleep(0.5)
    return ""


def _last_error(runner: Runner) -> str:
    try:
        caddy = find_container(runner, "caddy")
    except RuntimeError:
        return ""
    lines = read_log(runner, caddy.id, "--since", "10m") if caddy else ()
    return next((each for each in reversed(lines) if _ERROR.search(each)), "")[:_MOST_CHARACTERS]
