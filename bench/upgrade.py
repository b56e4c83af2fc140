"""The command line: `python -m bench.upgrade` measures the pause of writes during an upgrade.

It writes bench/UPGRADE.md. A client on the host writes one secret after the other while `apply`
changes the version. The pause is the longest time between the beginnings of two acknowledged
writes. It is compared with the new version's own start on the same data, migrations included, as
Docker's health check sees it. With STAGING_INFISICAL_IMAGE and STAGING_INFISICAL_NEXT the versions
are those of a real server.
"""

import sys
import tempfile
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from bench.fresh_deploy import deploy_fresh
from bench.machine import machine
from bench.measuring import HOST, BenchError, say
from bench.report import table
from bench.results import write_results
from tests.e2e import giving_up, inspection, upgrading
from tests.e2e.backing import inventory
from tests.e2e.running import infisical_iac
from tests.staging import stack
from tests.staging.host import StagingHost

_SECRETS = 200
# What an upgrade may add to the start of the new version, in seconds.
MOST_SECONDS = 5
_NANO = 1e9
# Prints the image, the start and the time of the first healthy answer of each new container.
_WATCH = """while test -e /root/starting; do
    docker inspect infisical-infisical-1 --format \
        '{{ .Config.Image }} {{ .State.StartedAt }} {{ .State.Health.Status }}' |
        grep ' healthy$' | sed "s/healthy/$(date +%s.%N)/"
    sleep 0.1
done"""


@dataclass(frozen=True)
class Pause:
    """The pause of writes, the new version's own start in it, and the writes around it."""

    seconds: float
    start: float
    writes: int
    lost: int


def measure_pause(host: StagingHost, directory: Path) -> Pause:
    """Upgrade a deployed host while a client writes. Raises BenchError if a write is lost."""
    upgrading.make_later(host, upgrading.ADDS)
    secrets = {f"KEY_{number:03}": f"obviously-fake-{number}" for number in range(_SECRETS)}
    inspection.write_secrets(host, "/backend", secrets)
    file = inventory(directory, infisical_version=upgrading.ADDS)
    host.run("cat >/root/starting.sh; touch /root/starting", input=_WATCH)
    host.run("setsid sh /root/starting.sh >/root/started 2>/dev/null </dev/null &")
    with giving_up.writing(host) as acknowledged:
        done = infisical_iac(host.name, "apply", "--yes", "-i", file)
    host.run("rm /root/starting")
    if done.returncode:
        raise BenchError(f"the upgrade failed:\n{done.stderr}")
    times = sorted(int(each.removeprefix("WRITTEN_")) / _NANO for each in acknowledged)
    pause = max(later - earlier for earlier, later in pairwise(times))
    lost = acknowledged - giving_up.serving(host)
    if lost:
        raise BenchError(f"{len(lost)} acknowledged writes are lost")
    return Pause(pause, _own_start(host), len(times), len(lost))


def _own_start(host: StagingHost) -> float:
    """Return the seconds from the new version's start to its first healthy answer."""
    for line in host.run("cat /root/started").stdout.splitlines():
        image, started, healthy = line.split()
        if image.endswith(f":{upgrading.ADDS}"):
            # Docker writes nanoseconds, which Python 3.11 does not read.
            begun = datetime.fromisoformat(f"{started.partition('.')[0]}+00:00").timestamp()
            fraction = float(f"0.{started.partition('.')[2].removesuffix('Z')}")
            return float(healthy) - begun - fraction
    raise BenchError("the new version did not become healthy")


def render(pause: Pause) -> str:
    """Return the results as text."""
    rest = pause.seconds - pause.start
    server = "a real Infisical" if upgrading.IS_REAL else "the stand-in"
    rows = {
        "longest time without an acknowledged write": f"{pause.seconds:.1f} s",
        "of it, the new version's own start": f"{pause.start:.1f} s",
        "the rest": f"{rest:.1f} s; the limit is {MOST_SECONDS} s",
        "acknowledged writes, and lost ones": f"{pause.writes}, {pause.lost}",
    }
    return "\n".join(
        [
            "# Pause of writes during an upgrade",
            "",
            f"By `python -m bench.upgrade`, with {server}, {_SECRETS} secrets and a client that "
            "writes through the API.",
            "",
            table(("measured", ""), rows.items()),
            "",
            table(("machine", ""), machine().items()),
            "",
        ]
    )


def main() -> int:
    """Run the benchmark; return 0 once it is complete, 1 on an error."""

    def measure() -> str:
        stack.ensure()
        deploy_fresh()
        say("Upgrading while a client writes")
        with tempfile.TemporaryDirectory() as directory:
            return render(measure_pause(StagingHost(HOST), Path(directory)))

    return write_results("UPGRADE.md", measure)


if __name__ == "__main__":
    sys.exit(main())
