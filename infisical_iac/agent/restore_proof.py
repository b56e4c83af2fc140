"""Prove a restored Infisical: logins of people and machines, secrets, and who has access.

A restore may bring back revoked access, so access before and after it is compared. The functions
raise RuntimeError with a Failure if the restored Infisical has not passed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from infisical_iac.agent import canary, contents, identities, login, public_address
from infisical_iac.agent.answers import AnswerError
from infisical_iac.agent.api import ApiClient, LoopbackClient, all_of, gather, gather_by
from infisical_iac.agent.contents import MEMORY, Json, parse_known
from infisical_iac.agent.identities import client_secrets
from infisical_iac.agent.login import ADMIN_FILE, NoLogin, own_organizations
from infisical_iac.agent.privileges import OF_IDENTITIES, OF_PERSONS
from infisical_iac.agent.public_address import PublicAddress
from infisical_iac.agent.runner import Runner, action, make_failure, observation

_CREDENTIALS = "/etc/infisical/credentials"
# The statuses of a release that has no such route, or grants privileges only by a license.
_WITHOUT_PRIVILEGES = (400, 404)
# Descriptions by id.
Access = Mapping[str, str]


@dataclass(frozen=True)
class AccessChanges:
    """Access that a restore brought back, and access that it removed."""

    revived: list[str]
    lost: list[str]


def read_access(
    client: ApiClient, admin: ApiClient, organization: str, projects: Iterable[Mapping[str, Any]]
) -> Access:
    """Return all identities, their client secrets, and roles and privileges in projects.

    The `client` may be the deployer. Only an administrator can read people's privileges. A release
    without privileges grants none.
    """
    found = gather(partial(_members, client, admin, each["id"], each["slug"]) for each in projects)
    every = [_machines(client, organization), *found]
    return {id: text for some in every for id, text in some.items()}


def compare_access(before: Access, after: Access) -> AccessChanges:
    """Return the differences of access that a restore made."""
    return AccessChanges(
        sorted(after[id] for id in after.keys() - before.keys()),
        sorted(before[id] for id in before.keys() - after.keys()),
    )


def _machines(client: ApiClient, organization: str) -> Access:
    listed = all_of(client, "/api/v1/identities", "identities", {"orgId": organization})
    machines = [each["identity"] for each in listed]
    able = [each for each in machines if "universal-auth" in each["authMethods"]]
    secrets = gather([partial(client_secrets, client, each["id"]) for each in able])
    return {each["id"]: f"identity {each['name']}" for each in machines} | {
        secret.id: f"client secret {secret.id} of identity {identity['name']}"
        for identity, held in zip(able, secrets, strict=True)
        for secret in held
    }


def _members(client: ApiClient, admin: ApiClient, project: str, slug: str) -> Access:
    persons = client.get(f"/api/v1/projects/{project}/memberships")["memberships"]
    machines = identities.memberships(client, project)
    held = [
        *((each, each["user"]["username"]) for each in persons),
        *((each, f"identity {each['identity']['name']}") for each in machines),
    ]
    of_person, of_machine = (
        partial(_privileges, admin, OF_PERSONS),
        partial(_privileges, client, OF_IDENTITIES, projectId=project),
    )
    privileges = gather(
        [
            *(partial(of_person, projectMembershipId=each["id"]) for each in persons),
            *(partial(of_machine, identityId=each["identity"]["id"]) for each in machines),
        ]
    )
    return {
        f"{membership['id']} {role}": f"role {role} of {who} in {slug}"
        for membership, who in held
        for role in identities.roles_of(membership)
    } | {
        id: f"privilege {name} of {who} in {slug}"
        for (_, who), found in zip(held, privileges, strict=True)
        for id, name in found.items()
    }


def _privileges(client: ApiClient, path: str, **holder: str) -> dict[str, str]:
    try:
        listed = client.get(path, params=holder)["privileges"]
    except AnswerError as error:
        if error.status not in _WITHOUT_PRIVILEGES:
            raise
        return {}
    return {each["id"]: each["slug"] for each in listed}


@dataclass(frozen=True)
class BeforeRestore:
    """The state of the host before a restore.

    Attributes:
        access: who had access; None if that could not be read.
        public: whether the public address answered.
    """

    access: Access | None = None
    public: bool = False


@observation
def record_before(
    runner: Runner, *, project: str, port: int, address: Mapping[str, Any]
) -> BeforeRestore:
    """Return what the host has before a restore.

    Args:
        project: the slug of the project.
        port: where the API is published; 0 if it is not.
        address: the JSON value of a PublicAddress.
    """
    public = public_address.is_public(runner, PublicAddress(**address))
    return BeforeRestore(_read_before(runner, project, port), public)


def _read_before(runner: Runner, project: str, port: int) -> Access | None:
    try:
        if not port or not LoopbackClient(port).answers():
            return None
        deployer, admin = _log_in(runner, port)
        assert deployer
        organization = identities.organization_id(deployer)
        return read_access(deployer, admin, organization, _projects(runner, deployer, project))
    except (RuntimeError, AssertionError):
        return None


def _projects(runner: Runner, client: ApiClient, slug: str) -> list[Json]:
    return contents.projects_of(client, slug, parse_known(runner.text(MEMORY) or ""))


def _log_in(runner: Runner, port: int) -> tuple[LoopbackClient | None, LoopbackClient]:
    """Return the deployer's client, None if it can't log in, and the administrator's.

    With the deployer logged in, the administrator logs in to the same organization.
    """
    try:
        deployer = login.deployer(runner, port)
    except NoLogin:
        return None, login.administrator(runner, port)
    organization = identities.organization_id(deployer)
    return deployer, login.administrator(runner, port, organization)


@dataclass(frozen=True)
class RestoreProof:
    """The values that a proof of a restore depends on.

    Attributes:
        project: the slug of the project.
        services: the names of the services' credentials, each with a former name or "".
        snapshot: the time of the snapshot.
        before: who had access before the restore; None if that is unknown.
    """

    project: str
    services: Sequence[Sequence[str]]
    snapshot: str
    before: Access | None = field(repr=False)


@action
def check(runner: Runner, *, asked: Mapping[str, Any], port: int) -> list[str]:
    """Call `prove` with the JSON value of a RestoreProof, for the operator's side."""
    return prove(runner, RestoreProof(**asked), port)


