"""Measure the latency of Infisical and the use of the disk while a command runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench.filling import ENVIRONMENT, PROJECT
from bench.measuring import BenchError
from infisical_iac.agent import contents
from tests.e2e import inspection
from tests.staging.host import StagingHost

_RATE = 10
_MOST_SECONDS = 3600
# The paths that backups, restores and drills write to, and the volumes of the databases.
_PLACES = (
    "/var/lib/docker/volumes /var/lib/infisical-* /var/backups/infisical* /var/cache/infisical-*"
)


@dataclass
class Latency:
    """The seconds of each request, known once the context has ended."""

    seconds: list[float] = field(default_factory=list)


@dataclass
class Disk:
    """The MB in use before, and at most meanwhile, known once the context has ended."""

    before: float = 0.0
    peak: float = 0.0


@contextmanager
def measure_latency(host: StagingHost) -> Iterator[Latency]:
    """Let the host itself read a thousand secrets, ten times a second, while the context is open.

    Each read is the request of a loader when a service starts, over one persistent connection.
    Raises BenchError at the end if any answer was not a 200.
    """
    url, token = _request(host)
    host.run(
        "cat >/root/requests && (curl --config /root/requests 2>/root/answers &)",
        input=f'url = "{url}"\nrate = "{_RATE}/s"\nheader = "Authorization: Bearer {token}"\n'
        'output = "/dev/null"\nsilent\nwrite-out = "%{stderr}%{http_code} %{time_total}\\n"\n',
    )
    latency = Latency()
    try:
        yield latency
    finally:
        host.run("pkill --exact curl; rm /root/requests", check=False)
    answers = [line.split() for line in host.run("cat /root/answers").stdout.splitlines()]
    failed = [status for status, _ in answers if status != "200"]
    if failed:
        raise BenchError(f"{len(failed)} of {len(answers)} requests failed, with {failed[0]}")
    latency.seconds = [float(seconds) for _, seconds in answers]


def _request(host: StagingHost) -> tuple[str, str]:
    """Return a URL with a part that curl counts up, and the deployer's token."""
    with inspection.deployer(host) as client:
        project = contents.project(client, PROJECT)
        assert project is not None
        variables = inspection.env_file(host, "/etc/infisical/deployer.env")
        login = {
            "clientId": variables["INFISICAL_CLIENT_ID"],
            "clientSecret": variables["INFISICAL_CLIENT_SECRET"],
        }
        token = client.post("/api/v1/auth/universal-auth/login", json=login)["accessToken"]
    query = (
        f"projectId={project['id']}&environment={ENVIRONMENT}&secretPath=/bench-000"
        f"&n=[1-{_RATE * _MOST_SECONDS}]"
    )
    return f"http://127.0.0.1:{inspection.PORT}/api/v4/secrets?{query}", token


@contextmanager
def measure_disk(host: StagingHost) -> Iterator[Disk]:
    """Measure the use of the disk twice a second while the context is open."""
    measure = f"du --summarize --total --block-size=1K {_PLACES} 2>/dev/null | tail -n 1 | cut -f 1"
    disk = Disk(before=_megabytes(host.run(measure).stdout))
    host.run(
        f"touch /root/measuring; (while test -e /root/measuring; do {measure}; sleep 0.5; done "
        ">/root/measured 2>/dev/null &)"
    )
    try:
        yield disk
    finally:
        host.run("rm /root/measuring; sleep 1")
    disk.peak = max(map(_megabytes, host.run("cat /root/measured").stdout.split()))


def _megabytes(kibibytes: str) -> float:
    return int(kibibytes) * 1024 / 1e6
