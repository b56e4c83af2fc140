"""Cause the problems that the monitor reports, and end them.

What takes hours or days is caused by earlier times: of files, or in the state of the monitor.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from infisical_iac.agent.health import DRIFT, RELEASES
from infisical_iac.agent.login import own_organizations
from infisical_iac.agent.observed import DAY, HOUR, MINUTE
from tests.e2e import dying_rotation
from tests.e2e.configured import ConfiguredHost
from tests.e2e.dying_script import KILLED
from tests.e2e.inspection import administrator
from tests.e2e.running import infisical_iac
from tests.e2e.visiting import NOBODY, elsewhere, log_in, make_certificate
from tests.e2e.webhook import Alert, Receiver
from tests.staging import ingress
from tests.staging.host import StagingHost

# The host sees these files in place of the kernel's, which are those of the whole test machine.
_MEMORY, _LOAD = "/root/meminfo", "/root/loadavg"
_ENOUGH = f"printf '%s kB\\n' 'MemTotal: 8000000' 'MemAvailable: 6000000' >{_MEMORY}"
_IDLE = f"echo 0 0 0 1/1 1 >{_LOAD}"
_BACKUPS = "/var/backups/infisical"
_CREDENTIALS = "/etc/infisical/credentials/backend.production.env"
_SOURCE = "/etc/apt/sources.list.d/fake.list"
_JOBS = "infisical-backup.service infisical-drill.service"
_STRANGER = "fake-stranger"
_LOCK = "/run/infisical-iac.lock"
_CLOSED = "/etc/infisical/ingress/closed"
_CHANGING = """
import json, pathlib, time
file = pathlib.Path("/var/lib/infisical-monitor/state.json")
state, now = json.loads(file.read_text()), time.time()
book, history = state["book"], state["history"]
{change}
file.write_text(json.dumps(state))
"""
# A package that is installed everywhere, in a repository that calls itself Debian's for security.
_UPGRADE = """
mkdir -p /srv/fake/hostname/DEBIAN && cd /srv/fake
printf '%s\n' 'Package: hostname' 'Version: 99' 'Architecture: all' 'Maintainer: nobody' \
    'Description: fake' >hostname/DEBIAN/control
dpkg-deb --build hostname hostname.deb >/dev/null
{ cat hostname/DEBIAN/control; echo "Filename: ./hostname.deb"
  echo "Size: $(stat -c %s hostname.deb)"; echo "SHA256: $(sha256sum <hostname.deb | cut -d' ' -f1)"
} >Packages
{ printf '%s\n' 'Origin: Debian' 'Label: Debian-Security' 'Suite: stable-security' 'SHA256:'
  echo " $(sha256sum <Packages | cut -d' ' -f1) $(stat -c %s Packages) Packages"
} >Release
"""


def change_state(host: StagingHost, change: str) -> None:
    """Change the monitor's state by lines of Python, while no run is at work.

    The lines may use `state`, its parts `book` and `history`, and the time `now`.
    """
    host.run(
        "systemctl stop infisical-monitor.timer; "
        "while systemctl is-active --quiet infisical-monitor.service; do sleep 0.2; done; "
        "python3 - && systemctl start infisical-monitor.timer",
        input=_CHANGING.format(change=change),
    )


def choose_vitals(host: StagingHost) -> None:
    """Have the host see files in place of the test machine's memory and load."""
    host.run(
        f"{_ENOUGH}; {_IDLE}; mount --bind {_MEMORY} /proc/meminfo; "
        f"mount --bind {_LOAD} /proc/loadavg"
    )


def run_monitor(host: StagingHost) -> None:
    """Run the monitor now."""
    host.run("systemctl start infisical-monitor.service")


def age(host: StagingHost, seconds: float) -> None:
    """Have the monitor know all new problems for so much longer."""
    change_state(host, f"book['seen'] = {{k: v - {seconds} for k, v in book['seen'].items()}}")


