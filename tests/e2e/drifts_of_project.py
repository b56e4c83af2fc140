"""List drifts of the project and of credentials, with the plan and the repair of each."""

from tests.e2e import drift_causes as causes
from tests.e2e.drift import BOOTSTRAP, CANARY, CREDENTIALS, INSIDE, WORKSPACE, Drift

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
        causes.change_project(causes.rename_environment),
        ("~ environment staging: slug qa → staging, name QA → Staging",),
        (WORKSPACE,),
    ),
    "environment deleted": Drift(
        causes.change_project(causes.delete_environment),
        ("~ environment development: deleted → restored", "~ environments: order"),
        (WORKSPACE,),
    ),
    "folder deleted": Drift(
        causes.change_project(causes.delete_folder),
        ("+ folder /backend in staging", "+ import of /shared into /backend in staging"),
        (WORKSPACE,),
    ),
    "privilege widened": Drift(
        causes.change_project(causes.widen_privilege),
        (
            "~ privilege read-own-folder of backend-staging: permissions → "
            "read /backend and /shared in staging only",
        ),
        (WORKSPACE,),
    ),
    "TTL changed": Drift(
        causes.change_project(causes.change_ttl),
        ("~ identity backend-production: accessTokenTTL 7200 → 1800",),
        (WORKSPACE,),
    ),
    "tokens used up": Drift(
        causes.change_project(causes.limit_tokens),
        ("~ identity python-service-production: accessTokenNumUsesLimit 3 → 0",),
        (WORKSPACE,),
    ),
    "identity renamed": Drift(
        causes.change_project(causes.rename_identity),
        (
            "~ identity python-service-development: name renamed → python-service-development, "
            "metadata → managed by infisical-iac",
        ),
        (WORKSPACE,),
    ),
    "folder renamed": Drift(
        causes.change_project(causes.rename_folder),
        ("~ folder /backend in production: name renamed → backend",),
        (WORKSPACE,),
    ),
    "project's slug changed": Drift(
        causes.change_project(causes.rename_project),
        ("~ project chainalign: slug renamed → chainalign",),
        (WORKSPACE,),
    ),
    "membership removed": Drift(
        causes.change_project(causes.remove_membership),
        (
            "+ project membership of python-service-staging: role no-access",
            "+ privilege read-own-folder of python-service-staging",
        ),
        (WORKSPACE,),
    ),
    "canary altered": Drift(
        causes.change_project(causes.alter_canary),
        ("~ canary: secret CANARY: altered → alive",),
        (CANARY,),
    ),
    "client secret revoked": Drift(
        causes.change_project(causes.revoke_secret),
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
