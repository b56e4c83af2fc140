"""A deployed project on a server, manual changes to it, and the plan after each."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from infisical_iac.agent import identities
from infisical_iac.workspace.goal import Memory, Reached
from infisical_iac.workspace.load import load
from infisical_iac.workspace.plan import WorkspacePlan, apply_plan, compute_plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from infisical_iac.api.client import Client
    from infisical_iac.workspace.model import Workspace
    from infisical_iac.workspace.state import ApiChange

Json = dict[str, Any]
AUTH = "/api/v1/auth/universal-auth/identities"
_IMPORTED = (("qa", "/shared"), ("qa", "/common/base"))
PRIVILEGE = "/api/v2/identity-project-additional-privilege"


@dataclass
class DeployedProject:
    """A deployed project with the deployer's client and the host's memory."""

    name: str
    client: Client
    admin_email: str
    deployer: str
    memory: Memory = field(default_factory=Memory)

    @property
    def desired(self) -> Workspace:
        service = {"folder": "/api", "imports": ["/shared", "/common/base"]}
        content = {
            "project": {"name": self.name, "slug": self.name},
            "environments": [{"slug": each, "name": each.title()} for each in ("production", "qa")],
            "shared_folders": ["/shared", "/common/base"],
            "services": {f"{self.name}-api": service},
        }
        return load(json.dumps(content))

    def plan(self, *, prune: bool = False) -> WorkspacePlan:
        return compute_plan(self._reach(), prune=prune)

    def due(self) -> list[ApiChange]:
        """Return the changes of a plan."""
        return self.plan().due

    def apply(self, *, prune: bool = False) -> list[ApiChange]:
        """Plan, make all changes, and return those that were made."""
        done: list[ApiChange] = []
        apply_plan(self._reach(), self.plan(prune=prune), done.append)
        return done

    def _reach(self) -> Reached:
        return Reached(
            client=self.client,
            address="",
            deployer=self.deployer,
            admin=lambda: self.client,
            has_admin=False,
            desired=self.desired,
            isolation="privilege",
            admin_email=self.admin_email,
            memory=self.memory,
            remember=partial(setattr, self, "memory"),
        )

    @property
    def project(self) -> str:
        return f"/api/v1/projects/{self.memory.project}"

    def environment(self, slug: str = "qa") -> str:
        return f"{self.project}/environments/{self.memory.environments[slug]}"

    def place(self, path: str) -> Json:
        return {"projectId": self.memory.project, "environment": "qa", "path": path}

    def folders(self) -> dict[str, str]:
        """Return the ids of the folders of `qa` by path."""
        at = {**self.place("/"), "recursive": "true"}
        listed = self.client.get("/api/v2/folders", params=at)["folders"]
        return {each["relativePath"]: each["id"] for each in listed}

    def folder(self, path: str) -> str:
        return f"/api/v2/folders/{self.folders()[path]}"

    def imports(self) -> list[Json]:
        """Return the imports into the folder of the service in `qa`, in the server's order."""
        at = self.place("/api")
        listed: list[Json] = self.client.get("/api/v2/secret-imports", params=at)["secretImports"]
        return listed

    def remove_strays(self) -> None:
        """Remove the moved imports into the folder of the service in `qa`."""
        for each in self.imports():
            if (each["importEnv"]["slug"], each["importPath"]) not in _IMPORTED:
                path = f"/api/v2/secret-imports/{each['id']}"
                self.client.delete(path, json=self.place("/api"))

    def identity(self) -> str:
        return self.memory.identities[f"{self.name}-api-qa"]

    def rename(self, path: str, name: str) -> None:
        """Rename a folder of `qa` manually."""
        body = {**self.place(path.rpartition("/")[0] or "/"), "name": name}
        self.client.patch(self.folder(path), json=body)

    def privilege(self) -> tuple[str, Json]:
        """Return the path and the content of the privilege of the service in `qa`."""
        at = {"identityId": self.identity(), "projectId": self.memory.project}
        (listed,) = self.client.get(PRIVILEGE, params=at)["privileges"]
        path = f"{PRIVILEGE}/{listed['id']}"
        read = self.client.get(path)["privilege"]
        body = {"slug": read["slug"], "type": {"isTemporary": False}}
        return path, {**body, "permissions": read["permissions"]}

    def person(self) -> str:
        path = f"{self.project}/memberships"
        (listed,) = self.client.get(path)["memberships"]
        return f"{path}/{listed['id']}"


