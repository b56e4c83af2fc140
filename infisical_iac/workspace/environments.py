"""Find what differs in the environments: renamed, deleted, missing or out of order."""

from collections.abc import Iterator, Mapping

from infisical_iac.workspace.change import Call, Change, Made
from infisical_iac.workspace.document import WorkspaceError
from infisical_iac.workspace.model import Environment, Workspace
from infisical_iac.workspace.state import Actual, DeletedEnvironment, EnvironmentState


def match(
    desired: Workspace, actual: Actual, remembered: Mapping[str, str]
) -> dict[str, EnvironmentState]:
    """Return which environment that is there is which of the desired ones, by desired slug.

    The id of the last run tells an environment whatever it is called now; a slug tells one that
    was not here at the last run.
    """
    by_id = {each.id: each for each in actual.environments}
    wanted = [each.slug for each in desired.environments]
    matched = {
        slug: by_id[remembered[slug]] for slug in wanted if remembered.get(slug, "") in by_id
    }
    taken = {each.id for each in matched.values()}
    for each in actual.environments:
        if each.slug in wanted and each.slug not in matched and each.id not in taken:
            matched[each.slug] = each
    return matched


def environments(
    desired: Workspace, actual: Actual, remembered: Mapping[str, str]
) -> Iterator[Change]:
    """Environments renamed, deleted, missing or out of order.

    Raises WorkspaceError if a renamed one's slug was given to another environment.
    """
    matched = match(desired, actual, remembered)
    yield from _renamed(desired, matched, actual)
    order = sorted(matched, key=lambda slug: matched[slug].position)
    ids = {slug: each.id for slug, each in matched.items()}
    for wanted in desired.environments:
        if wanted.slug in matched:
            continue
        deleted = deleted_one(wanted, actual, remembered)
        if deleted:
            yield from _restored(wanted, deleted, _path(actual))
            ids[wanted.slug] = deleted.id
        else:
            made = Made(f"environment {wanted.slug}")
            body = {"name": wanted.name, "slug": wanted.slug}
            yield Change("+", made, calls=(Call("POST", _path(actual), body, made),))
            ids[wanted.slug] = made
        order.append(wanted.slug)  # what is new or restored goes to the end
    slugs = [each.slug for each in desired.environments]
    if order != slugs:
        calls = tuple(
            Call("PATCH", (*_path(actual), ids[slug]), {"position": position})
            for position, slug in enumerate(slugs, start=1)
        )
        yield Change("~", "environments", f"order {', '.join(order)} → {', '.join(slugs)}", calls)


def _path(actual: Actual) -> tuple[str, ...]:
    project = actual.project.id if actual.project else Made("project")
    return ("/api/v1/projects", project, "environments")


def _renamed(
    desired: Workspace, matched: Mapping[str, EnvironmentState], actual: Actual
) -> Iterator[Change]:
    parking = _parking(matched, actual)
    for wanted in desired.environments:
        there = matched.get(wanted.slug)
        drift = _drift(wanted, there.slug, there.name) if there else {}
        if there and drift:
            detail = ", ".join(f"{key} {getattr(there, key)} → {drift[key]}" for key in drift)
            call = Call("PATCH", (*_path(actual), there.id), drift)
            yield Change("~", f"environment {wanted.slug}", detail, (*parking, call))
            parking = ()


def _parking(matched: Mapping[str, EnvironmentState], actual: Actual) -> tuple[Call, ...]:
    """Calls that first give way where environments hold each other's slugs."""
    moving = {slug: each for slug, each in matched.items() if each.slug != slug}
    held = {each.slug: each for each in actual.environments}
    blocked = [slug for slug in moving if slug in held]
    for slug in blocked:
        if held[slug].id not in {each.id for each in moving.values()}:
            raise WorkspaceError(
                f"the environment {slug!r} of the last run is called {moving[slug].slug!r} now, "
                f"and another has the slug {slug!r}: rename or delete one of them in Infisical"
            )
    return tuple(
        Call("PATCH", (*_path(actual), held[slug].id), {"slug": f"{held[slug].slug[:57]}-moving"})
        for slug in blocked
    )


def _drift(wanted: Environment, slug: str, name: str) -> dict[str, str]:
    there = {"slug": slug, "name": name}
    return {key: value for key, value in wanted.model_dump().items() if there[key] != value}


def deleted_one(
    wanted: Environment, actual: Actual, remembered: Mapping[str, str]
) -> DeletedEnvironment | None:
    """The deleted environment that a desired one was, by its id of the last run or its slug."""
    id = remembered.get(wanted.slug)
    candidates = [each for each in actual.deleted if each.id == id or each.slug == wanted.slug]
    return min(candidates, key=lambda each: each.id != id, default=None)


def _restored(
    wanted: Environment, deleted: DeletedEnvironment, path: tuple[str, ...]
) -> Iterator[Change]:
    calls = [Call("POST", (*path, deleted.id, "restore"), {})]
    drift = _drift(wanted, deleted.slug, deleted.name)
    if drift:
        calls.append(Call("PATCH", (*path, deleted.id), drift))
    detail = "deleted → restored, with all that it held"
    yield Change("~", f"environment {wanted.slug}", detail, tuple(calls))
