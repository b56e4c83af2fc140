"""Helpers for the tests of backups: inventories, runs and targets."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from infisical_iac.backup import record
from infisical_iac.backup.record import Record
from infisical_iac.backup.target import BackupTarget
from tests.e2e.running import Done, infisical_iac
from tests.ports import free_port
from tests.staging.host import StagingHost

STATE = "/var/lib/infisical-backup"
WORK = f"{STATE}/work"
UNIT = "infisical-backup.service"
LOCAL = {"name": "local", "repository": "/var/backups/infisical"}
_RESTIC = "RESTIC_PASSWORD_FILE=/etc/infisical/keys/restic_password restic"
_SECONDS = 60


def inventory(directory: Path, of: str = "inventory/staging.py", /, **settings: Any) -> str:
    """Write an inventory with the name of another one and other settings; return its path."""
    group, file = Path(of).stem, directory / Path(of).name
    file.write_text(
        "import runpy\n"
        f"_hosts = runpy.run_path({of!r})[{group!r}]\n"
        f"{group} = [(name, {{**data, **{settings!r}}}) for name, data in _hosts]\n"
    )
    return str(file)


def now(host: StagingHost) -> tuple[Done, dict[str, Any]]:
    """Run `backup now`; return the process and the JSON that it printed."""
    done = infisical_iac(host.name, "backup", "now", "--json")
    return done, json.loads(done.stdout or "{}")


def ran(host: StagingHost) -> Record:
    """Run the unit that the timer starts, wait for its end, and return the record."""
    # It also resets systemd's count of starts, which limits their rate.
    host.run(f"systemctl reset-failed {UNIT}; systemctl start {UNIT}", check=False)
    return last(host)


def last(host: StagingHost) -> Record:
    """Return the record of the last run."""
    return record.parse_record(host.run(f"cat {STATE}/last.json").stdout)


def assess(host: StagingHost) -> tuple[str, bool]:
    """Return what `status` would report about the backups, and whether they are healthy."""
    now = datetime.now(UTC)
    return record.assess_record(last(host), [BackupTarget(**LOCAL)], since=now, now=now)


def last_backup(host: StagingHost, *arguments: str) -> tuple[str, bool]:
    """Return what `status` reports about the backups, and whether they are healthy."""
    rows = json.loads(infisical_iac(host.name, "status", "--json", *arguments).stdout)
    (row,) = (each for each in rows if each["name"] == "Last backup")
    return row["text"], row["ok"]


def restic(host: StagingHost, command: str, repository: str = LOCAL["repository"]) -> str:
    """Return restic's output on the host."""
    return host.run(f"{_RESTIC} --repo {repository} {command}").stdout


def sql(host: StagingHost, statement: str, *, check: bool = True) -> str:
    """Return the database's answer."""
    command = "docker exec -i infisical-postgres-1 psql -X -U infisical -Atq -v ON_ERROR_STOP=1"
    return host.run(command, input=statement, check=check).stdout.strip()


def count(host: StagingHost, table: str) -> str:
    """Return how many rows a table of the database has."""
    return sql(host, f"SELECT count(*) FROM {table}")


def sessions(host: StagingHost) -> str:
    """Return how many sessions of backups the database has."""
    return sql(
        host,
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'infisical-backup%'",
    )


def work_files(host: StagingHost) -> list[str]:
    """Return the files that a run left behind."""
    return host.run(f"find {WORK} -type f").stdout.split()


def until(host: StagingHost, condition: str) -> None:
    """Wait until a command of the shell succeeds on the host, a minute at most."""
    host.run(f"for n in $(seq {_SECONDS * 20}); do {condition} && exit; sleep 0.05; done; exit 1")


@contextmanager
def collect_arguments(host: StagingHost) -> Iterator[list[str]]:
    """Collect the arguments of the host's processes; the list is filled when the context ends."""
    host.run(
        "touch /root/watching; (while test -e /root/watching; do cat /proc/[0-9]*/cmdline; "
        "sleep 0.05; done 2>/dev/null | tr '\\0' ' ' >/root/seen &)"
    )
    seen: list[str] = []
    yield seen
    host.run("rm /root/watching; sleep 0.5")
    seen.append(host.run("cat /root/seen; rm /root/seen").stdout)


def forget_backups(host: StagingHost) -> None:
    """Remove all backups on the host, and their records."""
    host.run(
        f"rm -rf /var/backups/infisical* {STATE}/* /var/cache/infisical-backup/* "
        "/etc/infisical/backup/ssh_key*"
    )


def without_backups(host: StagingHost) -> Iterator[StagingHost]:
    """Yield the host without any backup, and remove the backups afterwards."""
    forget_backups(host)
    yield host
    forget_backups(host)
    assert infisical_iac(host.name, "apply", "--yes").returncode == 0


def gateway(host: StagingHost) -> str:
    """Return this machine's address as the host sees it."""
    return host.run("ip route show default").stdout.split()[2]


@contextmanager
def s3_server(address: str) -> Iterator[str]:
    """Yield the URL of an S3 server that runs on this machine while the context is open."""
    port = free_port()
    program = Path(sys.executable).with_name("moto_server")
    with subprocess.Popen(
        [program, "-H", address, "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        url = f"http://{address}:{port}"
        try:
            _answers(url)
            yield url
        finally:
            server.terminate()


def _answers(url: str) -> None:
    for _ in range(_SECONDS * 4):
        try:
            httpx.get(url, timeout=5)
        except httpx.HTTPError:
            time.sleep(0.25)
        else:
            return
    raise AssertionError(f"{url} does not answer")
