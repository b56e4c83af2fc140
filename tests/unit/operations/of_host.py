"""Cases of the operations of the host: base, Docker, firewall, bans, data volume, hardening."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from infisical_iac.agent.files import PathState
from infisical_iac.agent.system import KernelState, UnitState
from infisical_iac.agent.volume import PLACES, VolumeState
from infisical_iac.cluster import site as cluster_site
from infisical_iac.core.errors import Refused, SettingsError
from infisical_iac.core.files import File
from infisical_iac.host import deploy, docker, firewall, hardening, kernel, sshd_config, watch
from infisical_iac.host.deploy import DataVolume
from infisical_iac.host.firewall import FirewallState
from infisical_iac.host.hardening import HardeningState
from infisical_iac.host.model import MachineState
from infisical_iac.host.openings import openings
from infisical_iac.host.sshd_config import Line, Sshd
from infisical_iac.host.watch import WatchState
from tests.unit.cluster import observed
from tests.unit.operations.cases import Cases, due, noop, of, refusal
from tests.unit.settings_of import settings_of

_RUNS = UnitState(loaded=True, active=True, enabled=True)
_OTHER = PathState("regular file", "644", "root:root", "0" * 64)

# Docker's apt repository.
_MACHINE = MachineState(os="debian", codename="trixie", architecture="amd64")
_KEY = "/etc/apt/keyrings/docker.asc"
_LIST = File(
    "/etc/apt/sources.list.d/docker.list",
    "deb [arch=amd64 signed-by=/etc/apt/keyrings/docker.asc] "
    "https://download.docker.com/linux/debian trixie stable\n",
)
_ADDED = "+ Docker's apt repository: https://download.docker.com/linux"
_ADD = ("_add",)

# The swarm's view of engines.
_THREE = observed.cluster_of(observed.three())
_MISSED = observed.cluster_of(
    observed.converged_states(
        observed.member(1, "one"), observed.member(2, "two", down=True), observed.member(3, "three")
    ),
    me="two",
)

# The firewall.
_OPEN = openings(settings_of(), 22)
_TABLE = "table inet infisical {\n}"
_FIREWALL_FILES = (
    "/etc/infisical-iac/firewall.nft",
    "/etc/infisical-iac/firewall-fallback.nft",
    "/etc/systemd/system/infisical-firewall.service",
    "/etc/systemd/system/infisical-firewall-fallback.service",
    "/etc/systemd/system/infisical-firewall-failed.service",
    "/etc/systemd/system/docker.service.d/infisical-firewall.conf",
)
_LOADED = FirewallState(
    actual=_TABLE,
    desired=_TABLE,
    installed=True,
    files={each.path: each.state for each in firewall.files(_OPEN)},
    units={"infisical-firewall.service": _RUNS},
)

# The access log and fail2ban.
_ROTATION = [File("/etc/systemd/system/infisical-access-log.timer", "timer\n")]
_BANS = [File("/etc/fail2ban/jail.d/infisical-iac.conf", "jails\n")]
_WATCHED = WatchState(
    files={
        **{each.path: each.state for each in (*_ROTATION, *_BANS)},
        "/var/log/infisical-access/live/access.log": _OTHER,
    },
    units=dict.fromkeys(
        ("infisical-access-log.timer", "infisical-access-disk.service", "fail2ban.service"), _RUNS
    ),
    jails=frozenset({"sshd"}),
    live=True,
)

# The data volume.
_DEVICE = "/dev/sdb"
_UUID = "obviously-fake"
_MOUNTED = DataVolume(
    VolumeState(
        present=True, holds="ext4", uuid=_UUID, mounted=_UUID, bound=frozenset(PLACES.values())
    ),
    {each.path: each.state for each in deploy.volume_files(_UUID)},
    {"infisical-data.service": _RUNS},
)
_VOLUME_FILES = (
    "+ /etc/systemd/system/infisical-data.service",
    "+ /etc/systemd/system/docker.service.d/infisical-data.conf",
)

# sshd, kernel and small files.
_DROP_IN = "/etc/ssh/sshd_config.d/00-infisical-iac.conf"
_OPTIONS = sshd_config.desired_options({}, root_logs_in=True)
_SSHD = Sshd(
    there=True,
    options={name.lower(): value for name, value in _OPTIONS.items()}
    | {"permitrootlogin": "without-password"},
    authorized=True,
)
_HARDENED = HardeningState(
    files={_DROP_IN: File(_DROP_IN, sshd_config.drop_in(_OPTIONS)).state}, sshd=_SSHD
)
_FILE = File("/etc/profile.d/infisical-iac.sh", "umask 027\n")
_RULES = File("/etc/audit/rules.d/90-infisical-iac.rules", "-w /etc\n", mode="640")
_TIMER = File("/etc/systemd/system/infisical-maintenance.timer", "timer\n")
# A program of earlier versions.
_APT = "/usr/local/lib/infisical-iac/apt.sh"
_WINDOW = HardeningState(
    files={_TIMER.path: _TIMER.state}, units={"infisical-maintenance.timer": _RUNS}
)
_PARAMETERS = {"kernel.sysrq": "0"}
_KERNEL = KernelState({"kernel.sysrq": "0"}, core_limit="0")


def _sshd(there: HardeningState, method: str = "publickey") -> Iterable[Any]:
    return hardening.decide_sshd(there, method=method, by_sudo=False, is_sole_manager=True)


def _files(there: HardeningState, *more: File) -> Iterable[Any]:
    return hardening.decide_files(
        [_FILE, *more], there, units={}, rules="/etc/audit/rules.d/90-infisical-iac.rules"
    )


def _window(there: HardeningState, *programs: File, without: str = "") -> Iterable[Any]:
    return hardening.decide_window(programs, there, without=without, schedule="Sun 05:00")


def _watch(there: WatchState, *, has_log: bool = True) -> Iterable[Any]:
    return watch.decide(_ROTATION, _BANS, ["sshd"], there, has_log=has_log)


def _firewall(there: FirewallState) -> Iterable[Any]:
    return firewall.decide(_OPEN, there, machine=_MACHINE)


def _volume(there: DataVolume, device: str = _DEVICE, of_host: str = "") -> Iterable[Any]:
    return deploy.decide_volume(device, there, of_host=of_host, deployed=False)


OPERATIONS = {
    "host.deploy.cloud_init": Cases(
        noop(lambda: of(deploy.cloud_init)(running=False, timeout=9), "no cloud-init is running"),
        due(
            lambda: of(deploy.cloud_init)(running=True, timeout=9),
            "~ cloud-init: running → waited for",
            steps=("_wait",),
        ),
        "on a host without cloud-init, no cloud-init is running",
        "the preflight has read whether cloud-init runs, or has ended the run",
    ),
    "host.docker.repository": Cases(
        noop(
            lambda: docker.decide(_MACHINE, {_KEY: _OTHER, _LIST.path: _LIST.state}),
            "Docker's apt repository is there",
        ),
        due(
            lambda: docker.decide(_MACHINE, {_KEY: _OTHER, _LIST.path: _OTHER}),
            _ADDED,
            steps=_ADD,
        ),
        due(lambda: docker.decide(_MACHINE, {}), _ADDED, steps=_ADD),
        due(
            lambda: docker.decide(
                _MACHINE, {_KEY: _OTHER, _LIST.path: replace(_LIST.state, sha256=None)}
            ),
            _ADDED,
            steps=_ADD,
        ),
    ),
    "host.docker.foreign_engine": Cases(
        noop(lambda: of(docker.foreign_engine)("Docker is Dokploy's"), "Docker is Dokploy's"),
        "the operation never changes anything on the host",
        "the operation never changes anything on the host",
        "the preflight has inspected the engine, or has ended the run",
    ),
    "cluster.site.engine_reload": Cases(
        "the operation is called only for the engine of a former single host",
        due(
            lambda: of(cluster_site.engine_reload)(_FILE),
            "~ docker.service: reloads daemon.json, without live-restore",
            steps=("_reload",),
        ),
        "the operation is called only if the host has an engine",
        "the operation is called only if the engine reports live-restore",
    ),
    "cluster.site.engine_rejoin": Cases(
        noop(lambda: of(cluster_site.engine_rejoin)(_THREE), "the swarm reaches the engine"),
        due(
            lambda: of(cluster_site.engine_rejoin)(_MISSED),
            "~ docker.service: runs, but the swarm considers it down → rejoins",
            steps=("_bring_back",),
        ),
        noop(
            lambda: of(cluster_site.engine_rejoin)(observed.cluster_of(observed.three_bare())),
            "the swarm reaches the engine",
        ),
        "no operation runs on a host that can't be inspected",
    ),
    "host.firewall.rules": Cases(
        noop(lambda: _firewall(_LOADED), "the firewall is loaded, also at boot"),
        due(
            lambda: _firewall(replace(_LOADED, actual="table inet infisical {\n\tchain x\n}")),
            "~ firewall, table inet infisical",
            steps=("_load",),
        ),
        due(
            lambda: _firewall(FirewallState()),
            "+ firewall, table inet infisical",
            *(f"+ {path}" for path in _FIREWALL_FILES),
            "~ infisical-firewall.service: enabled and started",
            steps=(
                "_load",
                *["write"] * 6,
                "let systemd read changed units",
                *["systemctl"] * 2,
            ),
        ),
        refusal(
            lambda: _firewall(replace(_LOADED, desired="Error: syntax error")),
            Refused,
            "syntax error",
        ),
    ),
    "host.firewall.removal": Cases(
        noop(
            lambda: firewall.decide_removal(FirewallState(installed=True)),
            "there is no firewall of this project",
        ),
        due(
            lambda: firewall.decide_removal(FirewallState(actual=_TABLE, installed=True)),
            "- firewall, table inet infisical",
            steps=("remove the firewall",),
        ),
        noop(
            lambda: firewall.decide_removal(FirewallState()), "there is no firewall of this project"
        ),
        # Without nft, only the files show that there was a firewall.
        due(
            lambda: firewall.decide_removal(
                FirewallState(files={"/etc/infisical-iac/firewall.nft": _OTHER})
            ),
            "- /etc/infisical-iac/firewall.nft",
            steps=("keep the firewall from being loaded at boot",),
        ),
    ),
    "host.watch.log_and_bans": Cases(
        noop(
            lambda: _watch(_WATCHED),
            "the access log is rotated, and fail2ban bans as the settings say",
        ),
        due(
            lambda: _watch(replace(_WATCHED, unenforced=frozenset({"203.0.113.7"}))),
            "~ fail2ban.service: restarted, because nftables does not block 1 of the banned "
            "addresses",
            steps=("restart fail2ban.service",),
        ),
        due(
            lambda: _watch(WatchState()),
            "+ /etc/systemd/system/infisical-access-log.timer",
            "~ infisical-access-log.timer: enabled and started",
            "~ infisical-access-disk.service: enabled and started",
            "+ /etc/fail2ban/jail.d/infisical-iac.conf",
            "~ fail2ban.service: enabled",
            "~ fail2ban.service: restarted, because it does not run",
            steps=(
                "write",
                "let systemd read changed units",
                *["systemctl"] * 4,
                "write",
                "enable fail2ban.service",
                "restart fail2ban.service",
            ),
        ),
        # fail2ban runs and does not answer.
        due(
            lambda: _watch(replace(_WATCHED, jails=frozenset())),
            "~ fail2ban.service: restarted, because sshd does not run",
            steps=("restart fail2ban.service",),
        ),
    ),
    "host.deploy.mount": Cases(
        noop(lambda: _volume(_MOUNTED), "the data are on /dev/sdb"),
        due(
            lambda: _volume(
                replace(_MOUNTED, volume=replace(_MOUNTED.volume, larger=(1024, 2048)))
            ),
            "~ file system on /dev/sdb: 1024 MiB → 2048 MiB, as the device has",
            steps=("let the file system on /dev/sdb grow",),
        ),
        due(
            lambda: _volume(DataVolume(VolumeState(present=True))),
            "+ file system on /dev/sdb: ext4",
            *_VOLUME_FILES,
            f"~ data volume /dev/sdb: in place of {', '.join(PLACES.values())}",
            steps=("_mount_volume",),
        ),
        refusal(lambda: _volume(DataVolume(), of_host=_UUID), SettingsError, "no block device"),
    ),
    "host.kernel.live_parameters": Cases(
        noop(
            lambda: kernel.decide(_PARAMETERS, _KERNEL, swap_off=True),
            "kernel parameters are in effect",
        ),
        due(
            lambda: kernel.decide(
                _PARAMETERS,
                KernelState({"kernel.sysrq": "176"}, core_limit="infinity", swap=("/dev/sda2",)),
                swap_off=True,
            ),
            "~ kernel parameter kernel.sysrq: 176 → 0",
            "~ core dumps of services: limit infinity → 0",
            "- swap on /dev/sda2",
            steps=(
                "set kernel parameters",
                "let systemd read its limits again",
                "turn off swap on /dev/sda2",
                "take swap out of /etc/fstab",
            ),
        ),
        # A parameter that the kernel lacks is not desired.
        noop(
            lambda: kernel.decide(_PARAMETERS, KernelState({}, core_limit="0"), swap_off=True),
            "kernel parameters are in effect",
        ),
        due(
            lambda: kernel.decide(_PARAMETERS, KernelState({}), swap_off=True),
            "~ core dumps of services: limit  → 0",
            steps=("let systemd read its limits again",),
        ),
    ),
    "host.hardening.host_files": Cases(
        noop(
            lambda: _files(HardeningState(files={_FILE.path: _FILE.state})), "the host is hardened"
        ),
        due(
            lambda: _files(
                HardeningState(
                    files={
                        _FILE.path: _FILE.state,
                        "/etc/crontab": PathState("regular file", "644", "root:root"),
                    }
                )
            ),
            "~ /etc/crontab: mode 644 → 600",
            steps=("tighten /etc/crontab",),
        ),
        due(
            lambda: _files(HardeningState(), _RULES),
            "+ /etc/profile.d/infisical-iac.sh",
            "+ /etc/audit/rules.d/90-infisical-iac.rules",
            steps=("write", "write", "load the rules of auditd"),
        ),
        # A file whose text can't be read is written.
        due(
            lambda: _files(HardeningState(files={_FILE.path: replace(_FILE.state, sha256=None)})),
            "~ /etc/profile.d/infisical-iac.sh",
            steps=("write",),
        ),
    ),
    "host.hardening.ssh_server": Cases(
        noop(lambda: _sshd(_HARDENED), "sshd is hardened"),
        due(
            lambda: _sshd(replace(_HARDENED, sshd=replace(_SSHD, stale=True))),
            "~ sshd: reads its configuration again",
            steps=("_change",),
        ),
        due(lambda: _sshd(HardeningState(sshd=_SSHD)), f"+ {_DROP_IN}", steps=("_change",)),
        # sshd prints no options for a configuration that it can't parse.
        refusal(
            lambda: _sshd(replace(_HARDENED, sshd=replace(_SSHD, options={}))),
            Refused,
            "sshd -t",
        ),
    ),
    "host.hardening.maintenance_window": Cases(
        noop(
            lambda: _window(_WINDOW, _TIMER),
            "the maintenance window is scheduled as the settings say",
        ),
        due(
            lambda: _window(_WINDOW, without="setting 'maintenance_window' is empty"),
            "- /etc/systemd/system/infisical-maintenance.timer: "
            "setting 'maintenance_window' is empty",
            steps=("end the maintenance window",),
        ),
        due(
            lambda: _window(HardeningState(), _TIMER),
            "+ /etc/systemd/system/infisical-maintenance.timer",
            "~ infisical-maintenance.timer: enabled and started",
            steps=("write", "let systemd read changed units", "systemctl", "systemctl"),
        ),
        refusal(
            lambda: _window(HardeningState(understood=False), _TIMER), SettingsError, "Sun 05:00"
        ),
    ),
}

REFUSALS = (
    refusal(
        lambda: _sshd(HardeningState(sshd=_SSHD), method="password"),
        Refused,
        "logged in by password",
    ),
    refusal(
        lambda: _sshd(
            HardeningState(
                sshd=replace(
                    _SSHD,
                    lines=(
                        Line("/etc/ssh/sshd_config", 1, ("PasswordAuthentication", "yes")),
                        Line(
                            "/etc/ssh/sshd_config", 2, ("Include", "/etc/ssh/sshd_config.d/*.conf")
                        ),
                    ),
                )
            )
        ),
        Refused,
        "/etc/ssh/sshd_config, line 1",
    ),
    due(
        lambda: _window(replace(_WINDOW, files={**_WINDOW.files, _APT: _OTHER}), _TIMER),
        f"- {_APT}: the agent installs packages",
        steps=(f"remove {_APT}",),
    ),
    refusal(lambda: _volume(DataVolume(), device="", of_host=_UUID), Refused, "obviously-fake"),
    refusal(
        lambda: firewall.decide(_OPEN, _LOADED, machine=replace(_MACHINE, swarm=True)),
        Refused,
        "Swarm",
    ),
)
