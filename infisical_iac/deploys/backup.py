"""Backups and their drills: what restic, which the base has, needs, and the timers."""

import shlex
from collections.abc import Collection, Iterator

from pyinfra.api.deploy import deploy

from infisical_iac.backup import credentials
from infisical_iac.backup import deploy as backups
from infisical_iac.backup.deploy import SSH_KEY
from infisical_iac.backup.target import DIRECTORY, Target
from infisical_iac.cluster.model import Cluster
from infisical_iac.core import audit, journal, units
from infisical_iac.core.files import File
from infisical_iac.core.rendering import script_file, template
from infisical_iac.core.settings import Settings
from infisical_iac.host.preflight import Preflight
from infisical_iac.stack.deploy import compose_file

DRILL = "/var/lib/infisical-drill/compose.yaml"
SCRIPTS = "/usr/local/lib/infisical-iac"
_PARTS = (
    *("backup", "backup-dump", "backup-target", "reporting"),
    *("drill", "drill-look", "snapshot"),
)
_TIMERS = ("infisical-backup.timer", "infisical-drill.timer")


def configuration(settings: Settings, cluster: Cluster | None = None) -> Iterator[File]:
    """The files that the scripts on the host read."""
    targets = settings.backup_targets
    keep = [f"--keep-{period} {number}" for period, number in settings.backup_keep.numbers.items()]
    yield _variables(
        "backup.conf",
        TARGETS=" ".join(each.name for each in targets),
        KEEP=" ".join(keep),
        WITH_ENCRYPTION_KEY=str(settings.backup_with_encryption_key).lower(),
        AUDIT=audit.FILE,
        **(_sharing(settings, cluster) if cluster else {}),
    )
    for target in targets:
        yield _target(target)
    known = [each.known_host for each in targets if each.kind == "sftp"]
    if known:
        yield File(f"{DIRECTORY}/known_hosts", "".join(known), mode="600")


def _sharing(settings: Settings, cluster: Cluster) -> dict[str, str]:
    """Return what a node of a cluster has to know of the others; a directory is each node's own."""
    shared = [each.name for each in settings.backup_targets if each.kind != "directory"]
    return {"NODE": str(cluster.me.number), "SHARED": " ".join(shared)}


def _target(target: Target) -> File:
    more = {"SSH": target.ssh} if target.kind == "sftp" else {}
    if target.append_only:
        more["APPEND_ONLY"] = "true"
    return _variables(f"{target.name}.conf", REPOSITORY=target.repository, **more)


def _variables(name: str, **values: str) -> File:
    text = "".join(f"{key}={shlex.quote(value)}\n" for key, value in values.items())
    return File(f"{DIRECTORY}/{name}", text, mode="600")


def programs(settings: Settings) -> Iterator[File]:
    """The scripts, and the units that run them."""
    for part in _PARTS:
        yield File(f"{SCRIPTS}/{part}.sh", script_file(part))
    for what in ("backup", "drill"):
        for kind in (".timer", ".service", "-failed.service"):
            unit = f"infisical-{what}{kind}"
            text = template(unit, settings=settings, script=f"{SCRIPTS}/{what}.sh")
            yield File(f"{units.DIRECTORY}/{unit}", text)


def of_the_lead(targets: Collection[Target]) -> frozenset[str]:
    """The files with what targets log in with, which the lead of a cluster shares with the others.

    One that made its own would tell people a key that the lead's takes the place of.
    """
    return frozenset({SSH_KEY, *(credentials.path(each) for each in targets if each.logs_in)})


@deploy("Backup")
def backup(known: Preflight, coming: Collection[str] = ()) -> None:
    """Have the host back itself up, and prove it by drills, as the settings say.

    Args:
        coming: files with what targets log in with that an earlier step brings.
    """
    settings, kept = known.settings, journal.current().kept
    running = settings.keeping(kept) if kept else settings
    # A node without data saves nothing, and needs nothing secret.
    saves = known.cluster is None or known.cluster.me.number > 0
    backups.kept(
        targets=settings.backup_targets if saves else (),
        webhook=settings.backup_webhook if saves else "",
        schedules={
            "backup_schedule": settings.backup_schedule,
            "drill_schedule": settings.drill_schedule,
        },
        configuration=[
            *configuration(settings, known.cluster),
            *programs(settings),
            # A drill restores what the version that runs has dumped.
            File(DRILL, compose_file(running, known.machine, drill=True), mode="600"),
        ],
        timers=_TIMERS,
        coming=coming if known.leads else {*coming, *of_the_lead(settings.backup_targets)},
        name="Configure backups and drills with their timers",
    )