@dataclass(frozen=True)
class Edit:
    """A manual change, and the lines of the plan that it causes.

    There are no lines if deploys keep the value that people set.
    """

    change: Callable[[DeployedProject], object]
    lines: tuple[str, ...] = ()


def _project(**fields: Any) -> Callable[[DeployedProject], object]:
    return lambda inside: inside.client.patch(inside.project, json=fields)


def _environment(**fields: Any) -> Callable[[DeployedProject], object]:
    return lambda inside: inside.client.patch(inside.environment(), json=fields)


def _identity(**fields: Any) -> Callable[[DeployedProject], object]:
    path = "/api/v1/identities"
    return lambda inside: inside.client.patch(f"{path}/{inside.identity()}", json=fields)


def _auth(**fields: Any) -> Callable[[DeployedProject], object]:
    return lambda inside: inside.client.patch(f"{AUTH}/{inside.identity()}", json=fields)


def _import(**fields: Any) -> Callable[[DeployedProject], object]:
    def change(inside: DeployedProject) -> None:
        last = inside.imports()[-1]["id"]
        body = {**inside.place("/api"), "import": fields}
        inside.client.patch(f"/api/v2/secret-imports/{last}", json=body)

    return change


def _folder(**fields: Any) -> Callable[[DeployedProject], object]:
    body = {"name": "api", **fields}
    return lambda inside: inside.client.patch(
        inside.folder("/api"), json={**inside.place("/"), **body}
    )


def _privilege(**fields: Any) -> Callable[[DeployedProject], object]:
    def change(inside: DeployedProject) -> None:
        path, body = inside.privilege()
        inside.client.patch(path, json={**body, **fields})

    return change


def _member(inside: DeployedProject) -> None:
    path = f"{inside.project}/memberships/identities/{inside.identity()}"
    inside.client.patch(path, json={"roles": [{"role": "viewer", "isTemporary": False}]})


def _person(inside: DeployedProject) -> None:
    inside.client.patch(inside.person(), json={"roles": [{"role": "viewer"}]})


_EVERYTHING = [{"subject": "secrets", "action": ["describeSecret", "readValue"]}]
_FOR_AN_HOUR = {
    "isTemporary": True,
    "temporaryMode": "relative",
    "temporaryRange": "1h",
    "temporaryAccessStartTime": "2026-11-27T12:00:00.000Z",
}
_IPV4 = [{"ipAddress": "0.0.0.0/0"}]
_ANYWHERE = "0.0.0.0/0 → 0.0.0.0/0 and ::/0"
_MISSING = "+ import of /common/base into /api in qa"
_THEIRS = "privilege read-own-folder of {name}-api-qa"