@dataclass(frozen=True)
class Causing:
    """The things that a cause acts on: a host, and the two targets of its alerts."""

    configured: ConfiguredHost
    team: Receiver
    other: Receiver

    @property
    def host(self) -> StagingHost:
        """Return the host itself."""
        return self.configured.host

    def act(self, does: "str | Callable[[Causing], None]") -> None:
        """Begin or end a problem."""
        if isinstance(does, str):
            self.host.run(does)
        else:
            does(self)


@dataclass(frozen=True)
class Cause:
    """A cause of alerts.

    Attributes:
        alerts: the check and the subject of each alert.
        begin, end: cause and end the problem: commands of a shell on the host, or a function.
    """

    alerts: tuple[Alert, ...]
    begin: str | Callable[[Causing], None]
    end: str | Callable[[Causing], None]


def _ago(seconds: float) -> str:
    return f"{datetime.now(UTC) - timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"


def _fill_disk(on: Causing) -> None:
    """As if the disk had filled up by half in the last eight hours."""
    change_state(
        on.host,
        "import shutil\n"
        "free = shutil.disk_usage('/var/lib/docker/volumes').free\n"
        f"history['disk'] = [[now - 8 * {HOUR}, 2 * free], [now - 2 * {HOUR}, free * 5 // 4],"
        " [now, free]]",
    )


def _end_credential(on: Causing) -> None:
    line = f"# ends {_ago(-2 * DAY)}, made {_ago(58 * DAY)}"
    on.host.run(f"cp -a {_CREDENTIALS} /root/credentials; sed -i '/^# ends/d' {_CREDENTIALS}")
    on.host.run(f"echo '{line}' >>{_CREDENTIALS}")


def _find_upgrade(on: Causing) -> None:
    on.host.run(_UPGRADE)
    on.host.run(
        f"echo 'deb [trusted=yes] file:/srv/fake ./' >{_SOURCE}; apt-get update --quiet=2 "
        f"-o Dir::Etc::sourcelist={_SOURCE} -o Dir::Etc::sourceparts=- -o APT::Get::List-Cleanup=0"
    )
    _ask_apt_again(on)
    run_monitor(on.host)
    change_state(on.host, f"history['upkeep']['upgrades'] = {{'hostname': now - 4 * {DAY}}}")


def _ask_apt_again(on: Causing) -> None:
    change_state(on.host, "history['upkeep']['asked_at'] = 0")


def _lose_upgrade(on: Causing) -> None:
    on.host.run(f"rm -r /srv/fake {_SOURCE} /var/lib/apt/lists/*fake*")
    _ask_apt_again(on)


def _find_release(on: Causing) -> None:
    """Leave on the host what `infisical-iac outdated --keep` leaves there, nine days ago."""
    image = on.host.run("docker inspect --format '{{.Config.Image}}' infisical-redis-1").stdout
    pinned = image.strip().rpartition(":")[2]
    newer = f'{{"name": "redis", "pinned": "{pinned}", "newest": "99", "security": "fake"}}'
    record = f'{{"at": "{_ago(9 * DAY)}", "newer": [{newer}]}}'
    on.host.run(f"cat >{RELEASES}", input=record)


def _forget_drift_checks(on: Causing) -> None:
    record = f'{{"at": "{_ago(27 * HOUR)}", "changes": [], "error": ""}}'
    on.host.run(f"cat >{DRIFT}", input=record)


def _attempt_logins(on: Causing) -> None:
    """Fail to log in at Infisical from eighteen addresses until each of them is banned."""
    jails = ("sshd", "infisical-login", "infisical-calls")
    hours = f"{{jail: [[int(now // {HOUR}) - 30, 0, 0]] for jail in {jails}}}"
    change_state(on.host, f"history['upkeep']['hours'] = {hours}")
    trust = ingress.root(on.host)
    for last in range(80, 98):
        with elsewhere(f"172.17.255.{last}") as address:
            options = ("--max-time", "2", "--interface", address)
            for _ in range(10):
                if log_in(on.host, NOBODY, "none", *options, trust=trust)[0] == 0:
                    break


def _forget_logins(on: Causing) -> None:
    on.host.run("fail2ban-client unban --all")
    change_state(on.host, "history['upkeep']['hours'] = {}")