def prove(runner: Runner, asked: RestoreProof, port: int) -> list[str]:
    """Log in as administrator and deployer, and read the canary and all folders.

    Returns sentences on the content, the services' credentials, and access that the restore has
    reverted. Raises a Failure if the administrator can't log in, a secret can't be read, or the
    canary was altered.
    """
    try:
        deployer, admin = _log_in(runner, port)
    except NoLogin:
        raise make_failure(
            "checks",
            f"the administrator can't log in with the password in {ADMIN_FILE}",
            "if it was changed since the snapshot, write the password of that time there, or give "
            "the kit of that time with --replace-keys",
        ) from None
    client = deployer or admin
    projects = _projects(runner, client, asked.project)
    sentences = check_contents(client, projects, asked)
    if deployer is None:
        sentences.append("The deployer's credentials are not in the snapshot: new ones are made.")
    sentences += _check_services(runner, asked.services, port)
    # As before the restore: the administrator may be in other organizations too.
    organization = (
        identities.organization_id(deployer) if deployer else own_organizations(admin)[0].id
    )
    return [*sentences, *_describe_reverted(client, admin, organization, projects, asked.before)]


def check_contents(client: ApiClient, projects: Sequence[Json], asked: RestoreProof) -> list[str]:
    """Read the canary and every folder of the projects; return sentences on them."""
    alive = canary.is_alive(client)
    sample = _sample(client.with_patience(), projects) or f"no project {asked.project}"
    restored = f"Restored: the snapshot of {asked.snapshot}, with {sample}"
    return [f"{restored}, and the canary."] if alive else [f"{restored}.", canary.NONE]


def _sample(client: ApiClient, projects: Sequence[Json]) -> str:
    if not projects:
        return ""
    places = [
        (project["id"], env["slug"]) for project in projects for env in project["environments"]
    ]
    folders = gather_by(places, lambda place: contents.folders(client, *place))
    calls = [
        partial(_read, client, *place, folder)
        for place, found in folders.items()
        for folder in ("/", *found)
    ]
    numbers = [number for number in gather(calls) if number is not None]
    return f"{sum(numbers)} secrets in {len(numbers)} folders that can be read"


def _read(client: ApiClient, project: str, environment: str, folder: str) -> int | None:
    """Return how many secrets of a folder were decrypted; None if the folder does not exist."""
    try:
        return len(contents.secrets(client, project, environment, folder=folder))
    except AnswerError as error:
        if error.status == 404:
            return None
        raise make_failure(
            "checks.data",
            f"the secrets of {folder} in {environment} can't be read: {error.message}",
        ) from None


def _check_services(runner: Runner, services: Sequence[Sequence[str]], port: int) -> list[str]:
    """Return sentences on the service credentials that work.

    Each is tried once, since repeated failures lock an identity. A backup from before a service
    was renamed has its credentials under the former name.
    """
    texts = [
        runner.text(f"{_CREDENTIALS}/{name}.env")
        or (runner.text(f"{_CREDENTIALS}/{former}.env") if former else None)
        for name, former in services
    ]
    works = gather([partial(_logs_in, LoopbackClient(port), text or "") for text in texts])
    failing = [name for (name, _), good in zip(services, works, strict=True) if not good]
    sentences = [f"Credentials of services on the host: {sum(works)} of {len(works)} log in."]
    if failing:
        sentences.append(
            f"Missing or refused credentials: {', '.join(failing)}. `infisical-iac apply` makes "
            "new ones, and revokes the old ones that services may still use. To keep those, put "
            f"their files into {_CREDENTIALS} first."
        )
    return sentences


def _logs_in(api: ApiClient, text: str) -> bool:
    found = login.parse_variables(text)
    try:
        login.universal(api, found["INFISICAL_CLIENT_ID"], found["INFISICAL_CLIENT_SECRET"])
    except KeyError:
        return False
    except AnswerError as error:
        if error.status != 401:
            raise
        return False
    return True


def _describe_reverted(
    client: ApiClient,
    admin: ApiClient,
    organization: str,
    projects: Sequence[Json],
    before: Access | None,
) -> list[str]:
    if before is None:
        return [
            "The old data could not be read: access that was revoked since the snapshot is valid "
            "again, and can't be listed. Review people and identities."
        ]
    changes = compare_access(before, read_access(client, admin, organization, projects))
    return [
        *_list_under(
            "Access that was revoked since the snapshot is valid again; revoke it again",
            changes.revived,
        ),
        *_list_under("Access that was granted since the snapshot is no longer valid", changes.lost),
    ]


def _list_under(what: str, items: Sequence[str]) -> list[str]:
    return [f"{what}:", *(f"  {each}" for each in items)] if items else []
