"""The command line: `python -m bench.ha` injects all faults into a cluster and writes bench/ha.md.

The cluster runs the real server in the archive that STAGING_INFISICAL_IMAGE names, else the
stand-in, which starts as slowly. The file keeps the results of the other server. With names of
faults as arguments, only those are injected, and the rows of the other faults are kept too.
"""

import argparse
import os
import re
import sys
import time

from bench.machine import machine
from bench.measuring import REPOSITORY, say
from bench.report import table as two_columns
from infisical_iac.core.errors import UserError
from tests.cluster.fault import ONE_FAULT_SECONDS
from tests.cluster.faults import FAULTS
from tests.cluster.hosts import Cluster
from tests.cluster.injection import STEADY_SECONDS
from tests.cluster.series import series, wrong
from tests.cluster.table import table
from tests.staging import engine, ingress, stack
from tests.staging.build import image_id
from tests.staging.cluster import StagingCluster

_NAME = "bench-ha"
# Infisical's own image needs 1.5 GB twice for a change of version.
_DISK_GB = 9
_TEXT = """\
# Results of `python -m bench.ha`

Three staging hosts, each with an address and a disk of its own. They share the processors of this
machine, which are busy all the time when all hosts boot and three servers start at once. A client
writes five secrets and reads five a second, through the Caddy of each host in turn whose last
health check succeeded; a request that fails is repeated once at the next host. The faults are
injected one after the other; each is undone when service has been back for {steady:.0f} s.

- *lost*: acknowledged writes that a host did not have afterwards, and reads of another value.
- *two primaries*: each host's PostgreSQL was asked every two seconds, independently of the others,
  whether it accepts writes, and since when it runs. Two that did so at the same time, by two
  answers each, are reported; one that did so for less than some four seconds is not seen. *not
  known* means that a host answered too seldom.
- *service back after*: from the fault to the end of the last time of two seconds or more without a
  write or without a read. It may be *at most* {bound:.0f} s after a fault of one node or one thing.
{others}
- *pause when it was undone*: the longest such time while the host came back and `apply` repaired
  what was left, {bound:.0f} s at most.
- *`plan` reported*: what `infisical-iac plan` found afterwards; *`apply` changed*: the operations
  of a run, which is made whatever the plan reported; *`plan` reported then*: what it found after
  that.
- *end state*: whether services, nodes, PostgreSQL, etcd and the sentinels are in the end what they
  were before the fault, whichever is the primary now.
- *wrong*: every result that must not be, and every limit that was exceeded.

{sections}"""
_SECTION = """\
## {title}

{results}
The last run injected {count} of the faults ({faults}). Its deploy to three bare hosts took
{deployed:.0f} s, and the whole run {all:.0f} s, on:

{machine}
"""
_STANDIN = f"The stand-in, which starts in {stack.START_SECONDS} s"
_REAL = "A real server"


def main() -> int:
    """Measure and write bench/ha.md; return 1 if a result is wrong or exceeds its limit."""
    parser = argparse.ArgumentParser(prog="python -m bench.ha")
    parser.add_argument("faults", nargs="*", metavar="fault", help=f"of: {', '.join(FAULTS)}")
    faults = parser.parse_args().faults or list(FAULTS)
    if unknown := set(faults) - FAULTS.keys():
        parser.error(f"there is no fault {', '.join(sorted(unknown))}")
    began, known = time.monotonic(), machine()
    staging = StagingCluster(_NAME)
    try:
        engine.ensure()
        stack.ensure_cluster()
        staging.down()
        try:
            deployed = _deploy(staging)
            results = series(Cluster(_NAME), faults)
        finally:
            staging.down()
    except (UserError, AssertionError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    image = f"{stack.INFISICAL}:{stack.version()}"
    known["Infisical"] = f"{stack.version()}, image {image_id(image)[:19]}"
    known["load at the end"] = f"{os.getloadavg()[0]:.1f}"
    title = _STANDIN if stack.find_archive() is None else _REAL
    file = REPOSITORY / "bench" / "ha.md"
    before = file.read_text() if file.exists() else ""
    section = _SECTION.format(
        title=title,
        results=with_kept_rows(table(results), _sections(before).get(title, "")),
        count=len(faults),
        faults=", ".join(f"`{each}`" for each in faults),
        deployed=deployed,
        all=time.monotonic() - began,
        machine=two_columns(("", ""), known.items()),
    )
    print(section)
    file.write_text(text(before, title, section))
    return 1 if any(map(wrong, results)) else 0


def with_kept_rows(measured: str, before: str) -> str:
    """Return a table of all faults: the measured rows, and the others as they were `before`.

    Args:
        measured: a table, as `tests.cluster.table.table` returns it.
        before: the text of the section; without a table in it, no row is kept.
    """
    head, rule, *rows = measured.splitlines()
    by_title = {row.split(" | ")[0]: row for row in rows}
    old = [line for line in before.splitlines() if line.startswith("| ")] if head in before else []
    kept = {line.split(" | ")[0]: line for line in old} | by_title
    titles = (f"| {fault.title}" for fault in FAULTS.values())
    return "\n".join([head, rule, *(kept[title] for title in titles if title in kept)]) + "\n"


def text(before: str, title: str, section: str) -> str:
    """Return the text of ha.md with this section; those of other servers are unchanged."""
    sections = _sections(before) | {title: section}
    return _TEXT.format(
        steady=STEADY_SECONDS,
        bound=ONE_FAULT_SECONDS,
        others=_others(),
        sections="\n".join(sections[name] for name in (_STANDIN, _REAL) if name in sections),
    )


def _sections(before: str) -> dict[str, str]:
    """Return the sections of an earlier report by title."""
    found = {each.splitlines()[0]: each for each in re.split("(?m)^## ", before)[1:]}
    return {name: f"## {each.rstrip()}\n" for name, each in found.items()}


def _deploy(staging: StagingCluster) -> float:
    """Deploy to new hosts, and return the seconds."""
    began = time.monotonic()
    staging.up(disk_gb=_DISK_GB)
    ingress.choose(staging, "caddy")
    say("Deploying to three bare hosts")
    cluster = Cluster(_NAME)
    cluster.deploy().ok()
    took = time.monotonic() - began
    _start_slowly(cluster)
    return took


def _start_slowly(cluster: Cluster) -> None:
    if stack.find_archive() is None:
        for number in cluster.numbers:
            stack.start_slowly(cluster.host(number))
            cluster.kill_service(number, "infisical")


def _others() -> str:
    """Return the faults with another limit, a line each, with the reason."""
    return "\n".join(
        f"  - {each.title}: {each.within:.0f} s, because {each.because}."
        for each in FAULTS.values()
        if each.because
    )


if __name__ == "__main__":
    sys.exit(main())