def _set_sign_up(on: Causing, *, is_open: bool) -> None:
    with administrator(on.host) as client:
        client.patch("/api/v1/admin/config", json={"allowSignUp": is_open})


def _restart_often(on: Causing) -> None:
    for _ in range(3):
        on.host.run("docker restart infisical-redis-1; sleep 1")
        run_monitor(on.host)


def _kill_rotation(on: Causing) -> None:
    program = dying_rotation.program("next written")
    died = infisical_iac(on.host.name, "keys", "rotate", "database", "--yes", program=program)
    assert died.returncode == KILLED, died.stdout + died.stderr


def _refuse(on: Causing) -> None:
    """Have the other target refuse an alert for six minutes."""
    on.other.status = 500
    on.host.run("systemd-run --unit=fake-refused false")
    run_monitor(on.host)
    age(on.host, HOUR)
    run_monitor(on.host)
    change_state(
        on.host,
        f"state['failing'] = {{name: [since - {6 * MINUTE}, why]"
        " for name, (since, why) in state['failing'].items()}",
    )


def _accept(on: Causing) -> None:
    on.other.status = 200
    on.host.run("systemctl reset-failed fake-refused.service")


# A container has its host's clock, so that this one looks like a machine whose clock is wrong.
_CLOCK, _VIRTUAL = "/usr/bin/timedatectl", "/usr/bin/systemd-detect-virt"
_LOSE_CLOCK = (
    "printf '%s\n' '#!/bin/sh' 'echo no' >/root/timedatectl; chmod +x /root/timedatectl; "
    f"mount --bind /root/timedatectl {_CLOCK}; mount --bind /usr/bin/false {_VIRTUAL}"
)
# Has the next run of the monitor run the canary.
FORGET_CANARY = "state['canary'] = None"
# Stops Infisical most of the time, but shorter than a request or a check of its health waits.
_SLOW = (
    "systemd-run --unit=fake-slow sh -c 'for n in $(seq 400); do "
    "pids=$(docker top infisical-infisical-1 -o pid | tail -n +2); "
    "kill -STOP $pids; sleep 3.5; kill -CONT $pids; sleep 0.01; done'"
)
_FAST = (
    "systemctl stop fake-slow.service; "
    "kill -CONT $(docker top infisical-infisical-1 -o pid | tail -n +2)"
)


def _slow_down(on: Causing) -> None:
    on.host.run(_SLOW)
    change_state(on.host, FORGET_CANARY)


def _speed_up(on: Causing) -> None:
    on.host.run(_FAST)
    change_state(on.host, FORGET_CANARY)


def _serve_short_certificate(on: Causing) -> None:
    short = make_certificate(on.host, on.configured.directory, days=10)
    done = on.configured.apply(None, **short)
    assert done.returncode == 0, done.stdout + done.stderr


def _apply(on: Causing) -> None:
    done = on.configured.apply()
    assert done.returncode == 0, done.stdout + done.stderr


def _check_drift(on: Causing, status: int) -> None:
    done = on.configured.run("drift")
    assert done.returncode == status, done.stdout + done.stderr


def _give_access(on: Causing) -> None:
    with administrator(on.host) as client:
        (own,) = own_organizations(client)
        made = {"name": _STRANGER, "organizationId": own.id, "role": "admin"}
        client.post("/api/v1/identities", json=made)
    _check_drift(on, 2)


