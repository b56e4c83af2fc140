"""The features of a license: the free edition's, the license server's, or an offline license's."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from base64 import b64decode
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

if TYPE_CHECKING:
    from .store import Document

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


# The real server has the vendor's key in this form. The other half of this one is thrown away: it
# has signed tests/offline_licenses.json, and signs nothing else.
_PUBLIC_KEY = b"""\
-----BEGIN RSA PUBLIC KEY-----
MIIBCgKCAQEA1kLi6gn+fhRt2BGvc/DFDEuU/1k9xsKsmm7C/aJVjfiRqQB+c4KL
4cPZUnMrL+G0SRFe0QKlB4AIqvf3a+mx+8vPKfvU77LE4sqhn3un1OYMmM0nhT7N
bzibEfm+JFqdGdwX14OlJvlWe5LSiKvr41WKd1gaH8xEp9jntUG7Zu0FRu7gLcoP
QI//gyyCMvThmSShCOBhwwMvSpM5P0gi5HgTqDOZAVv8e3XaCBus/Pm+of2oWqQv
5bjVgBIhIh9+rcAf5hlF676frtYzbDnkT3aScX8Ak3CofpsxmxlopXnCghNCKeiQ
vA5F+mZNQGqfn7eDfZVgrnLqCSFh6KgbfwIDAQAB
-----END RSA PUBLIC KEY-----
"""


def read_features(key: str, offline_key: str, server: str) -> Document:
    """Return the plan of a license; a refusal is logged, and the free edition remains.

    Args:
        key: LICENSE_KEY, which may hold an offline license too.
        offline_key: LICENSE_KEY_OFFLINE, which counts without the other only. It is ignored if it
            does not have the form of an offline license.
    """
    try:
        if contents := _read_contents(key or offline_key):
            return FREE | _features_of(contents)
        if not key:
            return FREE
        token = _ask(f"{server}{_LOGIN}", {"X-API-KEY": key}, b"{}")["token"]
        answer = _ask(f"{server}{_PLAN}", {"Authorization": f"Bearer {token}"})
        plan: Document = FREE | answer["currentPlan"]
    except (OSError, KeyError, TypeError, ValueError) as error:
        failed: Document = {"type": type(error).__name__}
        if isinstance(error, urllib.error.HTTPError):
            failed = {"code": "ERR_BAD_REQUEST", "status": error.code}
        elif isinstance(error, urllib.error.URLError):
            failed = {"code": "ECONNREFUSED"}
        _log(50, "init-license: encountered an error when init license", err=failed)
        return FREE
    return plan


def _read_contents(key: str) -> Document:
    """Return the contents of an offline license; empty if the key is none."""
    try:
        contents = json.loads(b64decode(key))
    except ValueError:
        return {}
    is_license = isinstance(contents, dict) and {"signature", "license"} <= contents.keys()
    return contents if is_license else {}


def _features_of(contents: Document) -> Document:
    """Return the features of an offline license; none if it is refused."""
    held = contents["license"]
    signed = json.dumps(held, separators=(",", ":"), ensure_ascii=False).encode()
    is_valid = True
    public_key = load_pem_public_key(_PUBLIC_KEY)
    assert isinstance(public_key, RSAPublicKey)
    try:
        public_key.verify(b64decode(contents["signature"]), signed, PKCS1v15(), SHA256())
    except InvalidSignature:
        is_valid = False
        _log(40, "Infisical EE offline license verification failed")
    ends = held["terminatesAt"]
    if ends and datetime.fromisoformat(ends) < datetime.now(UTC):
        is_valid = False
        _log(40, "Infisical EE offline license has expired")
    return held["features"] | {"slug": "enterprise"} if is_valid else {}


def _log(level: int, message: str, **fields: Any) -> None:
    """Write a line in the form of the real server's log."""
    print(json.dumps({"level": level, **fields, "msg": message}), flush=True)


def _ask(url: str, headers: dict[str, str], body: bytes | None = None) -> Any:
    given = {"Content-Type": "application/json", **headers}
    request = urllib.request.Request(url, body, given)
    with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
        return json.loads(answer.read())
