"""Store the access to a staging host: its port and keys.

The files are in the host's directory: `host.json`, `id_ed25519`, `known_hosts`, `ssh_config`.
"""

import json
import shutil
from pathlib import Path
from typing import NamedTuple

from tests.staging import engine
from tests.staging.shell import StagingError, run


class Access(NamedTuple):
    """The content of a host's `host.json`.

    `address` is where the other hosts of its cluster reach it; empty without a cluster.
    """

    name: str
    port: int
    user: str
    release: str
    address: str = ""


def client_key(directory: Path) -> str:
    """Return the public half of the login key; make the key if it is missing."""
    private = directory / "id_ed25519"
    if not private.exists():
        engine.install({"ssh-keygen": "openssh-client"})
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "staging", "-f", str(private))
    return private.with_suffix(".pub").read_text().strip()


def write(access: Access, directory: Path, host_keys: str) -> None:
    """Write the files; `host_keys` are the lines of the host's `ssh_host_*_key.pub`."""
    key, known_hosts = directory / "id_ed25519", directory / "known_hosts"
    address = f"[127.0.0.1]:{access.port}"
    known_hosts.write_text("".join(f"{address} {line}\n" for line in host_keys.splitlines()))
    (directory / "ssh_config").write_text(
        f"Host {access.name}\n"
        f"  HostName 127.0.0.1\n  Port {access.port}\n  User {access.user}\n"
        f'  IdentityFile "{key}"\n  IdentitiesOnly yes\n'
        f'  UserKnownHostsFile "{known_hosts}"\n  StrictHostKeyChecking yes\n'
        "  LogLevel ERROR\n"
    )
    files = {"key": str(key), "known_hosts": str(known_hosts)}
    (directory / "host.json").write_text(json.dumps(access._asdict() | files, indent=2) + "\n")


def exists(directory: Path) -> bool:
    """Return whether the host was made completely: `host.json` is written last."""
    return (directory / "host.json").exists()


def read(directory: Path) -> Access:
    """Return the content of `host.json`. Raises StagingError if there is no such host."""
    if not exists(directory):
        raise StagingError(
            f"there is no staging host {directory.name!r}; make it: "
            f"python -m tests.staging up --name {directory.name}"
        )
    known = json.loads((directory / "host.json").read_text())
    return Access(**{field: known[field] for field in Access._fields if field in known})


def forget(directory: Path) -> None:
    """Remove the host's directory with its keys."""
    shutil.rmtree(directory, ignore_errors=True)


def answers(directory: Path, name: str) -> bool:
    """Return whether a login to the host succeeds."""
    config = str(directory / "ssh_config")
    options = ("-o", "ConnectTimeout=5", "-o", "BatchMode=yes")
    return run("ssh", "-F", config, *options, name, "true", check=False).returncode == 0
