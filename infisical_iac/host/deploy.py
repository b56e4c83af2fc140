"""Set up the base of a host: data volume, packages, clock, updates and swap."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pyinfra.api.deploy import deploy

from infisical_iac.agent import volume
from infisical_iac.agent.files import PathState, states
from infisical_iac.agent.system import UnitState
from infisical_iac.agent.volume import VolumeState
from infisical_iac.core import apt, files, units
from infisical_iac.core.agent import Question, ask, inspect, perform, question, together
from infisical_iac.core.change import Change, UpToDate
from infisical_iac.core.errors import Refused, SettingsError
from infisical_iac.core.files import File
from infisical_iac.core.operation import Commands, planned_operation, step
from infisical_iac.core.remote import run, write
from infisical_iac.core.rendering import template
from infisical_iac.host import kernel
from infisical_iac.host.docker import docker
from infisical_iac.host.docker import questions as docker_questions
from infisical_iac.host.firewall import firewall
from infisical_iac.host.firewall import questions as firewall_questions
from infisical_iac.host.hardening import hardening
from infisical_iac.host.hardening import questions as hardening_questions
from infisical_iac.host.shared import not_ours
from infisical_iac.host.site import Known
from infisical_iac.host.watch import questions as watch_questions
from infisical_iac.host.watch import watch

_FILE_SYSTEMS = ("ext4", "xfs")


def refuse_volume(
    device: str, state: VolumeState, *, of_host: str, deployed: bool, spare: str = ""
) -> None:
    """Raise a UserError if a deploy would use the wrong data, or hide or overwrite some.

    Args:
        device: the setting data_volume, empty for none.
        of_host: the UUID of the volume that the host used before, empty for none.
        deployed: whether the host's directories have the data of an Infisical.
        spare: an empty volume of the provider's that is attached, empty for none.
    """
    if not device:
        if spare and not deployed:
            raise Refused(
                f"the empty volume {spare} is attached to the host, but setting 'data_volume' is "
                "empty, so the data would not be on the volume: set data_volume to this device, or "
                "detach the volume",
                code="refused.data_volume",
                ends_run=True,
            )
        if of_host:
            raise Refused(
                f"the host's data are on a volume with UUID {of_host}, but setting 'data_volume' "
                "is empty: set it to the device of that volume",
                code="refused.data_volume",
                ends_run=True,
            )
    elif unfit := _find_unfit(device, state, of_host=of_host, deployed=deployed):
        code, reason = unfit
        raise SettingsError(f"setting 'data_volume': {reason}", code=code, ends_run=True)


def _find_unfit(
    device: str, state: VolumeState, *, of_host: str, deployed: bool
) -> tuple[str, str] | None:
    """Return why the device can't be the host's data volume, as code and reason; None if it can."""
    if not state.present:
        return (
            "settings.volume_missing",
            f"there is no block device {device} on the host: attach the volume; Infisical is not "
            "started without it",
        )
    if of_host and state.uuid != of_host:
        return (
            "settings.volume_other",
            f"{device} does not hold the host's data, which are on the volume with UUID {of_host}: "
            "set it to the device of that volume",
        )
    if state.holds and state.holds not in _FILE_SYSTEMS:
        return (
            "settings.volume_in_use",
            f"{device} holds {state.holds}, which is never overwritten: use an empty volume, or "
            "one with an empty ext4 file system",
        )
    if state.mounted and state.mounted != state.uuid:
        return (
            "settings.volume_not_mounted",
            f"another volume, with UUID {state.mounted}, is mounted at /mnt/infisical-data: set it "
            f"to the device of that volume instead of {device}",
        )
    if not state.mounted and deployed and not of_host:
        return (
            "settings.volume_too_late",
            "the host has an Infisical on its own disk already: make a recovery kit and a backup, "
            "deploy a new host with the volume, and restore there",
        )
    if state.docker_volumes and "/var/lib/docker/volumes" not in state.bound:
        return (
            "settings.volume_hides",
            "Docker on the host has volumes that the data volume would hide "
            f"({', '.join(state.docker_volumes)}): use a host for Infisical only, or remove these "
            "volumes",
        )
    return None


@dataclass(frozen=True)
class DataVolume:
    """The volume, the files read by path, and the units by name."""

    volume: VolumeState = field(default_factory=VolumeState)
    files: dict[str, PathState] = field(default_factory=dict)
    units: dict[str, UnitState] = field(default_factory=dict)


def volume_question(
    *, device: str, paths: Sequence[str], names: Sequence[str]
) -> Question[DataVolume]:
    """Return the question for the DataVolume of a `device`, with files and the named units."""
    return together(
        DataVolume,
        question(volume.inspect, device=device),
        question(states, paths=[*paths]),
        units.question_for(names),
    )


UNIT = "infisical-data.service"
_DOCKER = f"{units.DIRECTORY}/docker.service.d/infisical-data.conf"
_UNFINISHED = " ".join(
    f"/var/lib/infisical-{name}/state" for name in ("restore", "upgrade", "rotation")
)


def volume_files(uuid: str) -> list[File]:
    """Return the files on the host's own disk that mount the volume with this UUID at boot."""
    return [
        units.unit_file(UNIT, uuid=uuid),
        File(_DOCKER, template("infisical-data.conf")),
    ]