# By kind of object and field, as `writable.json` names them.
EDITS: dict[tuple[str, str], Edit] = {
    ("project", "name"): Edit(_project(name="Other"), ("~ project {name}: name Other → {name}",)),
    ("project", "slug"): Edit(
        _project(slug="moved-elsewhere"), ("~ project {name}: slug moved-elsewhere → {name}",)
    ),
    ("project", "hasDeleteProtection"): Edit(
        _project(hasDeleteProtection=False), ("~ project {name}: delete protection off → on",)
    ),
    ("project", "autoCapitalization"): Edit(
        _project(autoCapitalization=True), ("~ project {name}: autoCapitalization on → off",)
    ),
    ("project", "description"): Edit(_project(description="fake words")),
    ("project", "enforceEncryptedSecretManagerSecretMetadata"): Edit(
        _project(enforceEncryptedSecretManagerSecretMetadata=True)
    ),
    ("project", "secretSharing"): Edit(_project(secretSharing=False)),
    ("project", "showSnapshotsLegacy"): Edit(_project(showSnapshotsLegacy=True)),
    ("project", "secretDetectionIgnoreValues"): Edit(
        _project(secretDetectionIgnoreValues=["fake"])
    ),
    ("project", "pitVersionLimit"): Edit(_project(pitVersionLimit=20)),
    ("environment", "slug"): Edit(_environment(slug="uat"), ("~ environment qa: slug uat → qa",)),
    ("environment", "name"): Edit(_environment(name="UAT"), ("~ environment qa: name UAT → Qa",)),
    ("environment", "position"): Edit(
        _environment(position=1), ("~ environments: order qa, production → production, qa",)
    ),
    ("folder", "name"): Edit(_folder(name="app"), ("~ folder /api in qa: name app → api",)),
    ("folder", "description"): Edit(_folder(description="fake words")),
    ("import", "environment"): Edit(_import(environment="production"), (_MISSING,)),
    ("import", "path"): Edit(_import(path="/common"), (_MISSING,)),
    ("import", "position"): Edit(
        _import(position=1),
        ("~ imports into /api in qa: order /common/base, /shared → /shared, /common/base",),
    ),
    ("identity", "name"): Edit(
        _identity(name="other"), ("~ identity {name}-api-qa: name other → {name}-api-qa",)
    ),
    ("identity", "role"): Edit(
        _identity(role="member"),
        ("~ identity {name}-api-qa: role in the organization member → no-access",),
    ),
    ("identity", "hasDeleteProtection"): Edit(
        _identity(hasDeleteProtection=True),
        ("~ identity {name}-api-qa: delete protection on → off",),
    ),
    ("identity", "metadata"): Edit(
        _identity(metadata=[]),
        ("~ identity {name}-api-qa: metadata → managed by infisical-iac",),
    ),
    ("membership", "roles"): Edit(
        _member, ("~ project membership of {name}-api-qa: role viewer → no-access",)
    ),
    ("person", "roles"): Edit(_person, ("~ project member {admin}: role viewer → admin",)),
    ("privilege", "slug"): Edit(
        _privilege(slug="renamed"),
        (
            "- privilege renamed of {name}-api-qa",
            f"+ {_THEIRS}: /api, /shared and /common/base in qa",
        ),
    ),
    ("privilege", "permissions"): Edit(
        _privilege(permissions=_EVERYTHING),
        (f"~ {_THEIRS}: permissions → read /api, /shared and /common/base in qa only",),
    ),
    ("privilege", "type"): Edit(
        _privilege(type=_FOR_AN_HOUR), (f"~ {_THEIRS}: temporary → permanent",)
    ),
    **{
        ("universal auth", key): Edit(
            # The server accepts the longest lifetime only together with the other.
            _auth(
                **({"accessTokenTTL": 1800} if key == "accessTokenMaxTTL" else {}), **{key: value}
            ),
            (f"~ identity {{name}}-api-qa: {key} {shown}",),
        )
        for key, value, shown in (
            ("clientSecretTrustedIps", _IPV4, _ANYWHERE),
            ("accessTokenTrustedIps", _IPV4, _ANYWHERE),
            ("accessTokenTTL", 7200, "7200 → 1800"),
            ("accessTokenMaxTTL", 7200, "7200 → 86400"),
            ("accessTokenNumUsesLimit", 3, "3 → 0"),
            ("accessTokenPeriod", 60, "60 → 0"),
            ("lockoutEnabled", True, "on → off"),
            ("lockoutThreshold", 1, "1 → 3"),
            ("lockoutDurationSeconds", 86400, "86400 → 300"),
            ("lockoutCounterResetSeconds", 3600, "3600 → 30"),
        )
    },
}


def expected_lines(inside: DeployedProject, hand: Edit) -> list[str]:
    """Return the lines of a plan after a change, with the names of this project."""
    return [each.format(name=inside.name, admin=inside.admin_email) for each in hand.lines]


def second(inside: DeployedProject) -> str:
    """Make a duplicate of the identity, as an earlier release left it; return the id."""
    name, project = f"{inside.name}-api-qa", inside.memory.project
    organization = identities.organization_id(inside.client)
    made = identities.create(inside.client, organization, name)
    inside.client.patch(f"/api/v1/identities/{made.id}", json={"metadata": []})
    inside.client.post(f"{AUTH}/{made.id}", json={})
    body = {"description": f"infisical-iac: {inside.name}-api.qa"}
    inside.client.post(f"{AUTH}/{made.id}/client-secrets", json=body)
    roles = {"roles": [{"role": "no-access"}]}
    inside.client.post(f"{inside.project}/memberships/identities/{made.id}", json=roles)
    privilege = {
        "identityId": made.id,
        "projectId": project,
        "slug": "read-own-folder",
        "type": {"isTemporary": False},
        "permissions": _EVERYTHING,
    }
    inside.client.post(PRIVILEGE, json=privilege)
    return made.id
