"""The host itself: packages, clock, security updates, no core dumps, no swap in clear."""

from pyinfra.api.deploy import deploy

from infisical_iac.deploys.preflight import Preflight
from infisical_iac.operations import apt, files, first_boot, kernel, systemd

_TIMESYNCD = "systemd-timesyncd"
_PACKAGES = ("ca-certificates", "curl", "jq", "restic", "unattended-upgrades", _TIMESYNCD)
_UNITS = (f"{_TIMESYNCD}.service", "unattended-upgrades.service")
_SYSCTL = "/etc/sysctl.d/90-infisical-iac.conf"
_PARAMETERS = {
    # A program that changed its rights leaves no core dump.
    "fs.suid_dumpable": "0",
    # Redis saves by forking, which needs no copy of its memory but asks for it.
    "vm.overcommit_memory": "1",
}
_APT = """\
APT::Periodic::Update-Package-Lists "1";
APT::Periodic::Unattended-Upgrade "1";
APT::Periodic::AutocleanInterval "7";
"""
_FILES = (
    files.File("/etc/apt/apt.conf.d/52infisical-iac", _APT),
    files.File(_SYSCTL, "".join(f"{name} = {value}\n" for name, value in _PARAMETERS.items())),
    files.File(
        "/etc/systemd/system.conf.d/90-infisical-iac.conf", "[Manager]\nDefaultLimitCORE=0\n"
    ),
    files.File(
        "/etc/systemd/coredump.conf.d/90-infisical-iac.conf",
        "[Coredump]\nStorage=none\nProcessSizeMax=0\n",
    ),
    files.File("/etc/security/limits.d/90-infisical-iac.conf", "* hard core 0\nroot hard core 0\n"),
)


def packages(known: Preflight) -> list[str]:
    """What the host needs beside Docker, its backups' programs among it."""
    names = [name for name in _PACKAGES if not (known.machine.clock and name == _TIMESYNCD)]
    if any(target.kind == "sftp" for target in known.settings.backup_targets):
        names.append("openssh-client")
    return names


@deploy("Base")
def base(known: Preflight) -> None:
    """Wait for the first boot's own work, then bring the host to its base state."""
    timeout = known.settings.apt_timeout
    clock = known.machine.clock
    units = [clock or _UNITS[0], _UNITS[1]]
    first_boot.finished(
        running=known.machine.cloud_init, timeout=timeout, name="Wait for cloud-init"
    )
    apt.packages(names=packages(known), name="Install the base packages", timeout=timeout)
    files.contents(files=_FILES, name="Configure updates, kernel and core dumps")
    kernel.settled(
        values=_PARAMETERS,
        path=_SYSCTL,
        swap_off=known.settings.swap == "off",
        name="Apply kernel parameters, turn off core dumps and swap",
    )
    systemd.running(units=units, name="Keep clock and security updates running")