@planned_operation
def mount(device: str, *, of_host: str, deployed: bool, spare: str) -> Commands:
    """Mount the volume `device` at the data directories; without one, check that none is needed.

    The arguments are those of `refuse`, which raises before anything is changed.
    """
    there = inspect(_question_for(device)) if device else DataVolume()
    yield from decide_volume(device, there, of_host=of_host, deployed=deployed, spare=spare)


def _question_for(device: str) -> Question[DataVolume]:
    paths = [each.path for each in volume_files("")]
    return volume_question(device=device, paths=paths, names=[UNIT])


def decide_volume(
    device: str, there: DataVolume, *, of_host: str, deployed: bool, spare: str = ""
) -> Commands:
    """Decide how to bring the data onto the volume, by its actual state `there`.

    Raises as `mount` does.
    """
    state = there.volume
    refuse_volume(device, state, of_host=of_host, deployed=deployed, spare=spare)
    if not device:
        yield UpToDate("the data are on the host's own disk")
        return
    desired = volume_files(state.uuid)
    wrong = files.find_differing(desired, there.files)
    unit = there.units.get(UNIT)
    off = not (unit and unit.enabled and unit.active and not unit.outdated)
    if not (wrong or off or state.unbound or state.larger):
        yield UpToDate(f"the data are on {device}")
        return
    if not state.holds:
        yield Change("+", f"file system on {device}", "ext4")
    for file in wrong:
        yield files.difference(file, there.files.get(file.path))
    if state.unbound:
        yield Change("~", f"data volume {device}", f"in place of {', '.join(state.unbound)}")
    elif off:
        yield Change("~", UNIT, "enabled and started")
    if wrong or off or state.unbound:
        yield step(_mount_volume, device, not state.holds, wrong)
    if state.larger:
        sizes = " → ".join(f"{each} MiB" for each in state.larger)
        yield Change("~", f"file system on {device}", f"{sizes}, as the device has")
        doing = f"let the file system on {device} grow"
        yield step(perform, question(volume.grow, device=device), doing=doing)


def _mount_volume(device: str, blank: bool, wrong: Sequence[File]) -> None:
    if blank:
        formatted = question(volume.format_device, device=device)
        perform(formatted, doing=f"make a file system on {device}")
    uuid = ask(volume_question(device=device, paths=[], names=[UNIT])).volume.uuid
    for file in volume_files(uuid) if blank else wrong:
        write(file.path, file.content, mode=file.mode)
    doing = f"mount the data volume {device}"
    run(
        f"{_STOP_DOCKER} && systemctl daemon-reload && systemctl enable --quiet {UNIT}", doing=doing
    )
    # A unit that is active would not mount it again.
    perform(question(volume.mount, uuid=uuid), doing=doing)
    run(f"systemctl start {UNIT}", doing=doing)
    left = run(f"ls {_UNFINISHED} 2>/dev/null || true", doing="inspect the data volume").split()
    if left:
        raise Refused(
            f"the volume holds the state of unfinished changes ({', '.join(left)}): run again, "
            "which ends them first",
            code="refused.unfinished",
            ends_run=True,
        )


# A running Docker has already read its volumes from the host's own disk, and its containers keep
# using the directories that were at these paths when they started.
_STOP_DOCKER = (
    "{ test /var/lib/docker/volumes -ef /mnt/infisical-data/volumes && "
    "test /etc/infisical -ef /mnt/infisical-data/etc && "
    "test /var/log/infisical-access -ef /mnt/infisical-data/access || "
    "! systemctl --quiet is-active docker.service || { "
    'test -z "$(docker ps --quiet)" || '
    '{ echo "containers run on the host, which use its own disk: stop them" >&2; '
    "exit 1; }; systemctl stop docker.socket docker.service; }; }"
)


def volume_questions(known: Known) -> Iterator[Question[DataVolume]]:
    """Yield the step's questions to the agent."""
    if device := known.settings.host.data_volume:
        yield _question_for(device)


@deploy("Data volume")
def data_volume(known: Known) -> None:
    """Keep data, keys and backups on the volume of the setting data_volume."""
    # With somebody else's engine no data volume is possible, and a spare one may be theirs.
    spare = "" if not_ours(known.settings, known.machine) else known.machine.spare_volume
    mount(
        device=known.settings.host.data_volume,
        of_host=known.machine.data_volume,
        deployed=known.machine.deployed,
        spare=spare,
        name="Keep the data on the data volume",
    )


