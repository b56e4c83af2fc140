"""Inject faults one by one; a failed one is reported, and the others continue."""

import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

import httpx

from tests.cluster import waiting
from tests.cluster.faults import make_good
from tests.cluster.hosts import Cluster
from tests.cluster.injection import inject
from tests.cluster.result import Result
from tests.staging.shell import StagingError, say

_WRONG = (StagingError, AssertionError, httpx.HTTPError, subprocess.SubprocessError, OSError)


@dataclass(frozen=True)
class Failed:
    """A fault that was not completed, and the reason in one line."""

    fault: str
    why: str


def series(cluster: Cluster, faults: Iterable[str]) -> list[Result | Failed]:
    """Inject the faults, and return the result of each."""
    return [_inject(cluster, fault) for fault in faults]


def wrong(result: Result | Failed) -> list[str]:
    """Return sentences on everything that is wrong with a measured fault."""
    return [result.why] if isinstance(result, Failed) else [*result.wrong, *result.late()]


def _inject(cluster: Cluster, fault: str) -> Result | Failed:
    try:
        return inject(cluster, fault)
    except _WRONG as error:
        why = _line(error)
    say(f"{fault}: {why}")
    try:
        _repair(cluster)
    except _WRONG as error:
        say(f"{fault}: the cluster is not repaired: {_line(error)}")
    return Failed(fault, why)


def _repair(cluster: Cluster) -> None:
    make_good(cluster)
    waiting.ready(cluster)
    cluster.deploy().ok()


def _line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[-1][:300].replace("|", "/")
