"""List drifts of the project and of credentials, with the plan and the repair of each."""

from tests.e2e import drift_causes as causes
from tests.e2e.drift import BOOTSTRAP, CANARY, CREDENTIALS, INSIDE, WORKSPACE, Drift
from tests.e2e.inspection import ISOLATION, slug_of


def _in(folder: str, environment: str) -> str:
    """Return what a line of a plan adds if its project is one of several."""
    return f" of project {slug_of(folder, environment)}" if ISOLATION == "projects" else ""


_IN_STAGING = _in("/backend", "staging")
_SLUG = slug_of("/backend", "production")
_BY_ROLE = ISOLATION != "privilege"
# Access that is wider than the file's: more folders, or a role above the one of a service.
_WIDENED = (
    Drift(
        causes.change_project(causes.raise_role, "/backend", "staging"),
        (f"~ project membership of backend-staging{_IN_STAGING}: role admin → viewer",),
        (WORKSPACE,),
    )
    if _BY_ROLE
    else Drift(
        causes.change_project(causes.widen_privilege, "/backend", "staging"),
        (
            "~ privilege read-own-folder of backend-staging: permissions → "
            "read /backend and /shared in staging only",
        ),
        (WORKSPACE,),
    )
)

INSIDE_INFISICAL: dict[str, Drift] = {
    "sign-up opened": Drift(causes.open_signup, ("~ sign-up: open → closed",), (BOOTSTRAP,)),
    "organization renamed": Drift(
        causes.rename_organization,
        ("~ organization ChainAlign: name Renamed → ChainAlign",),
        (BOOTSTRAP,),
    ),
    "deployer lost": Drift(
        causes.shell("rm /etc/infisical/deployer.env"),
        ("~ identity infisical-iac-deployer: can't log in → can", INSIDE),
        (BOOTSTRAP,),
    ),
    "environment renamed": Drift(
        causes.change_project(causes.rename_environment, "/backend", "staging"),
        (f"~ environment staging{_IN_STAGING}: slug qa → staging, name QA → Staging",),
        (WORKSPACE,),
    ),
    "environment deleted": Drift(
        causes.change_project(causes.delete_environment, "/backend", "development"),
        (
            f"~ environment development{_in('/backend', 'development')}: deleted → restored",
            # The only environment of a project has no order.
            *(() if ISOLATION == "projects" else ("~ environments: order",)),
        ),
        (WORKSPACE,),
    ),
    "folder deleted": Drift(
        causes.change_project(causes.delete_folder, "/backend", "staging"),
        (
            f"+ folder /backend in staging{_IN_STAGING}",
            *(() if ISOLATION == "projects" else ("+ import of /shared into /backend in staging",)),
        ),
        (WORKSPACE,),
    ),
    "access widened": _WIDENED,
    "TTL changed": Drift(
        causes.change_identity(causes.change_ttl),
        ("~ identity backend-production: accessTokenTTL 7200 → 1800",),
        (WORKSPACE,),
    ),
    "tokens used up": Drift(
        causes.change_identity(causes.limit_tokens),
        ("~ identity python-service-production: accessTokenNumUsesLimit 3 → 0",),
        (WORKSPACE,),
    ),
    "identity renamed": Drift(
        causes.change_identity(causes.rename_identity),
        (
            "~ identity python-service-development: name renamed → python-service-development, "
            "metadata → managed by infisical-iac",
        ),
        (WORKSPACE,),
    ),
    "folder renamed": Drift(
        causes.change_project(causes.rename_folder, "/backend", "production"),
        (
            f"~ folder /backend in production{_in('/backend', 'production')}: "
            "name renamed → backend",
        ),
        (WORKSPACE,),
    ),
    "project's slug changed": Drift(
        causes.change_project(causes.rename_project, "/backend", "production"),
        (f"~ project {_SLUG}: slug renamed → {_SLUG}",),
        (WORKSPACE,),
    ),
    "membership removed": Drift(
        causes.change_project(causes.remove_membership, "/python-services", "staging"),
        (
            "+ project membership of python-service-staging"
            f"{_in('/python-services', 'staging')}: role {'viewer' if _BY_ROLE else 'no-access'}",
            *(() if _BY_ROLE else ("+ privilege read-own-folder of python-service-staging",)),
        ),
        (WORKSPACE,),
    ),
    "canary altered": Drift(
        causes.change_identity(causes.alter_canary),
        ("~ canary: secret CANARY: altered → alive",),
        (CANARY,),
    ),
    "client secret revoked": Drift(
        causes.change_identity(causes.revoke_secret),
        ("+ credentials backend.production",),
        (CREDENTIALS,),
    ),
    "credentials lost": Drift(
        causes.shell("rm /etc/infisical/credentials/backend.staging.env"),
        (
            "+ credentials backend.staging",
            "- client secrets of backend.staging that no file holds: 1",
        ),
        (CREDENTIALS,),
    ),
    "credentials of three variables": Drift(
        causes.shell("sed -i /^INFISICAL_ENVIRONMENT=/d /etc/infisical/credentials/backend.*"),
        (
            "~ credentials backend.development: INFISICAL_ENVIRONMENT added",
            "~ credentials backend.staging: INFISICAL_ENVIRONMENT added",
            "~ credentials backend.production: INFISICAL_ENVIRONMENT added",
        ),
        (CREDENTIALS,),
    ),
    "credentials damaged": Drift(
        causes.shell(
            "sed -i 's/^INFISICAL_CLIENT_SECRET=./&x/' /etc/infisical/credentials/backend.*"
        ),
        (
            "+ credentials backend.development",
            "- client secrets of backend.development that no file holds: 1",
            "+ credentials backend.staging",
            "- client secrets of backend.staging that no file holds: 1",
            "+ credentials backend.production",
            "- client secrets of backend.production that no file holds: 1",
        ),
        (CREDENTIALS,),
    ),
}
