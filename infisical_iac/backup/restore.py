"""Replace a host's data and keys by a snapshot and its keys, or undo an unfinished restore.

A restore may bring back revoked access, so access before and after it is compared.
"""

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, ClassVar

from pyinfra import logger
from pyinfra.context import host

from infisical_iac.api import identities
from infisical_iac.api.client import Client, all_of, gather
from infisical_iac.api.identities import client_secrets
from infisical_iac.backup import kit_host, manifest, snapshot
from infisical_iac.backup.kit import Opened
from infisical_iac.backup.kit_host import Placing
from infisical_iac.backup.manifest import Manifest
from infisical_iac.backup.settings import BackupSettings
from infisical_iac.backup.target import BackupTarget, choose_targets
from infisical_iac.core.agent import inspect
from infisical_iac.core.change import Change
from infisical_iac.core.errors import ApiError, CheckFailed, UserError
from infisical_iac.core.operation import Commands, planned_operation, step
from infisical_iac.core.remote import run, write
from infisical_iac.core.rendering import script
from infisical_iac.core.settings import Settings
from infisical_iac.core.topology import SINGLE, hook
from infisical_iac.host.site import Site, at
from infisical_iac.instance import given
from infisical_iac.instance.settings import GIVEN
from infisical_iac.stack import compose, edge, session
from infisical_iac.stack.compose import compose_file
from infisical_iac.stack.deploy import configure_containers, run_containers
from infisical_iac.stack.keys import make, question_for
from infisical_iac.stack.model import describe_kept_data
from infisical_iac.workspace import checks
from infisical_iac.workspace.preflight import Preflight
from infisical_iac.workspace.privileges import OF_IDENTITIES, OF_PERSONS
from infisical_iac.workspace.reconcile import projects_here
from infisical_iac.workspace.state import roles_of

# The statuses of a release that has no such route, or grants privileges only by a license.
_WITHOUT_PRIVILEGES = (400, 404)
# Descriptions by id.
Access = Mapping[str, str]


@dataclass(frozen=True)
class AccessChanges:
    """Access that a restore brought back, and access that it removed."""

    revived: list[str]
    lost: list[str]


def read_access(
    client: Client, admin: Client, organization: str, projects: Iterable[Mapping[str, Any]]
) -> Access:
    """Return all identities, their client secrets, and roles and privileges in projects.

    The `client` may be the deployer. Only an administrator can read people's privileges. A release
    without privileges grants none. Raises ApiError or Unreachable.
    """
    found = gather(partial(_members, client, admin, each["id"], each["slug"]) for each in projects)
    every = [_machines(client, organization), *found]
    return {id: text for some in every for id, text in some.items()}


def compare_access(before: Access, after: Access) -> AccessChanges:
    """Return the differences of access that a restore made."""
    return AccessChanges(
        sorted(after[id] for id in after.keys() - before.keys()),
        sorted(before[id] for id in before.keys() - after.keys()),
    )


def _machines(client: Client, organization: str) -> Access:
    listed = all_of(client, "/api/v1/identities", "identities", {"orgId": organization})
    machines = [each["identity"] for each in listed]
    able = [each for each in machines if "universal-auth" in each["authMethods"]]
    secrets = gather([partial(client_secrets, client, each["id"]) for each in able])
    return {each["id"]: f"identity {each['name']}" for each in machines} | {
        secret.id: f"client secret {secret.id} of identity {identity['name']}"
        for identity, held in zip(able, secrets, strict=True)
        for secret in held
    }


def _members(client: Client, admin: Client, project: str, slug: str) -> Access:
    persons = client.get(f"/api/v1/projects/{project}/memberships")["memberships"]
    machines = identities.memberships(client, project)
    held = [
        *((each, each["user"]["username"]) for each in persons),
        *((each, f"identity {each['identity']['name']}") for each in machines),
    ]
    of_person, of_machine = (
        partial(_privileges, admin, OF_PERSONS),
        partial(_privileges, client, OF_IDENTITIES, projectId=project),
    )
    privileges = gather(
        [
            *(partial(of_person, projectMembershipId=each["id"]) for each in persons),
            *(partial(of_machine, identityId=each["identity"]["id"]) for each in machines),
        ]
    )
    return {
        f"{membership['id']} {role}": f"role {role} of {who} in {slug}"
        for membership, who in held
        for role in roles_of(membership)
    } | {
        id: f"privilege {name} of {who} in {slug}"
        for (_, who), found in zip(held, privileges, strict=True)
        for id, name in found.items()
    }


def _privileges(client: Client, path: str, **holder: str) -> dict[str, str]:
    try:
        listed = client.get(path, params=holder)["privileges"]
    except ApiError as error:
        if error.status not in _WITHOUT_PRIVILEGES:
            raise
        return {}
    return {each["id"]: each["slug"] for each in listed}


DIRECTORY = "/var/lib/infisical-restore"
PROJECT = "infisical-restore"
KEYS = "/etc/infisical"


