"""Refuse what the entries of the file may not say together, but for people."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from infisical_iac.workspace import canary
from infisical_iac.workspace.document import Place, Problem
from infisical_iac.workspace.hints import hint
from infisical_iac.workspace.model import Service, Workspace

if TYPE_CHECKING:
    from infisical_iac.workspace.targets import Target


def reserved(workspace: Workspace) -> Iterator[Problem]:
    """The slug of the project if it is the canary's."""
    if workspace.project.slug == canary.SLUG:
        yield ("project", "slug"), f"{canary.SLUG} is the canary's; give yours another slug"


def repeated(workspace: Workspace) -> Iterator[Problem]:
    """Environments, shared folders and accepted access that are there twice."""
    slugs: dict[str, int] = {}
    names: dict[str, int] = {}
    for index, environment in enumerate(workspace.environments):
        if slugs.setdefault(environment.slug, index) != index:
            yield (
                ("environments", index, "slug"),
                f"the environment {environment.slug!r} is there already; remove one of them",
            )
        if names.setdefault(environment.name, index) != index:
            yield (
                ("environments", index, "name"),
                f"another environment is named {environment.name!r}; give each its own name",
            )
    for index, folder in enumerate(workspace.shared_folders):
        if folder in workspace.shared_folders[:index]:
            yield ("shared_folders", index), f"{folder} is there already; remove one of them"
    accepted = [(each.what, each.id) for each in workspace.accepted]
    for index, entry in enumerate(accepted):
        if entry in accepted[:index]:
            yield ("accepted", index), f"{entry[0]!r} is there already; remove one of them"


def contradictory(workspace: Workspace) -> Iterator[Problem]:
    """Services that get in one another's way, and settings of theirs that can't hold together."""
    owners: dict[str, str] = {}
    for name, service in workspace.services.items():
        place: Place = ("services", name)
        owner = owners.setdefault(service.folder, name)
        if owner != name:
            yield (
                (*place, "folder"),
                f"{service.folder} is the folder of {owner!r} already; give each service its own, "
                "and put what both need into a shared folder",
            )
        if service.folder in workspace.shared_folders:
            yield (*place, "folder"), f"{service.folder} is a shared folder; give it its own"
        yield from _wrong_imports(service, place, workspace.shared_folders)
    identities: dict[str, str] = {}
    for account in workspace.accounts():
        other = identities.setdefault(account.identity, account.credentials)
        if other != account.credentials:
            yield (
                ("services", account.service),
                f"its identity in {account.environment!r} would be named {account.identity!r} "
                f"as that of {other!r} is; rename the service",
            )
        if account.ttl > account.max_ttl:
            yield (
                ("services", account.service),
                f"access_token_ttl {account.ttl} is above access_token_max_ttl "
                f"{account.max_ttl}; lower the one or raise the other",
            )
            break


def _wrong_imports(service: Service, place: Place, shared: tuple[str, ...]) -> Iterator[Problem]:
    for index, folder in enumerate(service.imports):
        here = (*place, "imports", index)
        if folder not in shared:
            yield here, f"{folder} is no entry of shared_folders; {hint(folder, shared)}"
        elif folder in service.imports[:index]:
            yield here, f"{folder} is imported already; remove one of them"


def undeliverable(workspace: Workspace) -> Iterator[Problem]:
    """Targets of credentials of no environment, and those that two of them have."""
    slugs = [environment.slug for environment in workspace.environments]
    owners: dict[Target, str] = {}
    for name, service in workspace.services.items():
        for slug, target in service.deliver.items():
            place: Place = ("services", name, "deliver", slug)
            owner = owners.setdefault(target, f"{name}.{slug}")
            if slug not in slugs:
                yield place, f"{slug!r} is no environment; {hint(slug, slugs)}"
            elif owner != f"{name}.{slug}":
                yield place, f"{target} takes the credentials of {owner} already; name another one"
