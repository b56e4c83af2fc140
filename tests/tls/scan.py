"""Run testssl.sh, and select its findings above LOW."""

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
# Each group is a separate run, because testssl.sh sleeps half of its time. The simulation of
# clients is left out: it takes longest and grades nothing.
CERTIFICATE = ("--server-preference", "--server-defaults")
CHECKS = (
    ("--protocols", "--std", "--forward-secrecy"),
    CERTIFICATE,
    ("--headers", "--vulnerable"),
)
_GOOD = ("OK", "INFO", "LOW")
_MOST_SECONDS = 300


class Finding(NamedTuple):
    """One finding; `severity` is testssl.sh's word, WARN or FATAL for a check that did not run."""

    id: str
    severity: str
    text: str


def scan(
    url: str, address: str, authority: Path, checks: Sequence[Sequence[str]] = CHECKS
) -> tuple[Finding, ...]:
    """Return the findings of `checks` on `url`, whose host is resolved to the IPv4 `address`.

    `authority`, a PEM file, is trusted in addition to the public ones. Raises StagingError if
    testssl.sh can't be run.
    """
    scan_one = partial(_scan, url, address, authority)
    with ThreadPoolExecutor(len(checks)) as pool:
        findings = chain.from_iterable(pool.map(scan_one, checks))
        return tuple(dict.fromkeys(findings))


def _scan(url: str, address: str, authority: Path, checks: Sequence[str]) -> list[Finding]:
    with tempfile.TemporaryDirectory(prefix="testssl-") as directory:
        file = Path(directory, "findings.json")
        # testssl.sh gets the address, so no name has to be resolved. Its exit status is the
        # number of findings, not a failure.
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