def _take_access(on: Causing) -> None:
    done = on.configured.run("workspace", "apply", "--prune", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    _check_drift(on, 0)


def _break_repository(on: Causing) -> None:
    on.host.run(f"systemctl start {_JOBS} && mv {_BACKUPS}/config /root/config")
    on.host.run(f"systemctl start {_JOBS}", check=False)
    # Asked once more before its time.
    change_state(on.host, "history['upkeep']['repositories'] = {}")


def _mend_repository(on: Causing) -> None:
    on.host.run(
        f"mv /root/config {_BACKUPS}/config; systemctl reset-failed {_JOBS}; "
        f"systemctl start infisical-backup.service && systemctl start infisical-drill.service"
    )


# All of these are caused at once.
TOGETHER = {
    "firewall": Cause(
        (("firewall", ""),),
        "nft delete table inet infisical",
        "systemctl restart infisical-firewall.service",
    ),
    "disk that fills up": Cause(
        (("disk_growth", ""),), _fill_disk, lambda on: change_state(on.host, "history['disk'] = []")
    ),
    "memory": Cause(
        (("memory", ""), ("swap", "")),
        f"printf '%s kB\n' 'MemTotal: 8000000' 'MemAvailable: 100000' 'SwapTotal: 1000000' "
        f"'SwapFree: 100000' >{_MEMORY}",
        _ENOUGH,
    ),
    "load": Cause(
        (("load", ""),),
        f"echo 900 900 900 1/1 1 >{_LOAD}",
        _IDLE,
    ),
    "credential": Cause(
        (("credentials", "backend.production"),),
        _end_credential,
        f"mv /root/credentials {_CREDENTIALS}",
    ),
    "old backup, no kit": Cause(
        (("backup_age", "local"), ("recovery_kit", "")),
        "touch -d '30 hours ago' /etc/infisical/keys/restic_password",
        "touch /etc/infisical/keys/restic_password",
    ),
    "old drill": Cause(
        (("drill_age", ""),),
        "touch -d '40 days ago' /etc/systemd/system/infisical-drill.timer",
        "touch /etc/systemd/system/infisical-drill.timer",
    ),
    "failed unit": Cause(
        (("units", "fake-failed.service"),),
        "systemd-run --unit=fake-failed false",
        "systemctl reset-failed fake-failed.service",
    ),
    "timer": Cause(
        (("timers", "infisical-drill.timer"),),
        "systemctl stop infisical-drill.timer",
        "systemctl start infisical-drill.timer",
    ),
    "reboot": Cause(
        (("reboot", ""),),
        "touch -d '9 days ago' /run/reboot-required",
        "rm /run/reboot-required",
    ),
    "upgrade of a package": Cause((("upgrades", ""),), _find_upgrade, _lose_upgrade),
    "release": Cause((("release", "redis"), ("release_age", "")), _find_release, f"rm {RELEASES}"),
    "clock": Cause((("clock", ""),), _LOSE_CLOCK, f"umount {_CLOCK} {_VIRTUAL}"),
    "drift check": Cause((("drift_age", ""),), _forget_drift_checks, f"rm {DRIFT}"),
    "lock": Cause(
        (("lock", ""),),
        f"echo somebody >{_LOCK}; touch -d '3 hours ago' {_LOCK}; "
        f"systemd-run --unit=fake-lock flock {_LOCK} sleep infinity",
        "systemctl stop fake-lock.service",
    ),
    "logins": Cause(
        (("logins", "infisical-login"), ("bans", "infisical-login")),
        _attempt_logins,
        _forget_logins,
    ),
    "sign-up": Cause(
        (("sign_up", ""),),
        lambda on: _set_sign_up(on, is_open=True),
        lambda on: _set_sign_up(on, is_open=False),
    ),
    "restarts": Cause(
        (("flapping", "redis"),),
        _restart_often,
        lambda on: change_state(on.host, "history['starts'] = {}"),
    ),
    "edge": Cause(
        (("edge", ""),),
        f"touch -d '20 minutes ago' {_CLOSED}",
        f"rm {_CLOSED}",
    ),
}
# Each of these is caused alone.
ALONE = {
    "Docker": Cause(
        (("docker", ""),), "systemctl stop docker.socket docker", "systemctl start docker"
    ),
    "rotation": Cause((("transaction", "rotation"),), _kill_rotation, _apply),
    "refused alert": Cause(
        (("units", "fake-refused.service"), ("delivery", "other")), _refuse, _accept
    ),
    "slow Infisical": Cause((("canary_slow", ""),), _slow_down, _speed_up),
    "short certificate": Cause((("certificate", ""),), _serve_short_certificate, _apply),
    "stranger": Cause(
        (("access", f"organization admin identity {_STRANGER}"),), _give_access, _take_access
    ),
    "repository": Cause(
        (("backup", ""), ("repository", "local"), ("drill", "")),
        _break_repository,
        _mend_repository,
    ),
}
