"""The access log with its rotation, and the bans of whoever fails to log in too often."""

from collections.abc import Iterator

from pyinfra.api.deploy import deploy

from infisical_iac.banning import rules
from infisical_iac.deploys.preflight import Preflight
from infisical_iac.operations import systemd
from infisical_iac.operations import watch as watching
from infisical_iac.operations.files import File
from infisical_iac.rendering import script_file, template
from infisical_iac.settings import Settings

CONFIGURATION = "/etc/infisical-access-log.conf"
_UNITS = ("infisical-access-log.service", watching.TIMER)


def rotation(settings: Settings) -> Iterator[File]:
    """The files by which a timer rotates the log and lets the old ones go."""
    text = template("infisical-access-log.conf", settings=settings, log=watching.LOG)
    yield File(CONFIGURATION, text)
    for unit in _UNITS:
        yield File(f"{systemd.DIRECTORY}/{unit}", template(unit, configuration=CONFIGURATION))


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
        has_log=known.settings.ingress == "caddy",
        name="Keep the access log rotated, and ban who fails to log in",
    )
