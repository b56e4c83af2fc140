"""Compare the keys that services need with those that Infisical has."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from infisical_iac.check.model import CheckFinding
from infisical_iac.check.usage import Usage
from infisical_iac.migrate.families import is_withheld
from infisical_iac.workspace.model import Service, Workspace
from infisical_iac.workspace.readable import Names

_GIVEN = re.compile(
    r"""
      NODE_ENV | PORT | HOST | HOSTNAME | HOME | PATH | PWD | USER | LOGNAME | SHELL | LANG | TZ
    | TERM | TMPDIR | TMP | TEMP | CI | DEBUG | EDITOR | NO_COLOR | FORCE_COLOR | DYNO | APP_NAME
    | (?:https?|no|all)_proxy | VIRTUAL_ENV | JEST_WORKER_ID
    | (?:INFISICAL|LC|XDG|SSH|NODE|NPM|NEXT|NUXT|VITEST|PYTEST|PYTHON|UVICORN|GUNICORN
        |GITHUB|GITLAB|RUNNER|VERCEL|RAILWAY|RENDER|FLY|DOKPLOY|KUBERNETES|COMPOSE|DOCKER
        |SYSTEMD|LD|DYLD)_\w+
    """,
    re.VERBOSE | re.IGNORECASE,
)
_OURS = re.compile(
    r"NEXT_PUBLIC_\w+|NUXT_(PUBLIC_)?\w*(KEY|SECRET|TOKEN|URL)"
    r"|(?!INFISICAL_)\w+_(SECRET|PASSWORD|(API|PRIVATE|ACCESS|SECRET)_KEY|API_TOKEN)"
)


def is_given(key: str) -> bool:
    """Return whether a service has it without Infisical, so that it need not be there.

    What the loaders withhold would not come from there.
    """
    return (bool(_GIVEN.fullmatch(key)) and not _OURS.fullmatch(key)) or is_withheld(
        key, windows=False
    )


class Held(NamedTuple):
    """The keys of a service as its repository has them.

    Attributes:
        given: what images and compose files set, so that Infisical need not.
    """

    usage: Usage
    given: Collection[str]


def missing(held: Mapping[str, Held], names: Names, workspace: Workspace) -> Iterator[CheckFinding]:
    """Yield the keys that a service can't do without, and that an environment of it lacks.

    Keys that it can do without are told by a note.
    """
    for name, (usage, given) in held.items():
        there = {
            each.slug: _visible(workspace.services[name], each.slug, names)
            for each in workspace.environments
        }
        for key, place in sorted(usage.needed.items()):
            lacking = [slug for slug, keys in there.items() if key not in keys]
            if lacking and not is_given(key) and key not in given:
                yield CheckFinding("missing-key", place, key, _missing(name, key, lacking))
        nowhere = {key for key in usage.optional if not any(key in k for k in there.values())}
        if left := sorted(key for key in nowhere if not is_given(key) and key not in given):
            message = f"{name} reads {', '.join(left)} too, and can do without: not in Infisical."
            yield CheckFinding("optional", name, "", message, is_note=True)


def left_over(
    held: Mapping[str, Held], elsewhere: Collection[str], names: Names, workspace: Workspace
) -> Iterator[CheckFinding]:
    """Yield the secrets that no code of the services which can read them uses.

    Args:
        elsewhere: the words of files that are no service's, such as a compose file at the top.

    A folder that a service reads which isn't held is left out, and told by a note.
    """
    for folder in dict.fromkeys(folder for _, folder in names):
        readers = [
            name
            for name, service in workspace.services.items()
            if folder in (service.folder, *service.imports)
        ]
        absent = [name for name in readers if name not in held]
        if absent:
            message = f"Whether it is used was not checked: {', '.join(absent)} is not here."
            yield CheckFinding("not-checked", folder, "", message, is_note=True)
            continue
        used = {*elsewhere}.union(*(held[name].usage.used for name in readers))
        unsure = [name for name in readers if held[name].usage.dynamic]
        for key in sorted(_keys(folder, names) - (used if readers else set())):
            slugs = [
                each.slug
                for each in workspace.environments
                if key in names.get((each.slug, folder), ())
            ]
            message = _left_over(readers, slugs, unsure)
            yield CheckFinding(
                "left-over", f"{folder.rstrip('/')}/{key}", key, message, bool(unsure)
            )


def _visible(service: Service, slug: str, names: Names) -> set[str]:
    folders = (service.folder, *service.imports)
    return {key for folder in folders for key in names.get((slug, folder), ())}


def _keys(folder: str, names: Names) -> set[str]:
    return {key for (_, at), keys in names.items() if at == folder for key in keys}


def _missing(service: str, key: str, lacking: Sequence[str]) -> str:
    return (
        f"{service} reads {key}, which is not in {' and '.join(lacking)}. Add it in Infisical, or "
        "give it a default here."
    )


def _left_over(readers: Sequence[str], slugs: Sequence[str], unsure: Sequence[str]) -> str:
    who = f"no code of {' or '.join(readers)} uses it" if readers else "no service reads the folder"
    what = f"It is in {' and '.join(slugs)}, and {who}"
    if unsure:
        return f"{what} by its name; {' and '.join(unsure)} may read it by another way."
    return f"{what}. Delete it in Infisical."
