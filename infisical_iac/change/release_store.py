"""The releases that the current host keeps, by releases.sh."""

from infisical_iac.change import releases
from infisical_iac.change.releases import GivenUp, Release, parse_given_up
from infisical_iac.core.remote import run
from infisical_iac.core.rendering import script
from infisical_iac.core.settings import Settings


def step(name: str, *arguments: str, doing: str) -> str:
    """Do a step of releases.sh; what it prints. Raises CommandFailed."""
    return run(script("releases", name, *arguments), doing=doing)


def read_releases() -> list[Release]:
    """Those that are kept, the newest first."""
    return releases.parse_releases(step("list", doing="list the releases").splitlines())


def read_given_up() -> list[GivenUp]:
    """The data that changes were given up with, and that are kept."""
    return parse_given_up(step("given_up", doing="see what was given up").splitlines())


def discard_releases(settings: Settings, image: str) -> None:
    """Remove releases, and images, that nobody needs beside `image`."""
    surplus = releases.find_surplus(
        read_releases(), settings.keep_releases, {*settings.images, image}
    )
    if surplus.releases:
        step("forget", *surplus.releases, doing="remove releases nobody needs")
    if surplus.images:
        step("drop", *surplus.images, doing="remove images nobody needs")
