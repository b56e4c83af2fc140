"""Set up the base of a host: packages, clock, updates and swap."""

from collections.abc import Iterator
from typing import Any

from pyinfra.api.deploy import deploy

from infisical_iac.core import apt, files, units
from infisical_iac.core.agent import Question
from infisical_iac.core.change import Change, UpToDate
from infisical_iac.core.operation import Commands, planned_operation, step
from infisical_iac.core.remote import run
from infisical_iac.host import kernel
from infisical_iac.host.docker import docker
from infisical_iac.host.docker import questions as docker_questions
from infisical_iac.host.firewall import firewall
from infisical_iac.host.firewall import questions as firewall_questions
from infisical_iac.host.hardening import hardening
from infisical_iac.host.hardening import questions as hardening_questions
from infisical_iac.host.site import Known
from infisical_iac.host.volume import data_volume
from infisical_iac.host.volume import questions as volume_questions
from infisical_iac.host.watch import questions as watch_questions
from infisical_iac.host.watch import watch


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