@planned_operation
def cloud_init(*, running: bool, timeout: int) -> Commands:
    """Wait until a `running` cloud-init has finished, at most `timeout` seconds."""
    if not running:
        yield UpToDate("no cloud-init is running")
        return
    yield Change("~", "cloud-init", "running → waited for")
    yield step(_wait, timeout)


def _wait(timeout: int) -> None:
    # cloud-init also fails for mere warnings about the user's cloud-config.
    run(
        f"timeout {timeout} cloud-init status --wait >/dev/null; test $? != 124",
        doing=f"see cloud-init finish within {timeout} s (setting 'apt_timeout')",
    )


_TIMESYNCD = "systemd-timesyncd"
_PACKAGES = (
    *("ca-certificates", "curl", "jq", "logrotate", "restic", "unattended-upgrades"),
    _TIMESYNCD,
)
# fail2ban reads failed SSH logins from the journal through python3-systemd.
_BANNING = ("fail2ban", "python3-systemd")
_UNITS = (f"{_TIMESYNCD}.service", "unattended-upgrades.service")
_APT = """\
APT::Periodic::Update-Package-Lists "1";
APT::Periodic::Unattended-Upgrade "1";
APT::Periodic::AutocleanInterval "7";
// Docker is upgraded, and the host rebooted, only in the maintenance window.
Unattended-Upgrade::Package-Blacklist:: "docker";
Unattended-Upgrade::Package-Blacklist:: "containerd";
Unattended-Upgrade::Package-Blacklist:: "runc$";
Unattended-Upgrade::Automatic-Reboot "false";
"""
FILES = (
    files.File("/etc/apt/apt.conf.d/52infisical-iac", _APT),
    files.File(
        "/etc/systemd/system.conf.d/90-infisical-iac.conf", "[Manager]\nDefaultLimitCORE=0\n"
    ),
    files.File(
        "/etc/systemd/coredump.conf.d/90-infisical-iac.conf",
        "[Coredump]\nStorage=none\nProcessSizeMax=0\n",
    ),
    files.File("/etc/security/limits.d/90-infisical-iac.conf", "* hard core 0\nroot hard core 0\n"),
)


def packages(known: Known) -> list[str]:
    """Return the packages that the host needs in addition to Docker, also those for its backups."""
    names = [name for name in _PACKAGES if not (known.machine.clock and name == _TIMESYNCD)]
    kinds = {target.kind: None for target in known.settings.backup.backup_targets}
    names.extend(name for kind in kinds for name in kind.packages)
    if known.settings.host.firewall == "on" or known.settings.host.fail2ban == "on":
        names.append("nftables")
    if known.settings.host.fail2ban == "on":
        names.extend(_BANNING)
    if known.settings.host.hardening == "on" and known.machine.apparmor:
        names.append("apparmor")
    if known.settings.host.auditd == "on":
        names.append("auditd")
    instance = known.settings.instance
    if instance.smtp or instance.outbound_proxy or instance.login.clients or instance.license_key:
        names.append("python3")
    if known.settings.host.data_volume or known.settings.stack.runs_caddy:
        names.append("e2fsprogs")
    return names


def _files(known: Known) -> list[files.File]:
    return [*FILES, *kernel.sysctl(kernel.parameters(known.settings))]


def _units_of(known: Known) -> list[str]:
    """Return the units that the base needs."""
    return [known.machine.clock or _UNITS[0], _UNITS[1]]


def questions(known: Known) -> Iterator[Question[Any]]:
    """Yield the questions of `foundation`'s steps to the agent on an up-to-date host."""
    yield apt.question_for(packages(known))
    yield files.question_for(_files(known))
    yield kernel.question_for(kernel.parameters(known.settings))
    yield units.question_for(_units_of(known))
    yield from firewall_questions(known)
    yield from volume_questions(known)
    yield from docker_questions(known)
    yield from watch_questions(known)
    yield from hardening_questions(known)


@deploy("Base")
def base(known: Known) -> None:
    """Wait until the first boot has finished, then bring the host to its base state."""
    timeout, values = known.settings.host.apt_timeout, kernel.parameters(known.settings)
    cloud_init(running=known.machine.cloud_init, timeout=timeout, name="Wait for cloud-init")
    apt.packages(names=packages(known), name="Install the base packages", timeout=timeout)
    files.contents(files=_files(known), name="Configure updates, kernel and core dumps")
    kernel.live_parameters(
        values=values,
        swap_off=known.settings.host.swap == "off",
        name="Apply kernel parameters, turn off core dumps and swap",
    )
    started = _units_of(known)
    units.running(
        units=started,
        packages={unit: [unit.removesuffix(".service")] for unit in started},
        name="Keep clock and security updates running",
    )


def foundation(known: Known) -> None:
    """Harden the host, install Docker and join the cluster, so that the stack can run."""
    base(known=known)
    firewall(known=known)
    data_volume(known=known)
    docker(known=known)
    watch(known=known)
    hardening(known=known)
    known.site.join()


def share(known: Known) -> None:
    """Give the other hosts of a cluster what this one has created."""
    known.site.share()
