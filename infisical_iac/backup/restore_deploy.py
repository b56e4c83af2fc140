"""Restore a host by a deploy whose database comes from a snapshot, prove it, or undo it.

The proof: people and machines can log in, and secrets can be read.
"""

from collections.abc import Mapping, Sequence
from functools import partial

from pyinfra.api.deploy import deploy
from pyinfra.context import host

from infisical_iac.agent import contents, identities
from infisical_iac.agent.api import gather, gather_by
from infisical_iac.agent.login import ADMIN_FILE, own_organizations
from infisical_iac.agent.proof_model import Before
from infisical_iac.api import login
from infisical_iac.api.client import Client
from infisical_iac.backup import kit_host, restore, snapshot
from infisical_iac.backup.deploy import backup
from infisical_iac.backup.restore import DIRECTORY, PROJECT, RestoreSite, SnapshotSource, latest
from infisical_iac.core import audit, journal
from infisical_iac.core.errors import ApiError, CheckFailed, NotBootstrapped
from infisical_iac.core.operation import Commands, planned_operation, record_run, step
from infisical_iac.core.settings import Settings
from infisical_iac.core.terminal import echo
from infisical_iac.host.deploy import foundation, share
from infisical_iac.host.firewall import end_egress
from infisical_iac.host.site import Site, at, site_of
from infisical_iac.stack import edge, keys, session
from infisical_iac.stack.model import given_up_after_proof, parse_after_proof
from infisical_iac.workspace import checks, credential_file, credentials
from infisical_iac.workspace.canary import NONE as NO_CANARY
from infisical_iac.workspace.canary import is_alive
from infisical_iac.workspace.deploy import bootstrap, canary, workspace
from infisical_iac.workspace.model import Workspace
from infisical_iac.workspace.preflight import Preflight, preflight
from infisical_iac.workspace.reconcile import projects_here

_proven: set[str] = set()


def restoring(source: SnapshotSource) -> None:
    """Restore the host from `source`; the last steps are those of a deploy.

    Service credentials are left to a later deploy, which revokes those that no file on the host
    has: a service may still use them.
    """
    journal.current().event = "restore"
    known = preflight(restoring=True)
    ask_secrets(known=known, source=source)
    foundation(known=known)
    place(known=known, source=source)
    at(known.site, RestoreSite).keep_keys()
    backup(known=known, coming=[f"{restore.KEYS}/{path}" for path in source.files])
    exchange(known=known, source=source)
    share(known=known)
    bootstrap(known=known)
    workspace(known=known)
    canary(known=known)
    share(known=known)
    end_egress(known=known)
    record_run()


@deploy("Secrets")
def ask_secrets(known: Preflight, source: SnapshotSource) -> None:
    """Ask for the secrets that only the user has and the kit lacks, before anything is changed."""
    if known.leads:
        files = at(known.site, RestoreSite).files(source.files)
        secrets = known.settings.secrets
        keys.given_secrets(
            secrets=[each for each in secrets if f"keys/{each.key}" not in files],
            more=keys.more_of(known.settings),
            name="Ask for the secrets that only you have",
        )


@deploy("Keys")
def place(known: Preflight, source: SnapshotSource) -> None:
    """Begin the restore, and put the keys that the snapshot needs in place."""
    if known.leads:
        restore.kit_keys(
            source=source,
            admin_email=known.settings.workspace.admin_email,
            more=keys.more_of(known.settings),
            site=known.site,
            name="Put the kit's keys in place",
        )


@deploy("Restore")
def exchange(known: Preflight, source: SnapshotSource) -> None:
    """Load the snapshot, replace the data by it, and prove it."""
    at(known.site, RestoreSite).exchange(known, source)
    if known.leads:
        restore_proof(
            desired=known.workspace,
            site=known.site,
            name="Prove that people and machines can log in",
        )


def undo(settings: Settings, *, asked: bool) -> None:
    """Undo an unfinished restore, if there is one, and print the state of the host.

    Args:
        asked: whether the operator asked for nothing but the undo.
    """
    began = restore.find_unfinished()
    if not began:
        if asked:
            echo("There is nothing to undo: no restore is under way.")
        return
    with audit.record("restore", [f"undone: the restore {began}"]):
        now = restore.go_back(site_of(settings))
    echo(f"The restore {began} had not ended. {now}", err=not asked)


def go_back(settings: Settings) -> str:
    """Bring the old data back unless the restore is proven; return the state of the host."""
    if is_proven():
        return "The restored data are proven and serve; `infisical-iac apply` completes the host."
    if restore.find_unfinished():
        return restore.go_back(site_of(settings))
    return "The data were not touched."


def is_proven() -> bool:
    """Return whether this run has proven a restore of the current host."""
    return host.name in _proven


@planned_operation
def restore_proof(*, desired: Workspace, site: Site) -> Commands:
    """Log in as administrator and deployer, read the canary and all folders, and end the restore.

    Then it opens the edge, and reports access that the restore reverted. Raises CheckFailed if the
    administrator can't log in, a secret can't be read, the canary was altered, or the public
    address has stopped answering. The restore has not ended then, and can be undone.

    Example:
        restore_proof(
            desired=workspace, site=known.site, name="Prove that people and machines can log in"
        )
    """
    yield step(_prove, desired, site)


