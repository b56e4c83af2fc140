"""A snapshot put in the place of the data on the current host; what was there moves aside."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pyinfra import logger
from pyinfra.context import host

from infisical_iac.api import identities
from infisical_iac.backup import access, manifest, snapshot
from infisical_iac.backup.access import Access
from infisical_iac.backup.manifest import Manifest
from infisical_iac.backup.target import Target
from infisical_iac.change import gate
from infisical_iac.cluster import deploy
from infisical_iac.cluster.site import Site
from infisical_iac.core import journal, session
from infisical_iac.core.errors import UserError
from infisical_iac.core.operation import Commands, step, telling_operation
from infisical_iac.core.remote import run, write
from infisical_iac.core.rendering import script
from infisical_iac.core.settings import Settings
from infisical_iac.facts.keys import Keys
from infisical_iac.stack import compose as stack
from infisical_iac.stack import edge

DIRECTORY = "/var/lib/infisical-restore"
PROJECT = "infisical-restore"
KEYS = "/etc/infisical"


class RestoreError(UserError):
    """Nothing can be restored, or what was restored does not prove to be right."""


@dataclass(frozen=True)
class Source:
    """Hold what is to be restored.

    Attributes:
        snapshot: its id, or `latest`.
        targets: where to look for it, one after another.
        files: those of the recovery kit, by path under /etc/infisical; none without a kit.
        replace_keys: whether the kit's files take the place of the host's.
        signer: the fingerprint of the key that signed the kit; empty if nobody has.
    """

    snapshot: str
    targets: Sequence[Target]
    files: dict[str, str] = field(default_factory=dict, repr=False)
    replace_keys: bool = False
    signer: str = ""


@dataclass(frozen=True)
class Restored:
    """The snapshot that was restored, and the state before it.

    Attributes:
        before: who could get in; None where that could not be read.
        public: whether the public address answered.
    """

    manifest: Manifest
    before: Access | None
    public: bool = False


_restored: dict[str, Restored] = {}


def latest() -> Restored:
    """Return what this run has restored on the current host."""
    return _restored[host.name]


def do(name: str, *arguments: str, doing: str, stdin: str | None = None) -> str:
    """Do a step of a restore on the host; what it prints. Raises CommandFailed."""
    cluster = host.data.get("topology") == "swarm"
    command = script("restore-cluster" if cluster else "restore", name, *arguments)
    return run(command, doing=doing, stdin=stdin)


def unfinished() -> str:
    """When a restore of the current host began that has not ended; empty if there is none."""
    return "".join(state()[:1])


def state() -> list[str]:
    """When one began that has not ended, and how far it came, as restore.sh has it."""
    return do("state", doing="see whether a restore is under way").split()


@telling_operation
def restored(source: Source, *, settings: Settings, compose: str, project: str) -> Commands:
    """Load the snapshot beside the data, compare it with its manifest, and let them change places.

    Infisical serves the old data until the last step. It stays stopped then, for the stack to
    bring up. Raises a UserError, with the old data where they were, for a snapshot that can't be
    fetched, that is for another key or a newer version, or that is not what its manifest says.

    Args:
        compose: the text of the Compose file.
        project: the slug of the project whose members are compared.
    """
    _tell(source, over=host.get_fact(Keys).database)
    yield step(_restore, source, settings, compose, project)


@telling_operation
def restored_on_cluster(source: Source, *, site: Site, project: str) -> Commands:
    """Load the snapshot beside the database, compare it, and let them change places.

    As `restored`, but that Infisical is brought up again too. The stack is there.
    """
    _tell(source, over=site.cluster.begun)
    yield step(_restore_on_cluster, source, site, project)


def _tell(source: Source, *, over: bool) -> None:
    names = " or ".join(each.name for each in source.targets)
    what = f"{source.snapshot} snapshot" if source.snapshot == "latest" else source.snapshot
    journal.item("~" if over else "+", "database infisical", f"{what} of {names}")


def _restore(source: Source, settings: Settings, compose: str, project: str) -> None:
    def load() -> dict[str, int]:
        return snapshot.load(DIRECTORY, PROJECT, settings.start_timeout)

    write(f"{DIRECTORY}/compose.yaml", compose)

    def close() -> None:
        edge.close(settings)

    _exchange(source, settings, project, load, f"{PROJECT}_postgres", close=close)


def _restore_on_cluster(source: Source, site: Site, project: str) -> None:
    def load() -> dict[str, int]:
        return snapshot.rows(do("load", doing="load the snapshot").splitlines())

    def close() -> None:
        edge.close_all(site.settings, site.cluster)

    _exchange(source, site.settings, project, load, close=close)
    deploy.roll_out(site)


def _exchange(
    source: Source,
    settings: Settings,
    project: str,
    load: Callable[[], dict[str, int]],
    *loaded: str,
    close: Callable[[], None] = lambda: None,
) -> None:
    """Fetch the snapshot, `load` it, and put what was `loaded` in the place of the data.

    From then on `close` keeps everybody out, until the proof.
    """
    key, found = snapshot.fetch(DIRECTORY, source.targets, source.snapshot)
    manifest.refuse(found, key=key, settings=settings)
    logger.info(f"{host.print_prefix}Snapshot of {found.at}, Infisical {found.infisical}")
    manifest.refuse_difference(found, load())
    public = gate.public(settings)
    _restored[host.name] = Restored(found, _access(project), public)
    close()
    do("swap", *loaded, doing="put the snapshot in the place of the data")
    session.forget()


def _access(project: str) -> Access | None:
    try:
        port = stack.published_port()
        if not session.works(port):
            return None
        client, admin = session.deployer(port), session.administrator(port)
        return access.read(client, admin, identities.organization_id(client), project)
    except UserError:
        return None
