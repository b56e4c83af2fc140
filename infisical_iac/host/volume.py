"""Describe what a host has of a data volume, and what of that stands in the way. Pure."""

from dataclasses import dataclass, field

from infisical_iac.core.errors import UserError

PLACES = (
    "/etc/infisical",
    "/var/lib/docker/volumes",
    "/var/backups/infisical",
    "/var/backups/infisical-iac",
    "/var/log/infisical-iac",
    "/var/log/infisical-access",
    *(f"/var/lib/infisical-{name}" for name in ("backup", "drill", "restore", "upgrade")),
    *(f"/var/lib/infisical-{name}" for name in ("rotation", "scale", "share", "access-log")),
)
_FILE_SYSTEMS = ("ext4", "xfs")


class VolumeError(UserError):
    """The data volume can't be used as things are: all that is done next would go elsewhere."""

    ends_run = True


@dataclass(frozen=True)
class VolumeState:
    """The device that is wanted, and what of the host lies on a volume.

    Attributes:
        present: whether there is such a device.
        holds: the type of its file system, empty if nothing at all is on it.
        uuid: of that file system.
        mounted: the UUID of what is mounted, empty for nothing.
        bound: the places that are on it.
        docker_volumes: those that Docker has on the host's own disk.
        larger: the MiB that the file system takes and that the device has by now, if that is more.
    """

    present: bool = False
    holds: str = ""
    uuid: str = ""
    mounted: str = ""
    bound: frozenset[str] = frozenset()
    docker_volumes: tuple[str, ...] = field(default=())
    larger: tuple[int, int] | None = None

    @property
    def unbound(self) -> list[str]:
        """The places that are still on the host's own disk."""
        return [place for place in PLACES if place not in self.bound]


def refuse(
    device: str, state: VolumeState, *, of_host: str, deployed: bool, spare: str = ""
) -> None:
    """Raise VolumeError if a deploy would work with other data than the host's, or harm some.

    Args:
        device: the setting data_volume, empty for none.
        of_host: the UUID of the volume that the host worked with before, empty for none.
        deployed: whether there is an Infisical in the host's places.
        spare: a volume of the provider's that is attached with nothing on it, empty for none.
    """
    if not device:
        if spare and not deployed:
            raise VolumeError(
                f"the host has the volume {spare} with nothing on it, but setting 'data_volume' is "
                "empty, so that the data would not be on it: set it to that device, or detach it"
            )
        if of_host:
            raise VolumeError(
                f"the host's data are on a volume with UUID {of_host}, but setting 'data_volume' "
                "is empty: set it to that volume's device"
            )
        return
    if not state.present:
        raise VolumeError(
            f"setting 'data_volume': there is no block device {device} on the host: attach the "
            "volume, and nothing is started without it until then"
        )
    if of_host and state.uuid != of_host:
        raise VolumeError(
            f"setting 'data_volume': {device} is not the volume that the host's data are on, whose "
            f"UUID is {of_host}: set it to that one's device"
        )
    if state.holds and state.holds not in _FILE_SYSTEMS:
        raise VolumeError(
            f"setting 'data_volume': {device} holds {state.holds}, which is left alone: give an "
            "empty volume, or one with an empty file system of ext4"
        )
    if state.mounted and state.mounted != state.uuid:
        raise VolumeError(
            f"setting 'data_volume': another volume, with UUID {state.mounted}, is mounted at "
            f"/mnt/infisical-data: set it to that one's device, not {device}"
        )
    if not state.mounted and deployed and not of_host:
        raise VolumeError(
            "setting 'data_volume': the host has an Infisical on its own disk already: make a "
            "recovery kit and a backup, deploy a new host with the volume, and restore there"
        )
    if state.docker_volumes and "/var/lib/docker/volumes" not in state.bound:
        raise VolumeError(
            "setting 'data_volume': Docker on the host has volumes that the data volume would "
            f"hide ({', '.join(state.docker_volumes)}): use a host of its own, or remove them"
        )
