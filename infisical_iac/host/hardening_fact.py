"""Read how hard the host is, read in one command."""

import shlex
from dataclasses import dataclass, field

from pyinfra.api.facts import FactBase

from infisical_iac.core.files import Paths, PathState, reading
from infisical_iac.core.units import Units, UnitState
from infisical_iac.host import sshd_config
from infisical_iac.host.sshd_config import DROP_IN, LOOK_AT_LINES, QUERIES, Sshd

_UNITS, _SSHD, _NO_SCHEDULE = "units:", "sshd:", "no schedule"
# A server that systemd starts for each connection reads its files each time.
_LOOK_AT_SSHD = f"""
export LC_ALL=C TZ=UTC
command -v sshd >/dev/null && echo sshd && sshd -T 2>/dev/null | sed 's/^/option /'
! command -v sshd >/dev/null || sshd -t 2>&1 | sed -n '1s/^/error /p'
{LOOK_AT_LINES}
for kind in {" ".join(QUERIES)}; do ssh -Q $kind 2>/dev/null | sed "s/^/$kind /"; done
read=$(systemctl show --timestamp=us --property=StateChangeTimestamp --value ssh.service)
if [ "$(systemctl is-active ssh.service)" = active ] && [ -e {DROP_IN} ] &&
    [ "$(stat --format=%.6Y {DROP_IN} | tr -d .)" -gt "$(date --date "$read" +%s%6N)" ]
then echo stale; fi
for user in root ${{SUDO_USER-}}; do
    test ! -s "$(getent passwd "$user" | cut -d : -f 6)/.ssh/authorized_keys" || echo authorized
done
true
"""


@dataclass(frozen=True)
class HardeningState:
    """Hold what there is of the hardening.

    Attributes:
        files: by path.
        units: by name.
        sshd: OpenSSH's server.
        understood: whether systemd understands the schedule that was asked for.
    """

    files: dict[str, PathState] = field(default_factory=dict)
    units: dict[str, UnitState] = field(default_factory=dict)
    sshd: Sshd = field(default_factory=Sshd)
    understood: bool = True


class Hardening(FactBase[HardeningState]):
    """The HardeningState: of `paths`, of `units` by the files that they read, and of sshd.

    `schedule` may be empty.
    """

    def command(self, paths: list[str], units: dict[str, list[str]], schedule: str) -> str:
        calendar = f"systemd-analyze calendar {shlex.quote(schedule)} >/dev/null 2>&1"
        return (
            f"{f'{calendar} || echo {shlex.quote(_NO_SCHEDULE)}; ' if schedule else ''}"
            f"{reading(shlex.join(paths))}; "
            f"echo {_UNITS}; {Units().command([*units], units)}; "
            f"echo {_SSHD}; {_LOOK_AT_SSHD}"
        )

    def process(self, output: list[str]) -> HardeningState:
        units, sshd = output.index(_UNITS), output.index(_SSHD)
        files = [line for line in output[:units] if line != _NO_SCHEDULE]
        return HardeningState(
            Paths().process(files),
            Units().process(output[units + 1 : sshd]),
            sshd_config.parse(output[sshd + 1 :]),
            _NO_SCHEDULE not in output[:units],
        )

    @staticmethod
    def default() -> HardeningState:
        return HardeningState()