@dataclass(frozen=True)
class SnapshotSource:
    """The snapshot and the keys for a restore.

    Attributes:
        snapshot: its id, or `latest`.
        targets: the targets that may hold it; the first that has it whole is used.
        files: the files of the recovery kit, by path under /etc/infisical; empty without a kit.
        replace_keys: whether the kit's files replace the host's.
        signer: the fingerprint of the key that signed the kit; empty for an unsigned kit.
    """

    snapshot: str
    targets: Sequence[BackupTarget]
    files: dict[str, str] = field(default_factory=dict, repr=False)
    replace_keys: bool = False
    signer: str = ""


def choose_source(
    settings: BackupSettings,
    snapshot: str,
    target: str | None,
    opened: Opened | None,
    replace_keys: bool,
) -> SnapshotSource:
    """Return the source of a restore: one target or any, and the files of an opened kit."""
    targets = choose_targets(settings.backup_targets, target)
    if opened is None:
        return SnapshotSource(snapshot, targets)
    return SnapshotSource(snapshot, targets, dict(opened.kit.files), replace_keys, opened.signer)


@dataclass(frozen=True)
class Restored:
    """The result of a restore.

    Attributes:
        manifest: the manifest of the snapshot.
        before: who had access before the restore; None if that could not be read.
        public: whether the public address answered before.
    """

    manifest: Manifest
    before: Access | None
    public: bool = False


_restored: dict[str, Restored] = {}


def latest() -> Restored:
    """Return the result of this run's restore on the current host."""
    return _restored[host.name]


def do(name: str, *arguments: str, doing: str, stdin: str | None = None) -> str:
    """Run a step of a restore on the host and return its output. Raises CommandFailed."""
    topology = str(host.data.get("topology") or SINGLE)
    command = script(hook(RestoreSite, topology).program, name, *arguments)
    return run(command, doing=doing, stdin=stdin)


def find_unfinished() -> str:
    """Return when an unfinished restore of the current host began; empty if there is none."""
    return "".join(state()[:1])


def state() -> list[str]:
    """Return the start and the phase of an unfinished restore, as restore.sh prints them."""
    return do("state", doing="see whether a restore is under way").split()


@planned_operation
def restored_data(
    source: SnapshotSource, *, settings: Settings, compose: str, project: str
) -> Commands:
    """Load the snapshot next to the data, compare it with its manifest, and swap the two.

    Infisical serves the old data until the swap, and is stopped afterwards; the next steps start
    it. Raises a UserError, with the old data in place, for a snapshot that can't be fetched, needs
    another key or a newer version, or differs from its manifest.

    Example:
        restored_data(
            source=source,
            settings=settings,
            compose=text,
            project="chainalign",
            name="Restore the database",
        )
    """
    yield from decide(source, over=inspect(question_for()).database)
    yield step(_restore, source, settings, compose, project)


def decide(source: SnapshotSource, *, over: bool) -> Commands:
    """Return the change that a restore makes; `over` if it replaces a database."""
    names = " or ".join(each.name for each in source.targets)
    what = f"{source.snapshot} snapshot" if source.snapshot == "latest" else source.snapshot
    yield Change("~" if over else "+", "database infisical", f"{what} of {names}")


def _restore(source: SnapshotSource, settings: Settings, compose: str, project: str) -> None:
    write(f"{DIRECTORY}/compose.yaml", compose)
    load = partial(snapshot.load, DIRECTORY, PROJECT, settings.stack.start_timeout)
    close = partial(edge.close, settings)
    exchange(source, settings, project, load, f"{PROJECT}_postgres", close=close)


def exchange(
    source: SnapshotSource,
    settings: Settings,
    project: str,
    load: Callable[[], dict[str, int]],
    *loaded: str,
    close: Callable[[], None] = lambda: None,
) -> None:
    """Fetch the snapshot, call `load`, and replace the data by the new data, named by `loaded`.

    `close` is called right before the data are replaced; it closes the edge until the restore is
    proven.
    """
    key, found = snapshot.fetch(DIRECTORY, source.targets, source.snapshot)
    manifest.refuse(found, key=key, settings=settings)
    logger.info(f"{host.print_prefix}Snapshot of {found.at}, Infisical {found.infisical}")
    manifest.refuse_difference(found, load())
    _restored[host.name] = Restored(found, _access(project), checks.is_public(settings))
    close()
    do("swap", *loaded, doing="replace the data by the snapshot")
    session.forget()


def _access(project: str) -> Access | None:
    try:
        port = compose.published_port()
        if not session.works(port):
            return None
        client, admin = session.deployer(port), session.administrator(port)
        organization, found = identities.organization_id(client), projects_here(client, project)
        return read_access(client, admin, organization, found)
    except UserError:
        return None


