"""The releases that the current host keeps, with the data of changes that were given up."""

from datetime import UTC, datetime

from infisical_iac.agent import releases as kept_on_host
from infisical_iac.agent.data import GivenUp
from infisical_iac.change import releases
from infisical_iac.change.releases import Release, UnfinishedChange
from infisical_iac.core.agent import ask, perform, question
from infisical_iac.core.images import Images
from infisical_iac.core.settings import Settings


def read_releases() -> list[Release]:
    """Return the releases that the current host keeps, the newest first."""
    return releases.read_releases(ask(question(kept_on_host.kept)))


def read_given_up() -> list[GivenUp]:
    """Return the kept data of changes that were given up."""
    return ask(question(kept_on_host.given_up))


def reset_release(name: str) -> list[str]:
    """Give the images of a release their names back, and return those that are missing."""
    return perform(question(kept_on_host.reset, release=name), doing="bring the old images back")


def discard_releases(settings: Settings, image: str) -> None:
    """Remove the releases and images that are needed by neither the settings nor `image`."""
    surplus = releases.find_surplus(
        read_releases(), settings.stack.keep_releases, {*settings.images, image}
    )
    if surplus.releases:
        old = question(kept_on_host.forget, releases=surplus.releases)
        perform(old, doing="remove releases nobody needs")
    if surplus.images:
        old = question(kept_on_host.drop, images=surplus.images)
        perform(old, doing="remove images nobody needs")


def starting(was: Images, image: str) -> UnfinishedChange:
    """Return a change that begins now, from the running version to an image of Infisical."""
    return UnfinishedChange(f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{was.version}", "begun", image)
