"""The features of a license: those of the free edition, or what the license server answers."""

from __future__ import annotations

import json
import logging
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .store import Document

log = logging.getLogger("standin")
SERVER = "https://portal.infisical.com"
_LOGIN = "/api/auth/v1/license-login"
_PLAN = "/api/license/v1/plan"
_SECONDS = 5.0
_OFF = (
    *("dynamicSecret", "pitRecovery", "ipAllowlisting", "rbac", "githubOrgSync"),
    *("customRateLimits", "subOrganization", "customAlerts", "secretAccessInsights"),
    *("auditLogs", "auditLogStreams", "samlSSO", "enforceGoogleSSO", "hsm", "oidcSSO", "scim"),
    *("ldap", "groups", "secretApproval", "secretRotation", "caCrl", "instanceUserManagement"),
    *("externalKms", "pkiEst", "pkiScep", "pkiPqc", "kmsPqc", "enforceMfa", "projectTemplates"),
    *("kmip", "gateway", "gatewayPool", "sshHostGroups", "secretScanning"),
    *("enterpriseSecretSyncs", "enterpriseCertificateSyncs", "enterpriseAppConnections", "fips"),
    *("eventSubscriptions", "machineIdentityAuthTemplates", "pkiLegacyTemplates"),
    *("secretShareExternalBranding", "honeyTokens"),
)
FREE: Document = {
    "_id": None,
    "slug": None,
    "tier": -1,
    "workspaceLimit": None,
    "workspacesUsed": 0,
    "memberLimit": None,
    "membersUsed": 0,
    "environmentLimit": None,
    "environmentsUsed": 0,
    "identityLimit": None,
    "identitiesUsed": 0,
    "secretVersioning": True,
    "auditLogsRetentionDays": 0,
    "auditLogStreamLimit": 3,
    "status": None,
    "trial_end": None,
    "has_used_trial": True,
    "rateLimits": {"readLimit": 60, "writeLimit": 200, "secretsLimit": 40},
    "pkiAcme": True,
    "honeyTokenLimit": 0,
    **dict.fromkeys(_OFF, False),
}


def read_features(key: str, server: str) -> Document:
    """Return the plan of a license key; a refusal is logged, and the free edition remains."""
    if not key:
        return FREE
    try:
        token = _ask(f"{server}{_LOGIN}", {"X-API-KEY": key}, b"{}")["token"]
        answer = _ask(f"{server}{_PLAN}", {"Authorization": f"Bearer {token}"})
        plan: Document = FREE | answer["currentPlan"]
    except (OSError, urllib.error.URLError, KeyError, ValueError) as error:
        log.error("init-license: encountered an error when init license: %s", error)
        return FREE
    return plan


def _ask(url: str, headers: dict[str, str], body: bytes | None = None) -> Any:
    given = {"Content-Type": "application/json", **headers}
    request = urllib.request.Request(url, body, given)
    with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
        return json.loads(answer.read())
