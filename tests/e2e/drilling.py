"""Helpers for the tests of drills: altered snapshots, records and the remains of a drill."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.e2e.backing import LOCAL
from tests.e2e.running import Done, infisical_iac
from tests.staging.host import StagingHost

STATE = "/var/lib/infisical-drill"
UNIT = "infisical-drill.service"
_RESTIC = (
    "RESTIC_PASSWORD_FILE=/etc/infisical/keys/restic_password "
    f"restic --repo {LOCAL['repository']} --json"
)


def drill(host: StagingHost, *arguments: str) -> Done:
    """Run `restore --drill`."""
    return infisical_iac(host.name, "restore", "--drill", *arguments)


def last_drill(host: StagingHost) -> tuple[str, bool]:
    """Return what `status` reports about the drills, and whether they are healthy."""
    rows = json.loads(infisical_iac(host.name, "status", "--json").stdout)
    (row,) = (each for each in rows if each["name"] == "Last drill")
    return row["text"], row["ok"]


def record(host: StagingHost) -> dict[str, Any]:
    """Return the host's record of the last drill."""
    found: dict[str, Any] = json.loads(host.run(f"cat {STATE}/last.json").stdout)
    return found


def observe(host: StagingHost) -> tuple[str, str]:
    """Return what a drill would find in the live instance, and its last error line."""
    done = run_in_agent(
        host, 'print(decryption.decrypt_contents(runner, "http://127.0.0.1:8080"))', "decryption"
    )
    return done.stdout, "".join(done.stderr.splitlines()[-1:])


_IN_AGENT = """
import glob, sys
(agent,) = glob.glob("/usr/local/lib/infisical-iac/agent-*.pyz")
sys.path.insert(0, agent)
from infisical_iac.agent import {module}
from infisical_iac.agent.runner import Runner, explain
runner = Runner()
try:
    {statement}
except RuntimeError as error:
    sys.exit(explain(error))
"""


def run_in_agent(
    host: StagingHost, statement: str, module: str
) -> subprocess.CompletedProcess[str]:
    """Run a statement with a module of the host's agent; it has a `runner`."""
    program = _IN_AGENT.format(module=module, statement=statement)
    return host.run("python3 -IS -", input=program, check=False)


def says(change: str) -> str:
    """Return the command that applies a jq filter to a snapshot's manifest."""
    return f"jq '{change}' manifest.json >changed && mv changed manifest.json"


def altered_snapshot(host: StagingHost, change: str) -> str:
    """Save a copy of the latest snapshot that a shell command altered, and return its id."""
    said = host.run(
        f"rm -rf /root/altered; {_RESTIC} restore latest --target /root/altered >/dev/null && "
        f"cd /root/altered && {change} && "
        f"{_RESTIC} backup --tag infisical-iac --time '2026-01-01 00:00:00' . | "
        "grep -o '\"snapshot_id\":\"[0-9a-f]*' | cut -d '\"' -f 4; rm -rf /root/altered"
    )
    return said.stdout.strip()[:8]


def list_remains(host: StagingHost) -> str:
    """Return what is left of a drill in Docker and on the disk."""
    label = "--filter label=com.docker.compose.project=infisical-drill --quiet"
    return host.run(
        f"docker ps --all {label}; docker volume ls {label}; docker network ls {label}; "
        f"find {STATE}/work {STATE}/fetched {STATE}/request {STATE}/running -type f 2>/dev/null; "
        "true"
    ).stdout


@contextmanager
def change_file(host: StagingHost, file: str, change: str) -> Iterator[None]:
    """Change a file on the host by a shell command while the context is open."""
    host.run(f"cp -p {file} /root/kept && {change}")
    try:
        yield
    finally:
        host.run(f"cat /root/kept >{file} && rm /root/kept")
