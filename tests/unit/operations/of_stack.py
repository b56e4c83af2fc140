"""Cases of the operations of the stack: keys, images, containers, ingress, version changes."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from infisical_iac.agent.files import PathState
from infisical_iac.agent.keys import KeysState
from infisical_iac.agent.stack import Container
from infisical_iac.agent.system import UnitState
from infisical_iac.backup import deploy as backup
from infisical_iac.backup import restore
from infisical_iac.backup.deploy import BackupState, DesiredBackups
from infisical_iac.backup.kit_host import Placing
from infisical_iac.backup.restore import SnapshotSource
from infisical_iac.backup.target import BackupTarget
from infisical_iac.change import rotation, upgrade
from infisical_iac.change.releases import UnfinishedChange
from infisical_iac.cluster import change as cluster_change
from infisical_iac.cluster import deploy
from infisical_iac.cluster import restore as cluster_restore
from infisical_iac.core.errors import Refused, RunFailed, SettingsError
from infisical_iac.core.files import File
from infisical_iac.core.images import Images
from infisical_iac.host import resume
from infisical_iac.host.model import DeployedInfisical
from infisical_iac.host.resume import ResumeState
from infisical_iac.instance import proof
from infisical_iac.stack import compose, edge, ingress, keys
from infisical_iac.stack.compose import compose_file
from infisical_iac.stack.ingress import IngressState, caddyfile
from infisical_iac.stack.pull import ImageSources
from infisical_iac.stack.state import (
    DeploymentState,
    FailedChange,
    StackState,
    UpgradeState,
)
from infisical_iac.workspace.load import load
from tests.unit import clusters
from tests.unit.backup.kits import FILES
from tests.unit.deployment import TEXT
from tests.unit.operations.cases import Cases, due, noop, of, refusal
from tests.unit.rendered_stack import TRIXIE, read_deployed
from tests.unit.settings_of import settings_of
from tests.unit.stack.certificates import NOW, pair

_RUNS = UnitState(loaded=True, active=True, enabled=True)
_OTHER = PathState("regular file", "600", "root:root", "0" * 64)
_SETTINGS = settings_of()
_DEFAULTS = settings_of(ingress="none", site_url="http://127.0.0.1:8080")
_SITE = clusters.site()
_ADMIN = "admin@example.com"

# The stack: one service of one image.
_COMPOSE = File("/etc/infisical/compose.yaml", "services: {redis: {}}\n", mode="600")
_WELL = Container("hash", "running", "healthy")
_STACK = StackState(
    engine=True,
    hashes={"redis": "hash"},
    containers={"redis": (_WELL,)},
    images=frozenset(_DEFAULTS.images),
)
_RESUME = File("/etc/systemd/system/infisical-transaction.service", "[Unit]\n")
_DEPLOYED = DeploymentState(_COMPOSE.state, stack=_STACK)

# The ingress.
_CADDY = caddyfile(_SETTINGS)
_CADDYFILE = File("/etc/infisical/ingress/Caddyfile", _CADDY.text, mode="600")
_DIRECTORIES = {
    "/etc/infisical/ingress": PathState("directory", "700", "root:root"),
    "/var/log/infisical-access/live": PathState("directory", "750", "root:root"),
}
_SERVING = IngressState({**_DIRECTORIES, _CADDYFILE.path: _CADDYFILE.state}, _CADDY.revision)

# Secrets that the user gives, and mail.
_MAILING = settings_of(
    smtp={"host": "smtp.example.com", "user": "infisical", "from_address": "iac@example.com"}
)
_GIVEN = _MAILING.instance.secrets
_MAILS = DeployedInfisical(_MAILING.instance.variables, given=frozenset({_GIVEN[0].key}))

_PROXIED = settings_of(outbound_proxy="http://infisical@proxy.internal:3128")
_PROXIES = read_deployed(compose_file(_PROXIED, TRIXIE), _PROXIED.instance.secrets[0].key)

# Changes of version.
_OLD = Images("infisical/infisical:v0.164.0", "postgres:17.11")
_NEW = Images("infisical/infisical:v0.165.16", "postgres:17.11")
_NEW_COMPOSE = f"""
services:
  infisical: {{image: "{_NEW.infisical}"}}
  postgres: {{image: "{_NEW.postgres}"}}
