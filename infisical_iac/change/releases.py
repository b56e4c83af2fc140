"""Refuse changes of version that would break the data, and list the releases that a host keeps."""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from infisical_iac.agent.releases import KeptRelease, Room
from infisical_iac.backup import manifest
from infisical_iac.backup.manifest import Manifest
from infisical_iac.core.errors import FileError, Refused
from infisical_iac.core.images import Images, Numbers, numbers_of
from infisical_iac.core.settings import Settings
from infisical_iac.core.wording import join_names
from infisical_iac.stack.model import IngressAndPort
from infisical_iac.stack.settings import StackSettings, without_known_digest


class UnfinishedChange(NamedTuple):
    """A change of version that has not ended.

    Attributes:
        release: the name of the release that keeps the previous version.
        phase: how far it is, as `describe` in `agent/journal.py` says.
        image: the desired image of Infisical.
    """

    release: str
    phase: str
    image: str

    @property
    def new(self) -> str:
        """Return the version of Infisical after the change."""
        return Images(self.image, "").version

    @property
    def old(self) -> str:
        """Return the version of Infisical before the change."""
        return self.release.partition("-")[2]


@dataclass(frozen=True)
class Release:
    """Images that ran at some time, with a dump; a release whose change failed has no dump."""

    name: str
    images: dict[str, str]
    ids: dict[str, str]
    manifest: Manifest | None = None
    bytes: int = 0

    @property
    def runs(self) -> Images:
        """Return the images that use the release's data."""
        return Images(self.images["infisical"], self.images["postgres"])

    @property
    def migrations(self) -> int:
        return self.manifest.rows.get("infisical_migrations", 0) if self.manifest else 0


@dataclass(frozen=True)
class Rollback:
    """A way back to a release.

    Attributes:
        was: the running images.
        keeps_data: whether today's data stay; else they are replaced by the release's.
        brings_writes: whether the present secrets that the release's data lack are written to them.
    """

    release: Release
    was: Images
    keeps_data: bool = False
    brings_writes: bool = False

    @property
    def data(self) -> Release | None:
        """Return the release whose data are loaded, None if today's data stay."""
        return None if self.keeps_data else self.release


@dataclass(frozen=True)
class Surplus:
    """Releases, by name, and images, by reference, that can be removed."""

    releases: list[str]
    images: list[str]


def parse_unfinished(state: str) -> UnfinishedChange | None:
    """Return the change of version in a host's state, None for an empty state."""
    return UnfinishedChange(*state.split()) if state else None


def read_releases(kept: Iterable[KeptRelease]) -> list[Release]:
    """Return the releases that a host keeps, the newest first.

    A release whose manifest can't be read counts as one without a manifest.
    """
    found = (
        _with_manifest(
            Release(
                each.name,
                {image.service: image.reference for image in each.images},
                {image.service: image.id for image in each.images},
            ),
            each.manifest,
        )
        for each in kept
    )
    return sorted(found, key=lambda each: each.name, reverse=True)


def _with_manifest(release: Release, text: str) -> Release:
    try:
        read = manifest.parse(text)
        size = int(json.loads(text)["dump"]["bytes"])
    except (FileError, LookupError, TypeError, ValueError):
        return release
    return replace(release, manifest=read, bytes=size)


def choose(releases: Sequence[Release], name: str | None) -> Release:
    """Return the release with a name, or the newest. Raises Refused if there is none."""
    whole = [each for each in releases if each.manifest]
    if not whole:
        raise Refused(
            "no release is kept on the host: the first upgrade makes one", code="refused.no_release"
        )
    found = next((each for each in whole if name in (None, each.name)), None)
    if not found:
        raise Refused(
            f"no release {name!r} is kept: see `infisical-iac rollback --list`",
            code="refused.unknown_release",
        )
    return found


def refuse_other_schema(release: Release, migrations: int) -> None:
    """Raise Refused if the release can't use data with this number of `migrations`."""
    if release.migrations != migrations:
        raise Refused(
            f"the version of {release.name} can't use today's data, which have had {migrations} "
            f"migrations instead of {release.migrations}: go back without --keep-data"
        )


