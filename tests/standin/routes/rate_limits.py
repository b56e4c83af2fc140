"""The rate limits of an instance, which a self-hosted server keeps and never applies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import forbidden_error
from ..validation import number
from ..web import PEOPLE, Call, route

if TYPE_CHECKING:
    from ..store import Document

_ID = "00000000-0000-0000-0000-000000000000"
_DEFAULTS: Document = {
    "readRateLimit": 600,
    "writeRateLimit": 200,
    "secretsRateLimit": 60,
    "authRateLimit": 60,
    "inviteUserRateLimit": 30,
    "mfaRateLimit": 20,
    "publicEndpointLimit": 30,
    "identityCreationLimit": 30,
    "projectCreationLimit": 30,
}


@route("GET", "/api/v1/rate-limit", PEOPLE)
def read_limits(call: Call) -> Document:
    _require_super_admin(call)
    return {"rateLimit": _stored(call)}


@route("PUT", "/api/v1/rate-limit", PEOPLE)
def change_limits(call: Call) -> Document:
    _require_super_admin(call)
    limits = call.fields(dict.fromkeys(_DEFAULTS, number()))
    return {"rateLimit": call.store.update("rate_limit", _stored(call)["id"], **limits)}


@route("GET", "/api/v1/organizations/{org_id}/plan")
def read_plan(call: Call) -> Document:
    """Return the features of the license, the only place that shows whether it counts."""
    return {"plan": call.server.features}


def _stored(call: Call) -> Document:
    return call.store.get("rate_limit", _ID) or call.store.insert("rate_limit", _DEFAULTS, _ID)


def _require_super_admin(call: Call) -> None:
    if not call.actor.super_admin:
        raise forbidden_error("Requires elevated super admin privileges")
