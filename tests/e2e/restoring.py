"""Helpers for the tests of restores: a backup target on another host, and a recovery kit."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyrage.x25519 import Identity

from infisical_iac.agent import contents
from infisical_iac.api import login
from tests.e2e import inspection
from tests.e2e.backing import inventory
from tests.e2e.running import PROGRAM, Done, infisical_iac
from tests.staging.host import StagingHost

REPOSITORY = "/srv/backups"


@dataclass(frozen=True)
class World:
    """A host, another host with its backups, and a recovery kit that is on neither of them.

    Attributes:
        directory: where the kit, its identity and the inventory are.
        inventory: the file of the inventory with the host and its backup target.
    """

    host: StagingHost
    store: StagingHost
    directory: Path
    inventory: str

    @property
    def kit(self) -> tuple[str, ...]:
        """Return the options that give a restore the kit."""
        kit = ("--kit", str(self.directory / "kit.txt"), "--identity", str(self._identity))
        return (*kit, "--fingerprint", self._fingerprint.read_text())

    @property
    def _identity(self) -> Path:
        return self.directory / "identity.txt"

    @property
    def _fingerprint(self) -> Path:
        return self.directory / "fingerprint.txt"

    def run(
        self,
        *arguments: str,
        program: tuple[str, ...] = PROGRAM,
        environment: Mapping[str, str] | None = None,
    ) -> Done:
        """Run `infisical-iac <arguments>`."""
        given = (*arguments, "-i", self.inventory)
        return infisical_iac(self.host.name, *given, program=program, environment=environment)

    def ok(self, *arguments: str, environment: Mapping[str, str] | None = None) -> Done:
        """Run `infisical-iac <arguments>`, which must succeed."""
        done = self.run(*arguments, environment=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def deploy(self, environment: Mapping[str, str]) -> None:
        """Deploy, and authorize the host's SSH key on the store."""
        self.ok("apply", "--yes", environment=environment)
        key = self.host.run("cat /etc/infisical/backup/ssh_key.pub").stdout
        self.store.run("cat >>/root/.ssh/authorized_keys", input=key)

    def make_kit(self) -> None:
        """Write a recovery kit for a new identity."""
        identity = Identity.generate()
        self._identity.write_text(f"{identity}\n")
        made = self.ok(
            *("recovery-kit", "--recipient", str(identity.to_public()), "--force", "--json"),
            *("--output", str(self.directory / "kit.txt"), "--identity", str(self._identity)),
        )
        self._fingerprint.write_text(json.loads(made.stdout)["signed_by"])

    def wipe(self) -> None:
        """Replace the host by a new, bare one."""
        self.host.down()
        self.host.up()

    def rows(self) -> dict[str, dict[str, Any]]:
        """Return the rows of the status, by name."""
        done = self.run("status", "--json")
        return {row["name"]: row for row in json.loads(done.stdout)}


def world(host: StagingHost, store: StagingHost, directory: Path, **settings: Any) -> World:
    """Return the two hosts with an inventory; nothing is deployed yet."""
    address = store.run("hostname --ip-address").stdout.split()[0]
    key = store.run("cut -d ' ' -f 1,2 /etc/ssh/ssh_host_ed25519_key.pub").stdout.strip()
    target = {
        "name": "store",
        "repository": f"sftp:root@{address}:{REPOSITORY}",
        "host_key": key,
    }
    return World(host, store, directory, inventory(directory, backup_targets=[target], **settings))


def read_as(host: StagingHost, credentials: dict[str, str], folder: str) -> dict[str, str]:
    """Return the secrets of a folder, read with a service's credentials."""
    with inspection.deployer(host) as client:
        project = inspection.place(client, folder, credentials["NODE_ENV"])["projectId"]
    with inspection.api(host) as client:
        service = login.universal(
            client, credentials["INFISICAL_CLIENT_ID"], credentials["INFISICAL_CLIENT_SECRET"]
        )
        listed = contents.secrets(service, project, credentials["NODE_ENV"], folder=folder)
    return {each["secretKey"]: each["secretValue"] for each in listed}


def files(host: StagingHost) -> dict[str, str]:
    """Return the SHA-256 of all files that a kit restores, by path."""
    command = (
        "cd /etc/infisical && sha256sum keys/* admin.env deployer.env credentials/*.env "
        "backup/ssh_key"
    )
    lines = host.run(command).stdout.splitlines()
    return {path: digest for digest, path in (line.split() for line in lines)}


@contextmanager
def damage_pack(store: StagingHost, change: str, repository: str = REPOSITORY) -> Iterator[None]:
    """Damage a repository's largest pack, $pack, while the context is open."""
    store.run(
        f"cp -a {repository} /srv/kept; "
        f"pack=$(find {repository}/data -type f | xargs ls -S | head -n 1); "
        f"chmod u+w $pack; {change}"
    )
    try:
        yield
    finally:
        store.run(f"rm -rf {repository}; mv /srv/kept {repository}")