def _prove(desired: Workspace, site: Site) -> None:
    settings, port = site.settings, site.settings.stack.http_port
    # With the deployer logged in, the administrator logs in to the same organization.
    deployer, admin = _deployer(port), _administrator(port)
    client = deployer or admin
    sentences = _contents(client, desired)
    if deployer is None:
        sentences.append("The deployer's credentials are not in the snapshot: new ones are made.")
    sentences += _services(desired, port)
    sentences += _describe_reverted(deployer, admin, desired.project.slug)
    snapshot.clean(DIRECTORY, PROJECT)
    opening = partial(edge.open_on, site.names) if site.names else edge.open_
    if latest().public:
        checks.check_public_address(settings, Before({}, public=True), opening)
    else:
        opening()
    kept = restore.do("end", doing="end the restore").splitlines()
    _proven.add(host.name)
    sentences += _old_data(dict(line.split(" ", 1) for line in kept))
    journal.current().operator_notes += [
        *sentences,
        *given_up_after_proof(*parse_after_proof(kept)),
    ]


def _administrator(port: int) -> Client:
    try:
        return session.administrator(port)
    except NotBootstrapped:
        raise CheckFailed(
            f"the administrator can't log in with the password in {ADMIN_FILE}: if it was "
            "changed since the snapshot, write the password of that time there, or give the kit of "
            "that time with --replace-keys"
        ) from None


def _deployer(port: int) -> Client | None:
    try:
        return session.deployer(port)
    except NotBootstrapped:
        return None


def _contents(client: Client, desired: Workspace) -> list[str]:
    alive = is_alive(client)
    sample = _sample(client.with_patience(), desired)
    restored = f"Restored: the snapshot of {latest().manifest.at}, with {sample}"
    return [f"{restored}, and the canary."] if alive else [f"{restored}.", NO_CANARY]


def _sample(client: Client, desired: Workspace) -> str:
    projects = projects_here(client, desired.project.slug)
    if not projects:
        return f"no project {desired.project.slug}"
    places = [
        (project["id"], env["slug"]) for project in projects for env in project["environments"]
    ]
    folders = gather_by(places, lambda place: contents.folders(client, *place))
    calls = [
        partial(_read, client, *place, folder)
        for place, found in folders.items()
        for folder in ("/", *found)
    ]
    numbers = [number for number in gather(calls) if number is not None]
    return f"{sum(numbers)} secrets in {len(numbers)} folders that can be read"


def _read(client: Client, project: str, environment: str, folder: str) -> int | None:
    """Return how many secrets of a folder were decrypted; None if the folder does not exist."""
    try:
        return len(contents.secrets(client, project, environment, folder=folder))
    except ApiError as error:
        if error.status == 404:
            return None
        raise CheckFailed(
            f"the secrets of {folder} in {environment} can't be read: {error.message}",
            code="checks.data",
        ) from None


def _services(desired: Workspace, port: int) -> list[str]:
    """Return sentences on the service credentials that work.

    Each is tried once, since repeated failures lock an identity.
    """
    api = session.api(port)
    files = kit_host.read().files
    accounts = desired.secret_holders()
    # A backup from before a service was renamed has its credentials under the former name.
    found = [
        files.get(f"credentials/{each.credentials}.env")
        or files.get(f"credentials/{each.former_credentials}.env")
        for each in accounts
    ]
    works = gather([partial(_logs_in, api, text) for text in found])
    failing = [each.credentials for each, good in zip(accounts, works, strict=True) if not good]
    sentences = [f"Credentials of services on the host: {sum(works)} of {len(works)} log in."]
    if failing:
        sentences.append(
            f"Missing or refused credentials: {', '.join(failing)}. `infisical-iac apply` makes "
            "new ones, and revokes the old ones that services may still use. To keep those, put "
            f"their files into {credentials.DIRECTORY} first."
        )
    return sentences


def _logs_in(api: Client, text: str | None) -> bool:
    credential = credential_file.parse(text or "")
    if credential is None:
        return False
    try:
        login.universal(api, credential.client_id, credential.client_secret)
    except ApiError as error:
        if error.status != 401:
            raise
        return False
    return True


def _describe_reverted(deployer: Client | None, admin: Client, project: str) -> list[str]:
    before = latest().before
    if before is None:
        return [
            "The old data could not be read: access that was revoked since the snapshot is valid "
            "again, and can't be listed. Review people and identities."
        ]
    client = deployer or admin
    # As before the restore: the administrator may be in other organizations too.
    organization = (
        identities.organization_id(deployer) if deployer else own_organizations(admin)[0].id
    )
    changes = restore.compare_access(
        before, restore.read_access(client, admin, organization, projects_here(client, project))
    )
    return [
        *_list_under(
            "Access that was revoked since the snapshot is valid again; revoke it again",
            changes.revived,
        ),
        *_list_under("Access that was granted since the snapshot is no longer valid", changes.lost),
    ]


def _list_under(what: str, items: Sequence[str]) -> list[str]:
    return [f"{what}:", *(f"  {each}" for each in items)] if items else []


def _old_data(found: Mapping[str, str]) -> list[str]:
    if "database" in found:
        return [
            f"The old data are on the cluster, in the database {found['database']}, until the next "
            f"restore is proven; replaced files are on {host.name} in {DIRECTORY}/aside."
        ]
    if "volume" not in found:
        return []
    volume = found["volume"]
    files = f"{DIRECTORY}/aside/{volume.rpartition('_')[2]}"
    return [
        f"The old data are on the host {host.name}, in the Docker volume {volume}, and replaced "
        f"files in {files}. Once nobody needs them, run there: "
        f"docker volume rm {volume} && rm -rf {files}"
    ]
