"""Detect changes of version, and refuse those that would break the data."""

from typing import NamedTuple

from infisical_iac.core.errors import Refused
from infisical_iac.core.images import Images, Numbers, numbers_of
from infisical_iac.core.wording import join_names


class _Refused(NamedTuple):
    version: Numbers
    reason: str


# From this version on, a release migrates the database by itself when it starts.
FIRST: Numbers = (0, 111, 0)

# Versions that nobody should run.
BROKEN = (
    _Refused(
        (0, 110),
        "v0.110 broke self-hosted instances, which v0.111.0 repaired: take v0.111.0 or a later one",
    ),
)
# Versions that older ones can't cross in one step.
CROSSINGS = (
    _Refused(
        (0, 94, 0),
        "an upgrade from before v0.94.0 ends in 'Invalid root key encryption strategy', with no "
        "secret readable: set up a new instance and carry the secrets over",
    ),
)

# The official image's size, unpacked.
IMAGE_KIB = 2900 * 1024
_ROLLBACK = "`infisical-iac rollback` goes back to a release that was kept"
# A new database and a dump need this much in addition to their data.
_SPARE_KIB = 256 * 1024


class Disk(NamedTuple):
    """A file system: the number of its device, and its free KiB."""

    device: int
    free: int


class FreeSpace(NamedTuple):
    """The free space on a host, and the size of the database in KiB.

    Attributes:
        images: the disk where Docker unpacks images.
        volumes: the disk where Docker keeps data, which may be a data volume.
        releases: the disk for dumps. All three may be the same.
        data: the size of the database.
        aside: the names of volumes with data that were given up, which take space.
    """

    images: Disk
    volumes: Disk
    releases: Disk
    data: int
    aside: tuple[str, ...] = ()


def changes(was: Images, desired: Images, *, same_bytes: bool) -> dict[str, str]:
    """Return the programs whose version changes, each with "old → new".

    Other minor versions of PostgreSQL read the same data, and Redis holds only queues and caches:
    neither counts as a change.

    Args:
        same_bytes: whether the desired image of Infisical is the one that runs, by another name.
    """
    found = {}
    if was.infisical != desired.infisical and not same_bytes:
        same = was.version == desired.version
        old, new = (each.infisical if same else each.version for each in (was, desired))
        found["Infisical"] = f"{old} → {new}"
    if was.major != desired.major:
        found["PostgreSQL"] = f"{was.major} → {desired.major}, by dump and restore"
    return found


def refuse(was: Images, desired: Images) -> None:
    """Raise Refused for a change that would break the data, or that can't be undone."""
    old, new = numbers_of(was.version), numbers_of(desired.version)
    change = f"Infisical can't be changed from {was.version} to {desired.version}"
    if new < old:
        raise Refused(
            f"{change}: an older release can't use the database of a newer one; {_ROLLBACK}",
            code="refused.older_release",
        )
    refuse_older_postgres(was, desired, _ROLLBACK)
    if new == old:
        return
    for broken in BROKEN:
        if new[: len(broken.version)] == broken.version:
            raise Refused(f"{change}: {broken.reason}", code="refused.broken_release")
    for crossing in CROSSINGS:
        if old < crossing.version <= new:
            raise Refused(f"{change}: {crossing.reason}", code="refused.crossing")
    if new < FIRST:
        raise Refused(
            f"{change}: releases before v0.111.0 do not migrate the database by themselves; take a "
            "later one",
            code="refused.no_migration",
        )


def refuse_older_postgres(was: Images, desired: Images, instead: str) -> None:
    """Raise Refused if a dump would go to an older PostgreSQL; `instead` is the remedy."""
    if desired.major < was.major:
        raise Refused(
            f"PostgreSQL can't be changed from {was.major} to {desired.major}: an older one may "
            f"not read the dump of a newer one; {instead}",
            code="refused.older_postgres",
        )


def refuse_other_major(was: Images, desired: Images) -> None:
    """Raise Refused if a cluster's PostgreSQL would change its major version."""
    if desired.major != was.major:
        raise Refused(
            f"a cluster's PostgreSQL can't be changed from {was.major} to {desired.major}: "
            "`infisical-iac scale-in`, change it on the single host, and `infisical-iac scale-out` "
            "again (docs/operate/cluster/scaling.md)",
            code="refused.other_postgres",
        )


def check_free_space(space: FreeSpace, *, images: int) -> None:
    """Raise Refused if the dump, the new database and `images` KiB of images don't fit."""
    new = space.data + _SPARE_KIB
    parts = (
        ("Docker's images", space.images, images),
        ("Docker's volumes", space.volumes, new),
        ("/var/backups", space.releases, new),
    )
    for device in dict.fromkeys(disk.device for _, disk, _ in parts):
        here = [each for each in parts if each[1].device == device]
        needed = sum(part for *_, part in here)
        free = min(disk.free for _, disk, _ in here)
        if free < needed:
            names = join_names(name for name, *_ in here)
            where = "the host's disk" if len(here) == len(parts) else f"the disk of {names}"
            raise Refused(
                f"the change of version may take {needed // 1024} MB for images, a dump and a new "
                f"database next to the old one, and {where} has {free // 1024} MB free: make room"
                + (
                    f", or remove what was given up ({', '.join(space.aside)})"
                    if space.aside
                    else ""
                )
            )


RELEASES = "/var/backups/infisical-iac/upgrades"