@planned_operation
def kit_keys(source: SnapshotSource, *, site: Site, admin_email: str, more: str = "") -> Commands:
    """Begin the restore: put the kit's files on the host, and move files that differ aside.

    Raises Refused, with nothing changed, if keys differ from the host's or are missing.

    Example:
        restore.kit_keys(
            source=source,
            admin_email="admin@example.com",
            site=known.site,
            name="Put the kit's keys in place",
        )
    """
    files = at(site, RestoreSite).files(source.files)
    yield from decide_placing(
        source, files, kit_host.read().files, admin_email=admin_email, more=more
    )


def decide_placing(
    source: SnapshotSource,
    files: Mapping[str, str],
    there: Mapping[str, str],
    *,
    admin_email: str,
    more: str = "",
) -> Commands:
    """Return the steps that put `files` of the kit on the host, which has the files `there`."""
    due = kit_host.decide(files, there, replace=source.replace_keys)
    by = f"signed by {source.signer}" if source.signer else "that nobody has signed"
    for path in sorted(due.put):
        yield Change("~" if path in due.aside else "+", f"{KEYS}/{path}", f"from the kit {by}")
    yield step(_place, due, admin_email, more)


def _place(due: Placing, admin_email: str, more: str) -> None:
    do("begin", f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}", doing="begin the restore")
    if due.aside:
        do("aside", *due.aside, doing="move the old keys aside")
    for path, text in due.put.items():
        # Text that is sent gets a final newline, which a key's file may not have.
        encoded = base64.b64encode(text.encode()).decode()
        do("put", path, doing=f"write {KEYS}/{path}", stdin=f"{encoded}\n")
    if due.put or given.values():
        complete(admin_email, more)


def complete(admin_email: str, more: str) -> None:
    """Make the missing keys and the files that derive from the keys."""
    make(admin_email, "", more)


def go_back(site: Site) -> str:
    """Undo an unfinished restore, and start what ran before.

    Returns a sentence on the state of the host. A rollback that failed can be repeated. Raises a
    UserError.
    """
    phase, restoring = "".join(state()[1:]), at(site, RestoreSite)
    snapshot.clean(DIRECTORY, PROJECT)
    said = do("back", doing="bring the old data back")
    session.forget()
    if phase != "begun":
        complete(site.settings.workspace.admin_email, restoring.more)
    # After a killed rollback, the phase does not show whether the data had been swapped.
    touched = phase in ("data", "backing", "back")
    kept = "".join(f" {each}" for each in describe_kept_data(said.splitlines()))
    return restoring.serve_again(touched=touched, kept=kept)


@dataclass(frozen=True)
class RestoreSite:
    """A restore of a single host.

    Attributes:
        program: the script with its steps.
        more: further keys, separated by blanks, that are made again after a rollback.
    """

    site: Site

    program: ClassVar[str] = "restore"
    more: ClassVar[str] = ""

    def files(self, kit: dict[str, str]) -> dict[str, str]:
        """Return the files of a kit that the host can use; called before any is put there.

        A secret that the user gave and that no setting uses would be removed by the next deploy.
        """
        used = {f"keys/{each.key}" for each in self.site.settings.secrets}
        return {
            path: text
            for path, text in kit.items()
            if path in used or not path.startswith(f"keys/{GIVEN}")
        }

    def keep_keys(self) -> None:
        """Store the keys where they outlast the host; called once the kit's keys are in place."""

    def exchange(self, known: Preflight, source: SnapshotSource) -> None:
        """Replace the data by the snapshot, and start Infisical on it.

        These are all steps of the deploy "Restore" except for the proof.
        """
        settings = known.settings
        text = compose_file(settings, known.machine)
        compose.image_set(
            images=settings.images,
            sources=compose.sources_of(settings.stack),
            name="Fetch the images",
        )
        configure_containers(settings)
        restored_data(
            source=source,
            settings=settings,
            compose=text,
            project=known.workspace.project.slug,
            name="Restore the database",
        )
        run_containers(settings, known.machine)

    def serve_again(self, *, touched: bool, kept: str) -> str:
        """Start what ran before, at the end of a rollback; return the state of the host.

        Args:
            touched: whether the data had been swapped.
            kept: sentences on new data that are kept, for the end of the result.

        Raises a UserError.
        """
        command = f"test ! -e {KEYS}/compose.yaml || echo there"
        there = run(command, doing="look for an earlier deploy")
        if touched and there:
            compose.bring_up()
        edge.open_()
        forget()
        if not touched:
            return "The data were not touched."
        timeout = self.site.settings.stack.start_timeout
        return f"{_wait(timeout, kept) if there else 'There were no data before it.'}{kept}"


def forget() -> None:
    """Forget a restore that was undone. Raises CommandFailed."""
    do("forget", doing="forget the undone restore")


def _wait(timeout: int, kept: str) -> str:
    if unhealthy := compose.list_unhealthy(timeout):
        raise CheckFailed(f"the old data are back, but:\n{unhealthy}{kept}")
    return "The old data are back and serve."
