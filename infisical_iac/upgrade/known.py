"""List what is known of releases of Infisical that can't be changed to just so."""

from typing import NamedTuple

Numbers = tuple[int, ...]


class Broken(NamedTuple):
    """A release that nobody should run, and why."""

    version: Numbers
    reason: str


class Crossing(NamedTuple):
    """A release that can't be crossed in one step by those before it, and why."""

    version: Numbers
    reason: str


# Since this one, a release migrates the database by itself when it starts.
FIRST: Numbers = (0, 111, 0)

BROKEN = (
    Broken(
        (0, 110),
        "v0.110 broke self-hosted instances, which v0.111.0 repaired: take v0.111.0 or a later one",
    ),
)
CROSSINGS = (
    Crossing(
        (0, 94, 0),
        "from before v0.94.0 it ends in 'Invalid root key encryption strategy', with no secret "
        "readable: set up a new instance and carry the secrets over",
    ),
)

# The official image's size, unpacked.
IMAGE_KIB = 2900 * 1024
