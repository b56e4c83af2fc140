"""Accounts of people: make, invite, show, and the logins that they may use."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .store import Document, Store

# The fields that the real server keeps of a person, with the values of a new account.
ACCOUNT: Document = {
    "firstName": None,
    "lastName": None,
    "superAdmin": False,
    "isEmailVerified": False,
    "isAccepted": False,
    "passwordHash": None,
    "authMethods": ["email"],
    "isMfaEnabled": False,
    "selectedMfaMethod": None,
    "mfaMethods": None,
    "devices": [],
    "isGhost": False,
    "isLocked": False,
    "temporaryLockDateEnd": None,
    "consecutiveFailedMfaAttempts": 0,
    "consecutiveFailedPasswordAttempts": 0,
    "sessionVersion": 1,
}
SHOWN = ("username", "email", "isEmailVerified", "firstName", "lastName", "authMethods", "id")
_OWN = (
    *("id", "email", "authMethods", "superAdmin", "firstName", "lastName", "isAccepted"),
    *("isMfaEnabled", "mfaMethods", "devices", "createdAt", "updatedAt", "isGhost", "username"),
    *("isEmailVerified", "consecutiveFailedMfaAttempts", "isLocked", "temporaryLockDateEnd"),
    *("consecutiveFailedPasswordAttempts", "selectedMfaMethod"),
)
# Keys of accounts of earlier releases.
OLD_KEYS = dict.fromkeys(
    (
        *("encryptedPrivateKey", "iv", "tag", "salt"),
        *("protectedKey", "protectedKeyIV", "protectedKeyTag"),
    )
)
_VERIFIED = ("isGitHubVerified", "isGitLabVerified", "isGoogleVerified")


def whole(user: Document) -> Document:
    """Return an account with all fields; one of an earlier release may lack some."""
    return ACCOUNT | {"isAccepted": user["passwordHash"] is not None} | user


def show(user: Document) -> Document:
    """Return a person as others see it."""
    user = whole(user)
    return {name: user[name] for name in SHOWN}


def show_to_itself(user: Document) -> Document:
    """Return the fields of an account that only the person sees."""
    user = whole(user)
    return {name: user[name] for name in _OWN} | {name: user.get(name) for name in _VERIFIED}


def add_member(
    store: Store, org_id: str, user_id: str, role: str, invited: str | None = None
) -> Document:
    """Make a person a member; `invited` is the address of the invitation."""
    membership = {
        "orgId": org_id,
        "actorType": "user",
        "actorId": user_id,
        "role": role,
        "roleId": None,
        "status": "invited" if invited else "accepted",
        "inviteEmail": invited,
        "isActive": True,
        "lastLoginAuthMethod": None,
        "lastLoginTime": None,
    }
    return store.insert("org_memberships", membership)


def find_or_invite(
    store: Store, org_id: str, address: str, role: str = "member", *, by_link: bool = True
) -> Document:
    """Return the person with this address; make an account and a membership where needed.

    Without `by_link` there is nothing to accept: the membership is accepted at once.
    """
    user = store.first("users", username=address)
    if user is None:
        user = store.insert("users", ACCOUNT | {"username": address, "email": address})
    if store.first("org_memberships", orgId=org_id, actorId=user["id"]) is None:
        add_member(store, org_id, user["id"], role, invited=address if by_link else None)
    return user


def is_member(store: Store, org_id: str, address: str) -> bool:
    user = store.first("users", username=address) or {"id": None}
    return store.first("org_memberships", orgId=org_id, actorId=user["id"]) is not None


def accepts_invitation(settings: Document) -> bool:
    """Return whether people log in with passwords, so that an invitation has a link."""
    methods = settings["enabledLoginMethods"]
    return methods is None or "email" in methods


def may_log_in_by(store: Store, settings: Document, user: Document, method: str) -> bool:
    """Return whether a login method is enabled for a person.

    It always is for an admin of an organization, so that nobody locks everybody out.
    """
    enabled = settings["enabledLoginMethods"]
    if enabled is None or method in enabled:
        return True
    return bool(store.find("org_memberships", actorId=user["id"], role="admin"))