def find_surplus(releases: Sequence[Release], keep: int, needed: Collection[str]) -> Surplus:
    """Return the releases and images that can be removed.

    The newest `keep` releases and `keep` failed changes stay, and so do images that are `needed`.
    """
    whole = [each for each in releases if each.manifest]
    failed = [each for each in releases if not each.manifest]
    kept = [*whole[:keep], *failed[:keep]]
    gone = [each for each in releases if each not in kept]
    held = {reference for each in whole[:keep] for reference in each.images.values()} | set(needed)
    images = {reference for each in gone for reference in each.images.values()} - held
    return Surplus([each.name for each in gone], sorted(images))


def list_settings_to_change(runs: Images, settings: StackSettings) -> list[str]:
    """Return a sentence on the settings to change so that the next apply does not upgrade."""
    serves, chosen = map(without_known_digest, (runs.infisical, settings.infisical_reference))
    desired = {
        "infisical_version": (runs.version, settings.infisical_version),
        "infisical_digest": (serves.partition("@")[2], chosen.partition("@")[2]),
        "postgres_image": (
            without_known_digest(runs.postgres),
            without_known_digest(settings.postgres_image),
        ),
    }
    due = [f'{name} = "{is_}"' for name, (is_, was) in desired.items() if is_ != was]
    if not due:
        return []
    return [f"Set {join_names(due)} in group_data/, or the next apply upgrades again."]


def describe_other_ingress(serves: IngressAndPort, settings: Settings) -> list[str]:
    """Return sentences on an ingress or port that the next apply changes again."""
    sentences = []
    if serves.port != settings.stack.http_port:
        sentences.append(
            f"Infisical is on port {serves.port} again: the next apply moves it to "
            f"{settings.stack.http_port}, the http_port."
        )
    if serves.ingress != settings.stack.ingress:
        sentences.append(
            f"The ingress is {serves.ingress!r} again, as in that release: the next apply changes "
            f"it to {settings.stack.ingress!r}."
        )
    return sentences


class _Refused(NamedTuple):
    version: Numbers
    reason: str


# From this version on, a release migrates the database by itself when it starts.
FIRST: Numbers = (0, 111, 0)

# Versions that must not be deployed.
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
        "secret readable: set up a new instance, and copy the secrets to it",
    ),
)

# The official image's size, unpacked.
IMAGE_KIB = 2900 * 1024
_ROLLBACK = "`infisical-iac rollback` goes back to a release that was kept"
# A new database and a dump need this much in addition to their data.
_SPARE_KIB = 256 * 1024


def list_version_changes(was: Images, desired: Images, *, same_bytes: bool) -> dict[str, str]:
    """Return the programs whose version changes, each with "old → new".

    Other minor versions of PostgreSQL read the same data, and Redis holds only queues and caches:
    neither counts as a change.

    Args:
        same_bytes: whether the desired image of Infisical is the running one by another name.
    """
    found = {}
    if was.infisical != desired.infisical and not same_bytes:
        same = was.version == desired.version
        old, new = (each.infisical if same else each.version for each in (was, desired))
        found["Infisical"] = f"{old} → {new}"
    if was.major != desired.major:
        found["PostgreSQL"] = f"{was.major} → {desired.major}, by dump and restore"
    return found


def refuse_change(was: Images, desired: Images) -> None:
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
            "run `infisical-iac scale-in`, change it on the single host, and run `infisical-iac "
            "scale-out` again (`infisical-iac docs scaling`)",
            code="refused.other_postgres",
        )


def check_free_space(room: Room, *, images: int, aside: Sequence[str] = ()) -> None:
    """Raise Refused if the dump, the new database and `images` KiB of images don't fit.

    Args:
        aside: the names of data that were given up, which take space.
    """
    new = room.data + _SPARE_KIB
    parts = (
        ("Docker's images", room.images, images),
        ("Docker's volumes", room.volumes, new),
        ("/var/backups", room.releases, new),
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
                + (f", or remove data that were given up ({', '.join(aside)})" if aside else "")
            )