"""
_FAILED = {_NEW.infisical: FailedChange("20261125T101112Z-v0.164.0", "20261125T101112Z")}
_CHANGES = {"Infisical": "v0.164.0 → v0.165.16"}

# Backups.
_TARGET = BackupTarget(name="local", repository="/var/backups/infisical")
_BUCKET = BackupTarget(name="far", repository="s3:https://s3.example.com/bucket")
_CONFIGURATION = [File("/etc/infisical/backup/backup.conf", "TARGETS=local\n", mode="600")]
_BACKED_UP = BackupState(
    files={each.path: each.state for each in _CONFIGURATION},
    units={"infisical-backup.timer": _RUNS},
)
_KIT = SnapshotSource("latest", [_TARGET], dict(FILES))


def _keys(state: KeysState) -> Iterable[Any]:
    return keys.decide(state, admin_email=_ADMIN, admin_password=None)


def _compose(found: DeploymentState) -> Iterable[Any]:
    return compose.decide(_COMPOSE, found, _DEFAULTS)


def _serve(certificate: str) -> Iterable[Any]:
    there = replace(_SERVING, certificate=certificate)
    return ingress.decide_certificate(_SETTINGS, there, None, NOW)


def _upgrade(found: UpgradeState, *, waits: bool = False) -> Iterable[Any]:
    there = replace(_DEPLOYED, upgrade=found)
    return upgrade.decide(there, _NEW_COMPOSE, _DEFAULTS, "chainalign", waits=waits)


def _end(unfinished: UnfinishedChange | None, *, closed: bool = False) -> Iterable[Any]:
    return of(upgrade.unfinished_change)(
        unfinished, site=_SITE, project="chainalign", closed=closed
    )


def _rotation(state: str) -> Iterable[Any]:
    return of(rotation.unfinished_rotation)(
        state, compose="", settings=_SETTINGS, project="chainalign", site=_SITE
    )


def _backup(
    there: BackupState, *targets: BackupTarget, given: dict[str, str] | None = None
) -> Iterable[Any]:
    desired = DesiredBackups(
        targets=targets or [_TARGET],
        webhook="",
        schedules={"backup_schedule": "*-*-* 02:30:00"},
        files=_CONFIGURATION,
        timers=["infisical-backup.timer"],
    )
    return backup.decide(there, desired, given or {})


def _placing(source: SnapshotSource, there: dict[str, str]) -> Iterable[Any]:
    def begin(due: Placing) -> None: ...

    return restore.decide_placing(source, source.files, there, begin)


_GITHUB = settings_of(login={"github": {"client_id": "fake-client"}})
_LOGIN_VARIABLES = _GITHUB.instance.login.variables
_CLIENTS = {**_LOGIN_VARIABLES, "SITE_URL": _GITHUB.stack.site_url}


def _clients(variables: dict[str, str], *given: str) -> Iterable[Any]:
    return proof.decide_logins(_GITHUB, DeployedInfisical(variables, given=frozenset(given)))


def _mail(deployed: DeployedInfisical) -> Iterable[Any]:
    assert _MAILING.instance.smtp
    return proof.decide_mail(_MAILING, _MAILING.instance.smtp, deployed)


def _proxy(deployed: DeployedInfisical) -> Iterable[Any]:
    assert _PROXIED.instance.proxy
    return proof.decide_proxy(_PROXIED, _PROXIED.instance.proxy, deployed)


OPERATIONS = {
    "stack.keys.files": Cases(
        noop(lambda: _keys(KeysState(admin_email=_ADMIN)), "keys and passwords are in place"),
        due(
            lambda: _keys(
                KeysState(
                    admin_email=_ADMIN,
                    stale=frozenset({".env"}),
                    open=frozenset({"/etc/infisical/keys/auth_secret"}),
                )
            ),
            "~ /etc/infisical/.env: does not match the keys",
            "~ /etc/infisical/keys/auth_secret: readable by others → private to root",
            steps=("make",),
        ),
        due(
            lambda: _keys(
                KeysState(missing=frozenset({"encryption_key", "admin.env", "given_smtp_password"}))
            ),
            "+ /etc/infisical/admin.env",
            "+ /etc/infisical/keys/encryption_key",
            "+ /etc/infisical/keys/given_smtp_password: `apply` takes it from SMTP_PASSWORD or "
            "SMTP_PASSWORD_FILE, or asks for it",
            steps=("make",),
        ),
        # The key that encrypted the data is unknown.
        refusal(
            lambda: _keys(KeysState(database=True, missing=frozenset({"encryption_key"}))),
            Refused,
            "encryption_key is missing",
        ),
    ),
    "stack.compose.image_set": Cases(
        noop(lambda: compose.decide_images([], ImageSources()), "all images are on the host"),
        due(lambda: compose.decide_images(["redis:8"], ImageSources()), steps=("fetch",)),
        due(
            lambda: compose.decide_images(["redis:8", "postgres:17"], ImageSources()),
            steps=("fetch",),
        ),
        "an engine that does not answer has no images, and they are fetched once it runs",
    ),
    "stack.keys.given_secrets": Cases(
        noop(
            lambda: keys.decide_given(_GIVEN, frozenset()),
            "the host has all secrets that the user gives",
        ),
        "a secret is either on the host or asked for",
        due(
            lambda: keys.decide_given(_GIVEN, frozenset({"given_smtp_password", "auth_secret"})),
            steps=("ask",),
        ),
        "the agent sees each file, or the whole question fails",
    ),
    "stack.keys.unused_secrets": Cases(
        noop(lambda: keys.decide_unused(frozenset()), "each secret that the user gave is used"),
        due(
            lambda: keys.decide_unused(frozenset({"given_smtp_password"})),
            "- /etc/infisical/keys/given_smtp_password: no setting uses it",
            steps=("remove secrets without a use",),
        ),
        "a missing secret is no surplus",
        "the agent sees each file, or the whole question fails",
    ),
    "instance.proof.login_clients": Cases(
        noop(
            lambda: _clients(_CLIENTS, "given_client_secret_github_login"),
            "the deployed clients of logins are the desired ones",
        ),
        due(
            lambda: _clients(
                {**_LOGIN_VARIABLES, "SITE_URL": "http://b"}, "given_client_secret_github_login"
            ),
            steps=("prove_login_or_note",),
        ),
        due(lambda: _clients(_CLIENTS), steps=("prove_login_or_note",)),
        "the variables of the deployed container are in its Compose file, which is read first",
    ),
    "instance.proof.mail_login": Cases(
        noop(lambda: _mail(_MAILS), "Infisical sends mail by smtp.example.com already"),
        due(lambda: _mail(replace(_MAILS, given=frozenset())), steps=("prove_mail",)),
        due(lambda: _mail(DeployedInfisical()), steps=("prove_mail",)),
        "the file of the containers is there or not",
    ),
    "instance.proof.proxy_tunnels": Cases(
        noop(
            lambda: _proxy(_PROXIES),
            "Infisical uses the proxy proxy.internal:3128 already",
        ),
        due(lambda: _proxy(replace(_PROXIES, given=frozenset())), steps=("prove_proxy",)),
        due(lambda: _proxy(DeployedInfisical()), steps=("prove_proxy",)),
        "the file of the containers is there or not",
    ),
    "stack.compose.running": Cases(
        noop(lambda: _compose(_DEPLOYED), "all containers are as compose.yaml says, and healthy"),
        due(
            lambda: _compose(
                replace(
                    _DEPLOYED,
                    stack=replace(
                        _STACK, containers={"redis": (replace(_WELL, health="unhealthy"),)}
                    ),
                )
            ),
            "~ container redis: is running, health unhealthy",
            steps=("up",),
        ),
        due(
            lambda: _compose(DeploymentState()),
            *(f"+ image {image}" for image in _DEFAULTS.images),
            "+ /etc/infisical/compose.yaml",
            "+ container redis",
            steps=("fetch", "write", "up"),
        ),
        due(
            lambda: _compose(replace(_DEPLOYED, stack=StackState())),
            unknown="the containers can be inspected once Docker runs",
            steps=("fetch", "up"),
        ),
    ),
    "stack.ingress.configuration": Cases(
        noop(
            lambda: ingress.decide(_SETTINGS, _SERVING, None),
            "Caddy's files are as they should be, and in effect",
        ),
        due(
            lambda: ingress.decide(_SETTINGS, replace(_SERVING, revision="another"), None),
            "~ Caddy: runs with another Caddyfile",
            steps=("_take",),
        ),
        due(
            lambda: ingress.decide(_SETTINGS, IngressState(), None),
            "+ /etc/infisical/ingress",
            "+ /var/log/infisical-access/live",
            "+ /etc/infisical/ingress/Caddyfile",
            steps=(
                "make /etc/infisical/ingress",
                "make /var/log/infisical-access/live",
                "_take",
            ),
        ),
        # A stopped Caddy reads the file when it starts.
        noop(
            lambda: ingress.decide(_SETTINGS, replace(_SERVING, revision="stopped"), None),
            "Caddy's files are as they should be, and in effect",
        ),
    ),
    "stack.ingress.served_certificate": Cases(
        noop(
            lambda: _serve(pair("secrets.example.com").certificate),
            "a certificate of secrets.example.com is served",
        ),
        due(
            lambda: _serve(pair("other.example.com").certificate),
            "~ certificate of secrets.example.com: one for another name is served",
            steps=("_await",),
        ),
        due(
            lambda: _serve(""),
            "+ certificate of secrets.example.com: none is served",
            steps=("_await",),
        ),
        "served bytes that are not a certificate count as no certificate",
    ),
    "stack.edge.opening": Cases(
        noop(lambda: edge.decide({}), "the edge is open"),
        due(
            lambda: edge.decide({"/etc/infisical/ingress/closed": _OTHER}),
            "~ edge: closed → open",
            steps=("open_",),
        ),
        "an edge without its mark is open",
        "only the existence of the mark is read, and a host that does not answer ends the run",
    ),
    "cluster.deploy.unfinished_changes": Cases(
        noop(lambda: deploy.decide_unfinished_changes({}), "the host has no unfinished change"),
        due(
            lambda: deploy.decide_unfinished_changes(
                {"restore": ["20261125T101112Z", "data"], "scale": ["20261125T101112Z", "out"]}
            ),
            "- unfinished restore: 20261125T101112Z, from when this host was the leader",
            "- unfinished scale: 20261125T101112Z, from when this host was the leader",
            steps=(
                "remove /var/lib/infisical-restore/state",
                "remove /var/lib/infisical-scale/state",
            ),
        ),
        "a host without an unfinished change is up to date",
        "the host has a file for an unfinished change, or the preflight ends the run",
    ),
    "cluster.change.version_change": Cases(
        noop(
            lambda: cluster_change.decide_change(UpgradeState(_NEW), _NEW, {}, _SITE, "chainalign"),
            "no version changes",
        ),
        due(
            lambda: cluster_change.decide_change(
                UpgradeState(_OLD), _NEW, _CHANGES, _SITE, "chainalign"
            ),
            "~ Infisical: v0.164.0 → v0.165.16",
            steps=("make",),
        ),
        noop(
            lambda: cluster_change.decide_change(UpgradeState(), _NEW, {}, _SITE, "chainalign"),
            "no version changes",
        ),
        due(
            lambda: cluster_change.decide_change(
                UpgradeState(), _NEW, {}, _SITE, "chainalign", waits=True
            ),
            unknown="the versions can be compared once the unfinished change has ended",
            steps=(),
        ),
    ),
    "host.resume.resuming": Cases(
        noop(
            lambda: resume.decide(
                ResumeState(
                    {_RESUME.path: _RESUME.state}, {"infisical-transaction.service": _RUNS}
                ),
                _RESUME,
            ),
            "interrupted changes are taken up after a boot",
        ),
        due(
            lambda: resume.decide(ResumeState(), _RESUME),
            "+ /etc/systemd/system/infisical-transaction.service",
            "~ infisical-transaction.service: enabled and started",
            steps=("write", "let systemd read changed units", "systemctl", "systemctl"),
        ),
        "the unit is always seen",
        "there is nothing to refuse",
    ),
    "change.upgrade.version": Cases(
        noop(lambda: _upgrade(UpgradeState(_NEW)), "no version changes"),
        due(
            lambda: _upgrade(UpgradeState(_OLD, failed=_FAILED)),
            "~ Infisical: v0.164.0 → v0.165.16, which failed at 20261125T101112Z: see "
            "/var/backups/infisical-iac/upgrades/20261125T101112Z-v0.164.0",
            steps=("make",),
        ),
        noop(lambda: _upgrade(UpgradeState()), "no version changes"),
        due(
            lambda: _upgrade(UpgradeState(), waits=True),
            unknown="the versions can be compared once the unfinished change has ended",
            steps=(),
        ),
    ),
    "change.upgrade.unfinished_change": Cases(
        noop(lambda: _end(None), "no change of version is under way"),
        due(
            lambda: _end(UnfinishedChange("20261125T101112Z-v0.164.0", "swapped", _NEW.infisical)),
            "~ unfinished change of version: 20261125T101112Z-v0.164.0, "
            "completed if it passes the checks, else undone",
            steps=("_recover",),
        ),
        due(
            lambda: _end(None, closed=True),
            "~ edge: closed, although no change is under way → open",
            steps=("open_",),
        ),
        # The result of the swap is unknown, and the old data still exist.
        due(
            lambda: _end(UnfinishedChange("20261125T101112Z-v0.164.0", "swapping", "")),
            "~ unfinished change of version: 20261125T101112Z-v0.164.0, undone",
            steps=("_recover",),
        ),
    ),
    "change.rotation.unfinished_rotation": Cases(
        noop(lambda: _rotation(""), "no rotation is under way"),
        due(
            lambda: _rotation("redis_password switched"),
            "~ unfinished rotation: redis, completed if it passes the checks, else undone",
            steps=("_recover",),
        ),
        "a host without an unfinished rotation is up to date",
        refusal(lambda: _rotation("redis_password dancing"), RunFailed, "dancing"),
    ),
    "backup.deploy.targets_and_timers": Cases(
        noop(
            lambda: _backup(_BACKED_UP), "backups and drills are configured, and their timers run"
        ),
        due(
            lambda: _backup(
                replace(
                    _BACKED_UP,
                    private={"/etc/infisical/backup/webhook": _OTHER},
                    files={**_BACKED_UP.files, backup.FORMER[0]: _OTHER},
                )
            ),
            "- /etc/infisical/backup/webhook: no target needs it",
            f"- {backup.FORMER[0]}: the agent does its work",
            steps=("remove /etc/infisical/backup/webhook", f"remove {backup.FORMER[0]}"),
        ),
        due(
            lambda: _backup(BackupState()),
            "+ /etc/infisical/backup/backup.conf",
            "~ infisical-backup.timer: enabled and started",
            steps=("write", "systemctl", "systemctl"),
        ),
        refusal(
            lambda: _backup(replace(_BACKED_UP, no_schedules=("*-*-* 02:30:00",))),
            SettingsError,
            "backup_schedule",
        ),
    ),
    "backup.restore.restored_data": Cases(
        "a restore is run on request, and replaces the existing data",
        due(
            lambda: restore.decide(_KIT, over=True),
            "~ database infisical: latest snapshot of local",
            steps=(),
        ),
        due(
            lambda: restore.decide(_KIT, over=False),
            "+ database infisical: latest snapshot of local",
            steps=(),
        ),
        "the keys show that there is a database, even if it does not run",
    ),
    "cluster.restore.snapshot_restore": Cases(
        "a restore is run on request, and replaces the existing data",
        due(
            lambda: of(cluster_restore.snapshot_restore)(
                _KIT,
                site=replace(_SITE, cluster=replace(_SITE.cluster, has_databases=True)),
                desired=load(TEXT),
            ),
            "~ database infisical: latest snapshot of local",
            steps=("_restore",),
        ),
        due(
            lambda: of(cluster_restore.snapshot_restore)(_KIT, site=_SITE, desired=load(TEXT)),
            "+ database infisical: latest snapshot of local",
            steps=("_restore",),
        ),
        "the command has inspected the cluster before, or has refused the restore",
    ),
    "backup.restore.kit_keys": Cases(
        "a restore begins even if the host already has all files of the kit",
        due(
            lambda: _placing(
                replace(_KIT, replace_keys=True), {**FILES, "deployer.env": "another"}
            ),
            "~ /etc/infisical/deployer.env: from the kit that nobody has signed",
            steps=("begin",),
        ),
        due(
            lambda: _placing(replace(_KIT, signer="obviously-fake"), {}),
            *(
                f"+ /etc/infisical/{path}: from the kit signed by obviously-fake"
                for path in sorted(FILES)
            ),
            steps=("begin",),
        ),
        # Only a kit has the keys that the host lacks.
        refusal(lambda: _placing(replace(_KIT, files={}), {}), Refused, "recovery kit"),
    ),
    "cluster.restore.database_proof": Cases(
        "a restore is proven each time, because the proof ends the restore",
        due(
            lambda: of(cluster_restore.database_proof)(desired=load(TEXT), site=_SITE),
            steps=("_prove",),
        ),
        "the operation is called only after a restore",
        "the proof itself reports data that can't be read",
    ),
}

REFUSALS = (
    refusal(lambda: _keys(KeysState(sample=frozenset({"auth_secret"}))), Refused, "auth_secret"),
    refusal(
        lambda: _keys(KeysState(database=True, malformed=frozenset({"postgres_password"}))),
        Refused,
        "postgres_password",
    ),
)
