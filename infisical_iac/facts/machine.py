"""What kind of machine the host is."""

from dataclasses import dataclass

from pyinfra.api.facts import FactBase

_COMMAND = """
. /etc/os-release; echo "os $ID $VERSION_ID $VERSION_CODENAME"
echo "uid $(id -u)"
echo "arch $(dpkg --print-architecture 2>/dev/null)"
where=/var/lib; test ! -d /var/lib/docker || where=/var/lib/docker
echo "disk $(df -Pk $where | awk 'NR == 2 { print $4 }')"
test ! -e /etc/infisical/compose.yaml || echo deployed
state=/var/lib/infisical-restore/state; test ! -e $state || echo "restoring $(cat $state)"
state=/var/lib/infisical-upgrade/state; test ! -e $state || echo "upgrading $(cat $state)"
state=/var/lib/infisical-rotation/state; test ! -e $state || echo "rotating $(cat $state)"
test -d /run/systemd/system && echo systemd
if command -v cloud-init >/dev/null && cloud-init status 2>/dev/null | grep -q running
then echo cloud-init; fi
for clock in chrony ntpsec openntpd; do
    test ! -e /lib/systemd/system/$clock.service || echo "clock $clock.service"
done
true
"""


@dataclass(frozen=True)
class MachineState:
    """The host's distribution, architecture, rights and room.

    `free_disk_gb` is what Docker's file system has left; `deployed` tells whether an
    earlier run got as far as the stack; `cloud_init` whether first-boot work still runs;
    `restoring`, `upgrading` and `rotating` what a restore, a change of version or a rotation of a
    key that has not ended says of itself;
    `clock` is the unit that keeps the time where that isn't systemd's own.
    """

    os: str = ""
    release: str = ""
    codename: str = ""
    architecture: str = ""
    root: bool = False
    systemd: bool = False
    free_disk_gb: float = 0.0
    deployed: bool = False
    cloud_init: bool = False
    clock: str = ""
    restoring: str = ""
    upgrading: str = ""
    rotating: str = ""


class Machine(FactBase[MachineState]):
    """The MachineState, read in one command."""

    def command(self) -> str:
        return _COMMAND

    def process(self, output: list[str]) -> MachineState:
        found = {key: rest.split() for key, _, rest in (line.partition(" ") for line in output)}
        names = (*found.get("os", ()), "", "", "")
        return MachineState(
            os=names[0],
            release=names[1],
            codename=names[2],
            architecture=" ".join(found.get("arch", ())),
            root=found.get("uid") == ["0"],
            systemd="systemd" in found,
            free_disk_gb=int((*found.get("disk", ()), "0")[0]) / 1024**2,
            deployed="deployed" in found,
            cloud_init="cloud-init" in found,
            clock=" ".join(found.get("clock", ())),
            restoring=" ".join(found.get("restoring", ())),
            upgrading=" ".join(found.get("upgrading", ())),
            rotating=" ".join(found.get("rotating", ())),
        )

    @staticmethod
    def default() -> MachineState:
        return MachineState()
