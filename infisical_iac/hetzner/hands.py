"""What a replacement does on the servers themselves: over SSH, and by this project's commands."""

import json
import os
import subprocess
import sys
from pathlib import Path

from infisical_iac.hetzner import remote as first_contact
from infisical_iac.hetzner.failures import HetznerError
from infisical_iac.hetzner.remote import Login
from infisical_iac.rendering import script

_PROGRAM = Path(sys.executable).with_name("infisical-iac")
_RELEASE_SECONDS = 300
_LOOK_SECONDS = 60
_APPLY_SECONDS = 3600
# What of `status` tells that a server does the work: backups and kits are not of this day.
_PROOF = ("infisical", "postgres", "redis", "Drift")
_PROOF_IF_THERE = ("caddy",)


class Hands:
    """What is done on servers; `device` is where the data volume is on each of them."""

    def __init__(self, device: str, *, timeout: float) -> None:
        self._device = device
        self._timeout = timeout

    def check(self, login: Login) -> None:
        """See that what a server has of Infisical is on the volume, before anything is begun."""
        self._volume(login, "ours", doing=f"see that the data of {login} are on its volume")

    def release(self, login: Login) -> None:
        """Stop Infisical and Docker, and take the volume out of its places."""
        doing = f"stop Infisical on {login} and let go of its volume"
        self._volume(login, "release", doing=doing, timeout=_RELEASE_SECONDS)

    def look(self, login: Login) -> None:
        """See that something is on the volume, which a server has: else a deploy would begin anew.

        Raises HetznerError for a blank one.
        """
        found = self._volume(login, "look", self._device, doing=f"look at the volume on {login}")
        is_ = found.partition("\n")[0]
        if is_ in ("blank", "absent"):
            raise HetznerError(
                f"the volume on {login} is {is_}: what data there are must be on the old server's "
                "own disk; go back by `infisical-iac server replace --undo`"
            )

    def others(self, login: Login) -> str:
        """What a node of a cluster knows of the others: see `scripts/others.sh`."""
        with first_contact.connected(login, timeout=self._timeout) as client:
            doing = f"see on {login} how the cluster is"
            return first_contact.run(client, script("others"), doing=doing, timeout=_LOOK_SECONDS)

    def stop(self, login: Login) -> None:
        """Stop Docker and with it all of Infisical, where it is installed."""
        command = (
            "test ! -e /usr/lib/systemd/system/docker.service || "
            "systemctl stop docker.socket docker.service"
        )
        with first_contact.connected(login, timeout=self._timeout) as client:
            doing = f"stop Infisical on {login}"
            first_contact.run(client, command, doing=doing, timeout=_RELEASE_SECONDS)

    def _volume(
        self, login: Login, *arguments: str, doing: str, timeout: float = _LOOK_SECONDS
    ) -> str:
        with first_contact.connected(login, timeout=self._timeout) as client:
            command = script("volume", *arguments)
            return first_contact.run(client, command, doing=doing, timeout=timeout)

    def wait(self, login: Login) -> str:
        """Wait until a server lets in; return the host key that it has."""
        with first_contact.connected(login, timeout=self._timeout) as client:
            return first_contact.key_of(client)

    def apply(self, login: Login) -> None:
        """Deploy to a server."""
        done = self._command(login, "apply", "--yes", capture=False)
        if done.returncode:
            raise HetznerError(
                f"the deploy to {login} failed: cure what it says and run again, or go back by "
                "`infisical-iac server replace --undo`"
            )

    def prove(self, login: Login) -> None:
        """See that Infisical is well on a server and as declared."""
        done = self._command(login, "status", "--json", capture=True)
        try:
            rows = {row["name"]: row for row in json.loads(done.stdout)}
        except ValueError:
            rows = {}
        names = [*_PROOF, *(name for name in _PROOF_IF_THERE if name in rows)]
        unwell = [name for name in names if not rows.get(name, {}).get("ok")]
        if unwell:
            raise HetznerError(
                f"Infisical is not well on {login} ({', '.join(unwell)}): `infisical-iac status` "
                "tells more; run again, or go back by `infisical-iac server replace --undo`"
            )

    def _command(
        self, login: Login, *arguments: str, capture: bool
    ) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "INFISICAL_IAC_INVENTORY": "inventory/hetzner.py",
            "INFISICAL_HOST": login.address,
            "INFISICAL_SSH_PORT": str(login.port),
            "INFISICAL_SSH_USER": "root",
            "INFISICAL_DATA_VOLUME": self._device,
        }
        try:
            return subprocess.run(
                [_PROGRAM, *arguments],
                env=environment,
                text=True,
                stdout=subprocess.PIPE if capture else sys.stderr,
                stderr=subprocess.PIPE if capture else None,
                timeout=_APPLY_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise HetznerError(
                f"`infisical-iac {arguments[0]}` on {login} has not ended in "
                f"{_APPLY_SECONDS // 60} minutes: see what it waits for, and run again"
            ) from None
