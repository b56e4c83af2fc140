"""The data volume in its places: formatted if it is blank, mounted by UUID before Docker starts."""

import shlex
from collections.abc import Sequence

from pyinfra.context import host

from infisical_iac.core import files, journal
from infisical_iac.core.files import File
from infisical_iac.core.operation import Commands, step, telling_operation
from infisical_iac.core.remote import run, write
from infisical_iac.core.rendering import script, script_file, template
from infisical_iac.facts.volume import DataVolume, Volume
from infisical_iac.host.volume import VolumeError, refuse

SCRIPT = "/usr/local/lib/infisical-iac/volume.sh"
UNIT = "infisical-data.service"
_DOCKER = "/etc/systemd/system/docker.service.d/infisical-data.conf"
_UNFINISHED = " ".join(
    f"/var/lib/infisical-{name}/state" for name in ("restore", "upgrade", "rotation")
)


def configuration(uuid: str) -> list[File]:
    """Return what on the host's own disk brings the volume with this UUID to its places."""
    unit = template(UNIT, script=SCRIPT, uuid=uuid)
    return [
        File(SCRIPT, script_file("volume")),
        File(f"/etc/systemd/system/{UNIT}", unit),
        File(_DOCKER, template("infisical-data.conf")),
    ]


@telling_operation
def mounted(device: str, *, of_host: str, deployed: bool, spare: str) -> Commands:
    """Have the host's data on `device`; with none, only see that they are not on a volume.

    Args:
        of_host: the UUID of the volume that the host worked with before, empty for none.
        deployed: whether there is an Infisical in the host's places.
        spare: a volume of the provider's with nothing on it, empty for none.

    Raises VolumeError, with nothing changed, for a device that is not there, holds something else
    or is not the host's, for data that are on the host's own disk already, and for a volume that
    would be left empty.
    """
    if not device:
        refuse(device, DataVolume().volume, of_host=of_host, deployed=deployed, spare=spare)
        host.noop("the data are on the host's own disk")
        return
    paths = [each.path for each in configuration("")]
    there = host.get_fact(Volume, device=device, paths=paths, units=[UNIT])
    state = there.volume
    refuse(device, state, of_host=of_host, deployed=deployed)
    wanted = configuration(state.uuid)
    wrong = files.differing(wanted, there.files)
    unit = there.units.get(UNIT)
    off = not (unit and unit.enabled and unit.active and not unit.outdated)
    if not (wrong or off or state.unbound or state.larger):
        host.noop(f"the data are on {device}")
        return
    if not state.holds:
        journal.item("+", f"file system on {device}", "ext4")
    for file in wrong:
        files.tell(file, there.files.get(file.path))
    if state.unbound:
        journal.item("~", f"data volume {device}", f"in place of {', '.join(state.unbound)}")
    elif off:
        journal.item("~", UNIT, "enabled and started")
    if wrong or off or state.unbound:
        yield step(_settle, device, not state.holds, wrong)
    if state.larger:
        sizes = " → ".join(f"{each} MiB" for each in state.larger)
        journal.item("~", f"file system on {device}", f"{sizes}, as the device has")
        yield step(
            run, script("volume", "grow", device), doing=f"let the file system on {device} grow"
        )


def _settle(device: str, blank: bool, wrong: Sequence[File]) -> None:
    if blank:
        run(script("volume", "format", device), doing=f"make a file system on {device}")
        found = host.get_fact(Volume, device=device, paths=[], units=[UNIT])
        wrong = configuration(found.volume.uuid)
        uuid = found.volume.uuid
    else:
        uuid = host.get_fact(Volume, device=device, paths=[], units=[UNIT]).volume.uuid
    for file in wrong:
        write(file.path, file.content, mode=file.mode)
    run(
        f"{_STOP_DOCKER} && systemctl daemon-reload && systemctl enable --quiet {UNIT} && "
        f"sh {SCRIPT} mount {shlex.quote(uuid)} && systemctl start {UNIT}",
        doing=f"bring the data volume {device} to its places",
    )
    left = run(f"ls {_UNFINISHED} 2>/dev/null || true", doing="look at the data volume").split()
    if left:
        raise VolumeError(
            f"the volume came with work that has not ended ({', '.join(left)}): run again, and it "
            "is ended first"
        )


# A Docker that ran before has read its volumes from the host's own disk, and its containers go on
# with what was in these places when they began.
_STOP_DOCKER = (
    "{ test /var/lib/docker/volumes -ef /mnt/infisical-data/volumes && "
    "test /etc/infisical -ef /mnt/infisical-data/etc && "
    "test /var/log/infisical-access -ef /mnt/infisical-data/access || "
    "! systemctl --quiet is-active docker.service || { "
    'test -z "$(docker ps --quiet)" || '
    '{ echo "containers run on the host, which keep hold of its own disk: stop them" >&2; '
    "exit 1; }; systemctl stop docker.socket docker.service; }; }"
)
