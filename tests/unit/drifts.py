"""List drifts of a deployed workspace, each with the changes that repair it."""

from collections.abc import Callable
from typing import Any

from tests.unit.deployment import ADMIN
from tests.unit.fake_infisical import FakeInfisical

Drift = Callable[[FakeInfisical], object]


def _set(found: dict[str, Any], **values: Any) -> None:
    found.update(values)


def _privilege(server: FakeInfisical) -> dict[str, Any]:
    backend = server.identity("backend-staging")["id"]
    return next(each for each in server.privileges.values() if each["identityId"] == backend)


def _extra_privilege(server: FakeInfisical) -> None:
    server.privileges["extra"] = {**_privilege(server), "id": "extra", "slug": "write-all"}


def _renamed_privilege(server: FakeInfisical) -> None:
    _extra_privilege(server)
    server.privileges["extra"].update(
        slug=_privilege(server)["slug"],
        permissions=[{"subject": "secrets", "action": ["readValue"]}],
    )


def _member(server: FakeInfisical, *roles: dict[str, Any]) -> None:
    server.members[server.identity("backend-staging")["id"]] = list(roles)


def _lose_identity(server: FakeInfisical) -> None:
    id = server.identity("backend-staging")["id"]
    del server.identities[id], server.auths[id], server.members[id]
    server.privileges = {
        key: each for key, each in server.privileges.items() if each["identityId"] != id
    }


def _hard_delete(server: FakeInfisical) -> None:
    server.environments.remove(server.environment("development"))


def _narrow(server: FakeInfisical) -> None:
    _set(_privilege(server), permissions=_privilege(server)["permissions"][:1])


def _widen(server: FakeInfisical) -> None:
    _privilege(server)["permissions"][0]["conditions"].pop("secretPath")


DRIFTS: dict[str, tuple[Drift, list[str]]] = {
    "project renamed": (
        lambda server: _set(server.project or {}, name="Other"),
        ["~ project chainalign: name Other → ChainAlign"],
    ),
    "delete protection off": (
        lambda server: _set(server.project or {}, hasDeleteProtection=False),
        ["~ project chainalign: delete protection off → on"],
    ),
    "project's slug changed": (
        lambda server: _set(server.project or {}, slug="renamed"),
        ["~ project chainalign: slug renamed → chainalign"],
    ),
    "names of secrets written in capitals": (
        lambda server: _set(server.project or {}, autoCapitalization=True),
        ["~ project chainalign: autoCapitalization on → off"],
    ),
    "environment's slug changed": (
        lambda server: _set(server.environment("staging"), slug="stage"),
        ["~ environment staging: slug stage → staging"],
    ),
    "environment's name changed": (
        lambda server: _set(server.environment("staging"), name="Stage"),
        ["~ environment staging: name Stage → Staging"],
    ),
    "environments reordered": (
        lambda server: _set(server.environment("production"), position=0),
        [
            "~ environments: order production, development, staging "
            "→ development, staging, production"
        ],
    ),
    "folder deleted": (
        lambda server: server.folders[server.environment("staging")["id"]].remove("/backend"),
        [
            "+ folder /backend in staging",
            # The folder's imports were removed with it.
        ],
    ),
    "import deleted": (
        lambda server: server.imports.pop(0),
        ["+ import of /shared into /backend in development"],
    ),
    "identity made an admin": (
        lambda server: _set(server.identity("backend-staging"), role="admin"),
        ["~ identity backend-staging: role in the organization admin → no-access"],
    ),
    "tokens live longer": (
        lambda server: _set(
            server.auths[server.identity("backend-staging")["id"]], accessTokenTTL=3600
        ),
        ["~ identity backend-staging: accessTokenTTL 3600 → 1800"],
    ),
    "tokens used up": (
        lambda server: _set(
            server.auths[server.identity("backend-staging")["id"]], accessTokenNumUsesLimit=3
        ),
        ["~ identity backend-staging: accessTokenNumUsesLimit 3 → 0"],
    ),
    "locked out at once": (
        lambda server: _set(
            server.auths[server.identity("backend-staging")["id"]],
            lockoutThreshold=1,
            lockoutDurationSeconds=86400,
        ),
        ["~ identity backend-staging: lockoutThreshold 1 → 3, lockoutDurationSeconds 86400 → 300"],
    ),
    "identity protected from deletion": (
        lambda server: server.protected.add(server.identity("backend-staging")["id"]),
        ["~ identity backend-staging: delete protection on → off"],
    ),
    "universal auth removed": (
        lambda server: server.auths.pop(server.identity("backend-staging")["id"]),
        ["+ universal auth of backend-staging"],
    ),
    "role widened": (
        lambda server: _member(server, {"role": "admin"}),
        ["~ project membership of backend-staging: role admin → no-access"],
    ),
    "role added for a time": (
        lambda server: _member(server, {"role": "no-access"}, {"role": "x", "isTemporary": True}),
        ["~ project membership of backend-staging: role no-access, x for a time → no-access"],
    ),
    "privilege deleted": (
        lambda server: server.privileges.pop(_privilege(server)["id"]),
        ["+ privilege read-own-folder of backend-staging: /backend and /shared in staging"],
    ),
    "privilege narrowed": (
        _narrow,
        [
            "~ privilege read-own-folder of backend-staging: "
            "permissions → read /backend and /shared in staging only"
        ],
    ),
    "privilege widened": (
        _widen,
        [
            "~ privilege read-own-folder of backend-staging: "
            "permissions → read /backend and /shared in staging only"
        ],
    ),
    "privilege made temporary": (
        lambda server: _set(_privilege(server), isTemporary=True),
        ["~ privilege read-own-folder of backend-staging: temporary → permanent"],
    ),
    "privilege added": (_extra_privilege, ["- privilege write-all of backend-staging"]),
    "privilege added by the name of ours": (
        _renamed_privilege,
        ["- privilege read-own-folder of backend-staging"],
    ),
    "admin removed": (
        lambda server: server.persons.clear(),
        [f"+ project member {ADMIN}: role admin"],
    ),
    "admin demoted": (
        lambda server: _set(server.persons[0], roles=[{"role": "viewer"}]),
        [f"~ project member {ADMIN}: role viewer → admin"],
    ),
    "identity deleted": (
        _lose_identity,
        [
            "+ identity backend-staging",
            "+ universal auth of backend-staging",
            "+ project membership of backend-staging: role no-access",
            "+ privilege read-own-folder of backend-staging: /backend and /shared in staging",
        ],
    ),
    "environment deleted": (
        lambda server: server.delete_environment("staging"),
        [
            "~ environment staging: deleted → restored, with all that it held",
            "~ environments: order development, production, staging "
            "→ development, staging, production",
        ],
    ),
    "environment deleted for good": (
        _hard_delete,
        [
            "+ environment development",
            "~ environments: order staging, production, development "
            "→ development, staging, production",
            "+ folder /backend in development",
            "+ folder /services in development",
            "+ folder /services/python in development",
            "+ folder /shared in development",
            "+ import of /shared into /backend in development",
        ],
    ),
}
