"""Run a cluster's databases as Debian's programs, each data node in a network namespace.

Each service starts as stack.yaml says, with other paths of its files.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import yaml

from infisical_iac.agent import authority
from infisical_iac.agent.runner import Runner
from infisical_iac.cluster.stack_file import configs, render_stack_file
from infisical_iac.cluster.stack_plan import Level
from tests.unit.rendered_stack import TRIXIE, stack_inputs, swarm_settings

NUMBERS = (1, 2, 3)
# HAProxy listens on the databases' ports, so it needs its own namespace.
PROXY = 4
SECRETS = {
    "patroni_env": {"POSTGRES_PASSWORD", "REPLICATION_PASSWORD", "PATRONI_PASSWORD"},
    "redis_env": {"REDIS_PASSWORD"},
}
PASSWORD = "not-a-real-password"
PLACES = ("/var/lib/etcd", "/run/postgresql", "/home/postgres", "/run/secrets", "/data", "/tmp")
_POSTGRESQL = "/usr/lib/postgresql/17/bin"
# Answers of Docker's name server, the only one that HAProxy asks.
_NAMES = """
import socket, struct, sys
known = dict(pair.split("=") for pair in sys.argv[1:])
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.11", 53))
while True:
    query, asker = server.recvfrom(512)
    end = query.index(0, 12) + 5
    name, at = [], 12
    while query[at]:
        name.append(query[at + 1 : at + 1 + query[at]].decode())
        at += query[at] + 1
    address = known.get(".".join(name)) if query[end - 4 : end - 2] == bytes((0, 1)) else None
    head = query[:2] + struct.pack(">5H", 0x8180 if address else 0x8183, 1, bool(address), 0, 0)
    answer = b""
    if address:
        answer = struct.pack(">3HIH", 0xC00C, 1, 1, 1, 4) + socket.inet_aton(address)
    server.sendto(head + query[12:end] + answer, asker)
