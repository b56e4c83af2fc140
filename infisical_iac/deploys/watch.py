"""The access log with its rotation, and the bans of whoever fails to log in too often."""

from collections.abc import Iterator

from pyinfra.api.deploy import deploy

from infisical_iac.core import units
from infisical_iac.core.files import File
from infisical_iac.core.rendering import script_file, template
from infisical_iac.core.settings import Settings
from infisical_iac.host import bans as rules
from infisical_iac.host import watch as watching
from infisical_iac.host.preflight import Preflight

SCRIPT = "/usr/local/lib/infisical-iac/access-log.sh"
_UNITS = ("infisical-access-log.service", watching.TIMER, watching.DISK)
# What Caddy can write until it is rotated: a quarter of all, and no more.
_LIVE_MB = 256


def rotation(settings: Settings) -> Iterator[File]:
    """The files by which the log has its file system, and by which a timer rotates it."""
    most = settings.access_log_max_mb
    arguments = (min(_LIVE_MB, most // 4), settings.access_log_keep_days, most)
    yield File(SCRIPT, script_file("access-log"))
    for unit in _UNITS:
        text = template(unit, script=SCRIPT, arguments=" ".join(map(str, arguments)))
        yield File(f"{units.DIRECTORY}/{unit}", text)


def bans(settings: Settings) -> Iterator[File]:
    """The files that tell fail2ban what to count, none where it is off."""
    for path, text in rules.texts(settings, watching.LOG):
        yield File(path, text)
    if settings.fail2ban == "on":
        yield File(rules.KNOWN, script_file("has-logged-in"))


@deploy("Watch")
def watch(known: Preflight) -> None:
    """Log who asks Infisical, and ban who asks too often.

    It comes before the containers: what is mounted into one has to be there.
    """
    watching.kept(
        rotation=[*rotation(known.settings)],
        bans=[*bans(known.settings)],
        jails=rules.jails(known.settings),
        has_log=known.settings.runs_caddy,
        name="Keep the access log rotated, and ban who fails to log in",
    )
