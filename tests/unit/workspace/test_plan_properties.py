"""Test properties of every plan, for any desired and actual state."""

import json
from collections.abc import Iterable
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from infisical_iac.agent.identities import MARKER
from infisical_iac.workspace.goal import Memory
from infisical_iac.workspace.load import load
from infisical_iac.workspace.model import Isolation, Workspace
from tests.unit.deployment import ADMIN, Deployment
from tests.unit.drifts import DRIFTS, Drift
from tests.unit.fake_infisical import FakeInfisical
from tests.unit.fake_state import Json, Refused
from tests.unit.workspaces import workspaces

Key = tuple[str, str]

_FOR_EVER = {"isTemporary": False}


def _identity(server: FakeInfisical, id: str, name: str, *metadata: Json) -> None:
    server.identities[id] = {"id": id, "name": name, "role": "admin", "metadata": [*metadata]}
    server.auths[id] = {"clientId": id, "accessTokenTTL": 60, "accessTokenMaxTTL": 60}
    server.secrets[id] = []
    server._secret({"description": "infisical-iac: backend", "ttl": 0, "numUsesLimit": 0}, id)
    server.members[id] = [{"role": "admin", **_FOR_EVER}]
    privilege = {"id": f"privilege-of-{id}", "identityId": id, "slug": "read-own-folder"}
    server.privileges[privilege["id"]] = {**privilege, "permissions": [], **_FOR_EVER}


def _environment(server: FakeInfisical, id: str, position: int) -> None:
    server.environments.append({"id": id, "slug": id, "name": id, "position": position})
    server.folders[id] = {"/backend", "/shared"}


def _deleted_environment(server: FakeInfisical) -> None:
    _environment(server, "gone", 9)
    server.delete_environment("gone")


def _folders(server: FakeInfisical) -> None:
    for environment, folders in server.folders.items():
        folders.add("/theirs")
        server.imports.append(
            {
                "id": f"import-in-{environment}",
                "into": (environment, "/theirs"),
                "importPath": "/",
                "importEnv": {"id": environment},
            }
        )


def _person(server: FakeInfisical) -> None:
    user = {"username": "eve@example.com", "email": "eve@example.com"}
    server.persons.append({"id": "eve", "user": user, "roles": [{"role": "viewer", **_FOR_EVER}]})


# Objects that others made, or that this project made and the file does not name.
_STRANGERS: dict[str, Drift] = {
    "identity of a name of ours": lambda server: _identity(server, "theirs", "backend-staging"),
    "identity that somebody else marked": lambda server: _identity(
        server, "marked", "backend-production", {"key": MARKER["key"], "value": "somebody"}
    ),
    "identity of a service no longer named": lambda server: _identity(
        server, "retired", "retired-production", MARKER
    ),
    "environment before all others": lambda server: _environment(server, "early", 0),
    "environment after all others": lambda server: _environment(server, "late", 99),
    "deleted environment": _deleted_environment,
    "folders and imports": _folders,
    "person": _person,
}


def _possessions(server: FakeInfisical) -> dict[Key, str]:
    """Return everything in the server except positions of environments and imports."""
    state = [(each, "there") for each in server.environments]
    state += [(each, "deleted") for each in server.deleted]
    everything: dict[Key, object] = {
        **{("environment", each["id"]): ({**each, "position": 0}, how) for each, how in state},
        **{("import", each["id"]): {**each, "position": 0} for each in server.imports},
        **{("identity", id): each for id, each in server.identities.items()},
        **{("auth", id): each for id, each in server.auths.items()},
        **{("secrets", id): each for id, each in server.secrets.items()},
        **{("member", id): each for id, each in server.members.items()},
        **{("privilege", id): each for id, each in server.privileges.items()},
        **{("person", each["id"]): each for each in server.persons},
        **{
            ("folder", f"{environment} {folder}"): True
            for environment, folders in server.folders.items()
            for folder in folders
        },
    }
    return {key: json.dumps(value, sort_keys=True) for key, value in everything.items()}


def _ours(server: FakeInfisical, desired: Workspace, remembered: Memory) -> set[Key]:
    """Return the objects that a deploy may change: named by the file, and made or adopted."""
    slugs = {each.slug for each in desired.environments}
    ids = remembered.environments
    environments = {ids[slug] for slug in slugs if slug in ids}
    known = [*server.environments, *server.deleted]
    environments |= {each["id"] for each in known if each["slug"] in slugs}
    names = {account.identity for account in desired.accounts()}
    identities = {
        id
        for id, each in server.identities.items()
        if each["name"] in names and MARKER in each["metadata"]
    }
    return {
        *(("environment", id) for id in environments),
        *((kind, id) for kind in ("identity", "auth", "member") for id in identities),
        *(
            ("privilege", id)
            for id, each in server.privileges.items()
            if each["identityId"] in identities
        ),
        *(("person", each["id"]) for each in server.persons if each["user"]["email"] == ADMIN),
    }


def _spoil(server: FakeInfisical, drifts: Iterable[str], strangers: Iterable[str]) -> None:
    for drift in drifts:
        # A drift may find nothing to change.
        with suppress(Refused, StopIteration, LookupError):
            DRIFTS[drift][0](server)
    for stranger in strangers:
        _STRANGERS[stranger](server)


# Mostly the default isolation, because drifts can change its privileges too.
_ISOLATIONS: st.SearchStrategy[Isolation] = st.sampled_from(["privilege", "privilege", "viewer"])


@settings(max_examples=settings().max_examples // 2)
@given(
    before=st.tuples(workspaces(), _ISOLATIONS),
    drifts=st.lists(st.sampled_from(sorted(DRIFTS)), unique=True),
    strangers=st.lists(st.sampled_from(sorted(_STRANGERS)), unique=True),
    forgets=st.booleans(),
    other=st.none() | st.tuples(workspaces(), _ISOLATIONS),
)
def test_an_applied_plan_is_empty_and_others_objects_are_unchanged(
    before: tuple[str, Isolation],
    drifts: list[str],
    strangers: list[str],
    forgets: bool,
    other: tuple[str, Isolation] | None,
) -> None:
    if forgets:  # without a memory, this drift means another project
        drifts = [each for each in drifts if each != "project's slug changed"]
    deployment = Deployment()
    deployment.deploy(*before)
    assert deployment.changes(*before) == []
    _spoil(deployment.server, drifts, strangers)
    if forgets:
        deployment.remembered = Memory()  # as at a URL, where nothing is stored
    desired, isolation = other or before
    found = _possessions(deployment.server)
    ours = _ours(deployment.server, load(desired), deployment.remembered)

    planned = [str(change) for change in deployment.changes(desired, isolation)]
    assert _possessions(deployment.server) == found
    assert deployment.deploy(desired, isolation) == planned
    if any("restored" in change for change in planned):
        deployment.deploy(desired, isolation)  # gaps of the memory show only after the restore
    assert deployment.changes(desired, isolation) == []

    left = _possessions(deployment.server)
    assert {key: left.get(key) for key in found.keys() - ours} == {
        key: found[key] for key in found.keys() - ours
    }
    # Of this project's objects, only privileges that widen access are removed.
    assert {kind for kind, _ in found.keys() - left.keys()} <= {"privilege"}
