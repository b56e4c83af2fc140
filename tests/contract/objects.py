"""List the objects on a server through its API, for comparing two states of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .world import ok

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .world import World


def objects(world: World, name: str) -> Iterator[str]:
    """Yield the projects of a name or slug with their contents, and the identities of that prefix.

    Each object is a line without ids; duplicates come twice.
    """
    yield from _structure(world, name)
    yield from _access(world, name)


def _structure(world: World, slug: str) -> Iterator[str]:
    projects = ok(world.deployer.get("/api/v1/projects"))["projects"]
    for project in (each for each in projects if slug in (each["slug"], each["name"])):
        yield f"project {project['slug']} {project['name']}"
        for environment in project["environments"]:
            at = {"projectId": project["id"], "environment": environment["slug"]}
            yield f"environment {environment['slug']} {environment['name']}"
            tree = ok(world.deployer.get("/api/v2/folders", params={**at, "recursive": "true"}))
            for folder in ("/", *(each["relativePath"] for each in tree["folders"])):
                yield f"folder {folder} in {environment['slug']}"
                query = {**at, "path": folder}
                listed = ok(world.deployer.get("/api/v2/secret-imports", params=query))
                for each in listed["secretImports"]:
                    source = f"{each['importEnv']['slug']} {each['importPath']}"
                    yield f"import of {source} into {folder} in {environment['slug']}"
        members = ok(world.deployer.get(f"/api/v1/projects/{project['id']}/memberships"))
        for each in members["memberships"]:
            yield f"person {each['user']['email']} {[role['role'] for role in each['roles']]}"


def _access(world: World, service: str) -> Iterator[str]:
    project = ok(world.deployer.get(f"/api/v1/projects/slug/{service}"))["id"]
    path = f"/api/v1/projects/{project}/memberships/identities"
    members = ok(world.deployer.get(path))["identityMemberships"]
    roles = {each["identityId"]: [role["role"] for role in each["roles"]] for each in members}
    listed = ok(world.deployer.get("/api/v1/identities", params={"orgId": world.org_id}))
    for each in listed["identities"]:
        id, name = each["identity"]["id"], each["identity"]["name"]
        if not name.startswith(service):
            continue
        auth = ok(world.deployer.get(f"/api/v1/auth/universal-auth/identities/{id}"))
        ttl = auth["identityUniversalAuth"]["accessTokenTTL"]
        yield f"identity {name} {each['role']} {ttl} {roles.get(id)}"
        privileges = "/api/v2/identity-project-additional-privilege"
        query = {"identityId": id, "projectId": project}
        for privilege in ok(world.deployer.get(privileges, params=query))["privileges"]:
            read = ok(world.deployer.get(f"{privileges}/{privilege['id']}"))["privilege"]
            yield f"privilege {read['slug']} of {name} {read['permissions']}"
