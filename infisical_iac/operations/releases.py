"""The releases that the current host keeps, by releases.sh."""

from infisical_iac.operations.remote import run
from infisical_iac.rendering import script
from infisical_iac.settings import Settings
from infisical_iac.upgrade import release
from infisical_iac.upgrade.given_up import GivenUp, parse
from infisical_iac.upgrade.release import Release


def step(name: str, *arguments: str, doing: str) -> str:
    """Do a step of releases.sh; what it prints. Raises CommandFailed."""
    return run(script("releases", name, *arguments), doing=doing)


def kept() -> list[Release]:
    """Those that are kept, the newest first."""
    return release.parse(step("list", doing="list the releases").splitlines())


def given_up() -> list[GivenUp]:
    """The data that changes were given up with, and that are kept."""
    return parse(step("given_up", doing="see what was given up").splitlines())


def let_go(settings: Settings, image: str) -> None:
    """Remove releases, and images, that nobody needs beside `image`."""
    surplus = release.surplus(kept(), settings.keep_releases, {*settings.images, image})
    if surplus.releases:
        step("forget", *surplus.releases, doing="remove releases nobody needs")
    if surplus.images:
        step("drop", *surplus.images, doing="remove images nobody needs")