"""


class DataNodes:
    """Three data nodes; services are started by their names, such as `redis-2`.

    `level` is the level of TLS that services get when they are started.
    """

    def __init__(self, home: Path) -> None:
        self.home, self.level = home, Level.REQUIRED
        self.prefix = f"iacdata{os.getpid()}"
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._helpers: list[subprocess.Popen[bytes]] = []

    def up(self) -> None:
        """Make the namespaces, the host names of all services, and the certificates."""
        # Services that don't run as root must reach their files in this directory.
        self.home.chmod(0o711)
        authority.make(Runner(self.home / "leader"))
        (self.home / "leader/etc/infisical").rename(self.home / "etc")
        _ip(f"netns add {self.prefix}-0")
        _ip(f"-n {self.prefix}-0 link add bridge type bridge")
        _ip(f"-n {self.prefix}-0 link set bridge up")
        known = {"haproxy": _address(PROXY)} | {
            f"{name}-{n}": _address(n)
            for name in ("etcd", "postgres", "redis", "sentinel")
            for n in NUMBERS
        }
        for number in (*NUMBERS, PROXY):
            self._join(number, known)

    def _join(self, number: int, known: dict[str, str]) -> None:
        name = f"{self.prefix}-{number}"
        _ip(f"netns add {name}")
        _ip(f"link add eth0 netns {name} type veth peer name node{number} netns {self.prefix}-0")
        _ip(f"-n {self.prefix}-0 link set node{number} master bridge up")
        _ip(f"-n {name} link set lo up")
        _ip(f"-n {name} address add {_address(number)}/24 dev eth0")
        _ip(f"-n {name} link set eth0 up")
        hosts = Path("/etc/netns", name, "hosts")
        hosts.parent.mkdir(parents=True)
        lines = [f"{address} {each}" for each, address in known.items()]
        hosts.write_text("\n".join(["127.0.0.1 localhost", *lines]) + "\n")
        names = [f"{each}={address}" for each, address in known.items()]
        inside = self.within(number, sys.executable, "-c", _NAMES, *names)
        self._helpers.append(subprocess.Popen(inside))

    def down(self) -> None:
        for process in (*self._running.values(), *self._helpers):
            process.kill()
        for process in (*self._running.values(), *self._helpers):
            process.wait(timeout=20)
        for number in (0, *NUMBERS, PROXY):
            name = f"{self.prefix}-{number}"
            # Processes that a service left, such as PostgreSQL whose Patroni was killed.
            left = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True)
            for each in left.stdout.split():
                subprocess.run(["kill", "-KILL", each], check=False, capture_output=True)
            subprocess.run(["ip", "netns", "delete", name], check=False)
            shutil.rmtree(Path("/etc/netns", name), ignore_errors=True)

    def within(self, number: int, *command: str) -> tuple[str, ...]:
        """Return the prefix of a command that runs on a node."""
        return ("ip", "netns", "exec", f"{self.prefix}-{number}", *command)

    def start(self, service: str) -> None:
        """Start a service with the current level of TLS."""
        number = _number(service)
        settings = swarm_settings(postgres_memory="256m")
        inputs = stack_inputs(settings, tls=self.level)
        whole = yaml.safe_load(render_stack_file(settings, TRIXIE, inputs))
        own = whole["services"][service]
        place = self.home / service
        for each in PLACES:
            (place / each.strip("/").replace("/", "-")).mkdir(parents=True, exist_ok=True)
        texts = {name.rpartition("_")[0]: text for name, text in configs(settings, inputs).items()}
        files = {each["target"]: texts[each["source"]] for each in own.get("configs", ())}
        for each in own.get("secrets", ()):
            target = place / "run-secrets" / each["target"]
            target.write_text(self._secret(each["source"]))
            target.chmod(0o600 if service.startswith("etcd") else 0o644)
        for target, text in files.items():
            (place / Path(target).name).write_text(self._localize(text, place))
        command = [*own.get("entrypoint", ()), *own.get("command", ())]
        command = [each.replace("$$", "$") for each in command]
        command = [self._localize(each, place) for each in command]
        for target in files:
            command = [each.replace(target, str(place / Path(target).name)) for each in command]
        environment = {
            name: self._localize(str(value), place)
            for name, value in own.get("environment", {}).items()
        }
        (place / "environment").write_text(
            "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())
        )
        if own.get("user") == "postgres":
            subprocess.run(["chown", "-R", "postgres:", str(place)], check=True)
            drop = ("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups")
            command = [*drop, *command]
        log = (place / "log").open("ab")
        self._running[service] = subprocess.Popen(
            self.within(number, *command),
            env={"PATH": f"{_POSTGRESQL}:{os.environ['PATH']}", **environment},
            cwd=place,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def stop(self, service: str) -> None:
        """Stop a service and all its children, as Docker does."""
        process = self._running[service]
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=30)
        self.kill(service)

    def kill(self, service: str) -> None:
        """Kill a service with SIGKILL."""
        process = self._running.pop(service)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=10)

    def inside(self, service: str, command: str, seconds: int = 5) -> str:
        """Return what a shell command prints with a service's environment and files."""
        place = self.home / service
        text = f". {place}/environment; {self._localize(command, place)}"
        done = subprocess.run(
            ("timeout", str(seconds), *self.within(_number(service), "sh", "-c", text)),
            env={"PATH": f"{_POSTGRESQL}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
        )
        return (done.stdout + done.stderr).strip()

    def until(self, is_so: Callable[[], bool], what: str, seconds: float = 180) -> None:
        """Wait until a condition is true; raise AssertionError with the logs after a time limit."""
        end = time.monotonic() + seconds
        while not is_so():
            if time.monotonic() > end:
                raise AssertionError(f"{what}\n{self.logs()}")
            time.sleep(0.2)

    def logs(self) -> str:
        """Return the last lines of each service."""
        found = sorted(self.home.glob("*/log"))
        tails = [(each, each.read_text(errors="replace").splitlines()[-15:]) for each in found]
        return "\n".join(f"== {each.parent.name}\n" + "\n".join(tail) for each, tail in tails)

    def _secret(self, purpose: str) -> str:
        if purpose in SECRETS:
            return "".join(f"{name}={PASSWORD}\n" for name in sorted(SECRETS[purpose]))
        file = "ca.crt" if purpose == "tls_ca" else f"{purpose.removeprefix('tls_')}.pem"
        return (self.home / "etc/tls" / file).read_text()

    @staticmethod
    def _localize(text: str, place: Path) -> str:
        """Return a text with the service's paths on this machine."""
        pattern = "|".join(re.escape(each) for each in PLACES)
        moved = re.sub(
            rf"(?<![\w/.])({pattern})(?![\w-])",
            lambda found: f"{place}/{found[1].strip('/').replace('/', '-')}",
            text,
        )
        # On a full disk a container kills its processes, which would be this machine's here.
        harmless = re.sub(r"kill -(TERM|KILL) .*?(?=;|$)", "true", moved, flags=re.MULTILINE)
        return harmless.replace("en_US.UTF-8", "C.UTF-8")


def _number(service: str) -> int:
    return PROXY if service == "haproxy" else int(service.rpartition("-")[2])


def _address(number: int) -> str:
    return f"198.51.100.{number}"


def _ip(arguments: str) -> None:
    subprocess.run(["ip", *arguments.split()], check=True)
