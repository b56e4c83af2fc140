"""A run of testssl.sh, and what of its findings is not accepted."""

import json
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import yaml

from tests.staging.shell import StagingError, run

ACCEPTED = Path(__file__).with_name("accepted.yaml")
# Each group is a run of its own, for testssl.sh spends half its time asleep. Left out is the
# simulation of clients, which takes longest and grades nothing.
CERTIFICATE = ("--server-preference", "--server-defaults")
CHECKS = (
    ("--protocols", "--std", "--forward-secrecy"),
    CERTIFICATE,
    ("--headers", "--vulnerable"),
)
_GOOD = ("OK", "INFO", "LOW")
_MOST_SECONDS = 300


class Finding(NamedTuple):
    """One finding; `severity` is testssl.sh's word, WARN and FATAL where it could not look."""

    id: str
    severity: str
    text: str


def scan(
    url: str, address: str, authority: Path, checks: Sequence[Sequence[str]] = CHECKS
) -> tuple[Finding, ...]:
    """Return what `checks` find on `url`, whose host is taken to be at the IPv4 address `address`.

    `authority`, a PEM file, is trusted besides the public ones. Raises StagingError when
    testssl.sh can't be run.
    """
    scan_one = partial(_scan, url, address, authority)
    with ThreadPoolExecutor(len(checks)) as pool:
        findings = chain.from_iterable(pool.map(scan_one, checks))
        return tuple(dict.fromkeys(findings))


def _scan(url: str, address: str, authority: Path, checks: Sequence[str]) -> list[Finding]:
    with tempfile.TemporaryDirectory(prefix="testssl-") as directory:
        file = Path(directory, "findings.json")
        # It gets the address, so no name has to be resolved. Its exit status is the
        # number of complaints, and no failure.
        done = run(
            *("testssl", "--quiet", "--color", "0", "--warnings", "batch", *checks),
            *("--ip", address, "--nodns", "none", "--add-ca", str(authority)),
            *("--jsonfile", str(file), url),
            check=False,
            timeout=_MOST_SECONDS,
        )
        if not file.exists():
            raise StagingError(f"testssl.sh did not scan {url}: {done.stderr.strip()}")
        found = json.loads(file.read_text())
    return [Finding(each["id"], each["severity"], each["finding"]) for each in found]


def load_accepted(*, internal: bool) -> dict[str, str]:
    """Return the findings above LOW that are accepted, by id, each with its reason.

    `internal` is true if the certificate is of Caddy's own authority.
    """
    reasons: dict[str, dict[str, str]] = yaml.safe_load(ACCEPTED.read_text())
    return reasons["always"] | (reasons["internal"] if internal else {})


def graver(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings above LOW, and those on a check that could not be made."""
    return tuple(each for each in findings if each.severity not in _GOOD)
