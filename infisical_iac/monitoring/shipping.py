"""Ship the journal, the access log and the audit log to `log_target`, or remove all that does.

An rsyslog of its own does that, next to the host's own one if it has one. It reads the journal and
the two files from where it had stopped, and keeps what the target does not take on the disk.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from infisical_iac.agent.files import PathState, states
from infisical_iac.agent.system import UnitState
from infisical_iac.core import apt, audit, files, journal, units
from infisical_iac.core.agent import Question, look, question, together
from infisical_iac.core.change import Change
from infisical_iac.core.files import File
from infisical_iac.core.operation import Commands, or_up_to_date, planned_operation, step
from infisical_iac.core.remote import run
from infisical_iac.core.rendering import script, template
from infisical_iac.core.settings import Settings
from infisical_iac.host import watch
from infisical_iac.host.site import Known
from infisical_iac.instance.settings import EXTRA_CA

SERVICE = "infisical-logs.service"
CONFIG = "/etc/infisical-iac/logs.conf"
STATE = "/var/lib/infisical-logs"
_UNIT = f"{units.DIRECTORY}/{SERVICE}"
_ROTATION = "/etc/logrotate.d/infisical-logs"
# The service is removed last, so that the next run continues here after an interruption.
_PATHS = (CONFIG, _ROTATION, _UNIT)
_PACKAGES = ("rsyslog", "rsyslog-gnutls")
_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
_BUNDLE = "/run/infisical-logs/authorities.crt"
# Of what waits for a target that does not answer.
_QUEUE_MB = 256


@dataclass(frozen=True)
class ShippingState:
    """The actual state of the shipping: its files by path, units by name, and packages."""

    paths: dict[str, PathState] = field(default_factory=dict)
    units: dict[str, UnitState] = field(default_factory=dict)
    packages: frozenset[str] = frozenset()


def files_of(settings: Settings) -> list[File]:
    """Return the files that ship logs; none without `log_target`."""
    target = settings.monitoring.shipping
    if target is None:
        return []
    extra = (EXTRA_CA,) if settings.instance.extra_ca else ()
    values = {"target": target, "config": CONFIG, "bundle": _BUNDLE, "state": STATE}
    config = template(
        "infisical-logs.conf",
        **values,
        access=watch.LOG,
        audit=audit.FILE,
        queue_mb=_QUEUE_MB,
    )
    unit = template(
        "infisical-logs.service", **values, authorities=shlex.join((_AUTHORITIES, *extra))
    )
    found = [File(CONFIG, config), File(_UNIT, unit)]
    if target.path:
        found.append(File(_ROTATION, template("infisical-logs.logrotate", path=target.path)))
    return found


def question_for(settings: Settings) -> Question[ShippingState]:
    """Return the question for the ShippingState."""
    paths = question(states, paths=[*_PATHS])
    if settings.monitoring.shipping is None:
        # A host that ships no logs needs no other question.
        return together(ShippingState, paths)
    config = {SERVICE: [CONFIG, _UNIT, EXTRA_CA]}
    return together(
        ShippingState, paths, units.question_for([SERVICE], config), apt.question_for(_PACKAGES)
    )


@planned_operation
def shipping(known: Known) -> Commands:
    """Install and start what ships the logs, or remove it.

    Example:
        shipping(known=known, name="Ship logs")
    """
    found = look(question_for(known.settings))
    yield from decide(
        found,
        files_of(known.settings),
        known.settings.host.apt_timeout,
        has_new_authority=journal.will_change(EXTRA_CA),
    )


def decide(
    there: ShippingState,
    desired: Sequence[File],
    timeout: int,
    *,
    has_new_authority: bool = False,
) -> Commands:
    """Decide how to ship the logs, by the actual state `there`."""
    kept = {each.path for each in desired}
    surplus = [path for path in _PATHS if path in there.paths and path not in kept]
    decided: list[Any] = [Change("-", path, "no setting asks for it") for path in surplus]
    if not desired:
        if surplus:
            decided.append(step(run, _removal(timeout), doing="remove what ships logs"))
        yield from or_up_to_date(decided, "logs stay on the host")
        return
    if surplus:
        decided.append(step(run, f"rm -f {shlex.join(surplus)}", doing="remove the rotation"))
    decided += units.install(desired, there.paths, there.units)
    missing = [name for name in _PACKAGES if name not in there.packages]
    decided += [Change("+", f"package {name}") for name in missing]
    if missing:
        install = script("apt", str(timeout), *missing)
        decided.append(step(run, install, doing=f"install {', '.join(missing)}"))
    if _PACKAGES[0] in missing:
        # The journal has these lines already.
        stop = "systemctl disable --quiet --now rsyslog.service syslog.socket 2>/dev/null; true"
        decided.append(step(run, stop, doing="stop the package's own rsyslog"))
    is_changing = has_new_authority or files.find_differing(desired, there.paths)
    changing = [SERVICE] if is_changing else []
    decided += units.bring_up([SERVICE], there.units, changing=changing)
    yield from or_up_to_date(decided, "logs are shipped")


def _removal(timeout: int) -> str:
    purge = f"apt-get --quiet=2 --yes --option=DPkg::Lock::Timeout={timeout} purge"
    return (
        f"systemctl disable --quiet --now {SERVICE} 2>/dev/null; "
        "systemctl --quiet is-enabled rsyslog.service 2>/dev/null || "
        f"DEBIAN_FRONTEND=noninteractive {purge} {shlex.join(_PACKAGES)} && "
        f"rm -rf -- {STATE} {shlex.join(_PATHS)} && systemctl daemon-reload"
    )
