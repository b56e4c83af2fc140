"""Read the desired state from the project file, and refuse mistakes."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError

from infisical_iac.core.bundle import DEFAULTS, default_settings
from infisical_iac.core.errors import FileError, SettingsError
from infisical_iac.core.own_repository import read_assignments
from infisical_iac.core.schema import (
    PROJECT_FILE_SCHEMA,
    Schema,
    explain_moved_key,
    explain_version,
    warn_once,
    with_new_names,
)
from infisical_iac.core.validation import explain, suggest
from infisical_iac.workspace import canary, people_actual
from infisical_iac.workspace.document import Document, Place, Problem, format_place, parse, text_of
from infisical_iac.workspace.model import (
    ROLE,
    TABLE,
    Accepted,
    Account,
    Environment,
    Hygiene,
    Isolation,
    Job,
    Project,
    SecondFactorRule,
    Service,
    Workspace,
)
from infisical_iac.workspace.oidc import (
    GitHubAuth,
    GitLabAuth,
    KubernetesAuth,
    LoginMethod,
    OidcAuth,
)
from infisical_iac.workspace.settings import ApiRate, WorkspaceSettings
from infisical_iac.workspace.targets import DokployTarget, FileTarget, Target


def find_reserved_names(workspace: Workspace) -> Iterator[Problem]:
    """Yield a problem if the slug of the project is the canary's."""
    if workspace.project.slug == canary.SLUG:
        yield ("project", "slug"), f"{canary.SLUG} is the canary's; give yours another slug"


def find_repetitions(workspace: Workspace) -> Iterator[Problem]:
    """Yield environments, shared folders and accepted access that are listed twice."""
    for index, environment in enumerate(workspace.environments):
        before = workspace.environments[:index]
        if environment.slug in [each.slug for each in before]:
            yield (
                ("environments", index, "slug"),
                f"the environment {environment.slug!r} is listed twice; remove one of them",
            )
        if environment.name in [each.name for each in before]:
            yield (
                ("environments", index, "name"),
                f"another environment is named {environment.name!r}; give each its own name",
            )
    for index, folder in enumerate(workspace.shared_folders):
        if folder in workspace.shared_folders[:index]:
            yield ("shared_folders", index), f"{folder} is listed twice; remove one of them"
    accepted = [(each.what, each.id) for each in workspace.accepted]
    for index, entry in enumerate(accepted):
        if entry in accepted[:index]:
            yield ("accepted", index), f"{entry[0]!r} is listed twice; remove one of them"


def find_contradictions(workspace: Workspace) -> Iterator[Problem]:
    """Yield conflicts between services, and settings of a service that contradict each other."""
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
            yield (
                (*place, "folder"),
                f"{service.folder} is a shared folder; give the service a folder of its own",
            )
        yield from _wrong_imports(service, place, workspace.shared_folders)
    identities: dict[str, str] = {}
    for job in workspace.jobs():
        identities[job.identity] = job.credentials
    # Jobs have the lifetimes of the file, and none of their own.
    for job in workspace.jobs()[:1]:
        if job.ttl > job.max_ttl:
            keys = ("access_token_ttl", "access_token_max_ttl")
            given = next(each for each in keys if each in workspace.model_fields_set)
            yield (given,), _describe_short_life(job)
    for account in workspace.accounts():
        other = identities.setdefault(account.identity, account.credentials)
        if other != account.credentials:
            yield (
                ("services", account.service),
                f"its identity in {account.environment!r} would be named {account.identity!r} like "
                f"that of {other!r}; rename the service",
            )
        if account.ttl > account.max_ttl:
            yield ("services", account.service), _describe_short_life(account)
            break


def _describe_short_life(account: Account) -> str:
    return (
        f"access_token_ttl {account.ttl} is above access_token_max_ttl {account.max_ttl}; lower "
        "the first or raise the second"
    )


def _wrong_imports(service: Service, place: Place, shared: tuple[str, ...]) -> Iterator[Problem]:
    for index, folder in enumerate(service.imports):
        here = (*place, "imports", index)
        if folder not in shared:
            yield here, f"{folder} is not an entry of shared_folders; {suggest(folder, shared)}"
        elif folder in service.imports[:index]:
            yield here, f"{folder} is imported twice; remove one of them"


def find_wrong_renames(workspace: Workspace) -> Iterator[Problem]:
    """Yield former names of services that are in use, repeated or ambiguous."""
    accounts = workspace.accounts()
    identities = {account.identity: account.credentials for account in accounts}
    owners: dict[str, str] = {}
    for name, service in workspace.services.items():
        former, reason = service.renamed_from, ""
        if former is None:
            continue
        owner = owners.setdefault(former, name)
        if former == name:
            reason = f"{former!r} is its name now; write the one that it had before"
        elif former in workspace.services:
            reason = (
                f"{former!r} is a service of this file; remove that service if it was renamed, or "
                "else remove this line"
            )
        elif owner != name:
            reason = (
                f"{owner!r} was renamed from {former!r} too; keep the line of the service that "
                "continues with its credentials"
            )
        for account in accounts:
            if reason or account.service != name:
                continue
            other = identities.setdefault(account.former_identity, account.credentials)
            if other != account.credentials:
                reason = (
                    f"its identity in {account.environment!r} was named "
                    f"{account.former_identity!r}, like that of {other!r}; rename {other!r}, or "
                    "remove this line"
                )
        if reason:
            yield ("services", name, "renamed_from"), reason


def find_unknown_access(workspace: Workspace) -> Iterator[Problem]:
    """Yield unknown environments and folders of jobs, and unknown environments in `auth`."""
    slugs = [environment.slug for environment in workspace.environments]
    folders = [each.folder for each in workspace.services.values()] + [*workspace.shared_folders]
    for name, job in workspace.ci.items():
        if job.sees == "names":
            continue
        for slug, seen in job.sees.items():
            place: Place = ("ci", name, "sees", slug)
            if slug not in slugs:
                yield place, f"{slug!r} is not an environment; {suggest(slug, slugs)}"
            for index, folder in enumerate(seen):
                if folder not in folders:
                    yield (
                        (*place, index),
                        f"{folder} is neither a service's folder nor a shared one; "
                        f"{suggest(folder, folders)}",
                    )
    for name, service in workspace.services.items():
        for slug in service.auth:
            if slug not in slugs:
                yield (
                    ("services", name, "auth", slug),
                    f"{slug!r} is not an environment; {suggest(slug, slugs)}",
                )
    held = {account.credentials for account in workspace.accounts()}
    for job_account in workspace.jobs():
        if job_account.credentials in held:
            yield (
                ("ci", job_account.service),
                f"its credentials would have the name of a service's: {job_account.credentials}; "
                "rename the job",
            )


def find_undeliverable(workspace: Workspace) -> Iterator[Problem]:
    """Yield targets for unknown environments, and targets that two credentials share."""
    slugs = [environment.slug for environment in workspace.environments]
    owners: dict[Target, str] = {}
    for name, service in workspace.services.items():
        for slug, target in service.deliver.items():
            place: Place = ("services", name, "deliver", slug)
            owner = owners.setdefault(target, f"{name}.{slug}")
            if slug not in slugs:
                yield place, f"{slug!r} is not an environment; {suggest(slug, slugs)}"
            elif slug in service.auth and service.auth[slug].claims:
                yield (
                    place,
                    f"{name} logs in without a client secret there, so nothing is delivered; "
                    "remove this or the service's `auth`",
                )
            elif owner != f"{name}.{slug}":
                yield place, f"{target} takes the credentials of {owner} already; name another one"


_EXAMPLES = {
    "project": "name and slug",
    "environments": "a list of slug and name",
    "folder": "its own folder such as `folder: /backend`",
    "slug": "`slug: production`",
    "name": "`name: Production`",
    "what": "what `infisical-iac plan` shows after the *",
    "reason": "who needs this access, and what for",
    "from": "the day, such as `from: 2027-01-15`",
    "url": "the address of Dokploy such as `url: https://dokploy.example.com`",
    "host": "a host as ssh takes it such as `host: deploy@app-1.example.com`",
    "path": "the file's whole path such as `path: /srv/backend/credentials.env`",
    "sees": "`sees: names`, or environments with a list of folders each",
    "auth": "`auth: universal`, or one of github, gitlab, kubernetes and oidc",
    "repository": "one such as `repository: acme/api`",
    "namespace": "the namespace of its pods",
    "service_account": "the service account of its pods",
    "issuer": "the address that signs its tokens, such as `issuer: https://oidc.example.com`; of "
    "a cluster, `kubectl get --raw /.well-known/openid-configuration` prints it",
}
_KINDS = {
    "model_type": "keys with values",
    "dict_type": "keys with values",
    "tuple_type": "a list",
    "string_type": "text, in quotes if needed",
    "int_type": "a whole number",
    "bool_type": "true or false",
}

_FORMS: dict[str, type[BaseModel]] = {
    "github": GitHubAuth,
    "gitlab": GitLabAuth,
    "kubernetes": KubernetesAuth,
    "oidc": OidcAuth,
}

# Parts of a place that pydantic adds to the keys of the file.
_NOT_IN_THE_FILE = {"[key]", ROLE, TABLE}


def load(
    source: str | Path, schema: Schema = PROJECT_FILE_SCHEMA, *, admin_email: str = ""
) -> Workspace:
    """Read and check the desired state.

    Args:
        source: the path of the file, or its text as a `str`.
        admin_email: the first administrator, whose role must be admin; empty if unknown.
        schema: the version to read, and the keys of earlier versions, which errors name with their
            new names. A file without a version has the first one.

    Raises FileError: one sentence for every problem, with the line, the place and the
    remedy.
    """
    where = source.name if isinstance(source, Path) else "the project file"
    document = parse(_text(source), where)
    if not isinstance(document.data, dict):
        raise FileError(
            f"{where} must begin with keys: {', '.join(Workspace.model_fields)}",
            code="file.project",
        )
    stale = explain_version(document.data.get("schema_version", 1), schema)
    if stale:
        problem = (("schema_version",), stale)
        raise _refusal([problem], document, where, code="file.schema_version")
    data, uses = with_new_names(document.data, schema)
    document = Document(
        data, document.lines | {each.new_place: document.line(each.place) for each in uses}
    )
    for use in uses:
        at = f"line {document.line(use.place)}, {format_place(use.place)}"
        warn_once(f"{where}, {at}: {use}")
    services = document.data.get("services")
    if isinstance(services, dict):  # `backend:` with nothing after it only lacks its folder
        document.data["services"] = {key: value or {} for key, value in services.items()}
    empty: dict[str, Any] = {"people": {}, "accepted": [], "hygiene": {}, "ci": {}}
    for key, nothing in empty.items():
        if document.data.get(key, ()) is None:  # everything in it is commented out
            document.data[key] = nothing
    try:
        workspace = Workspace.model_validate(document.data)
    except ValidationError as error:
        found = (_problem(each, schema) for each in error.errors())
        raise _refusal(found, document, where) from None
    problems = [
        *find_reserved_names(workspace),
        *find_repetitions(workspace),
        *find_contradictions(workspace),
        *people_actual.find_unknown_places(workspace),
        *people_actual.find_contradictions(workspace, admin_email),
        *find_wrong_renames(workspace),
        *find_undeliverable(workspace),
        *find_unknown_access(workspace),
    ]
    if problems:
        raise _refusal(problems, document, where)
    return workspace


def load_declared(settings: WorkspaceSettings) -> Workspace:
    """Return the desired state in the project file that the settings name. Raises FileError."""
    return load(Path(settings.workspace_file), admin_email=settings.admin_email)


_SHIPPED = "group_data/chainalign.yaml"


def declared_file(inventory: str, root: Path = Path()) -> Path:
    """Return the path of the project file, as the settings of an inventory give it.

    Args:
        root: the directory of the inventory and of `group_data/`.

    This is for commands that connect to no host. It runs no code: a file of settings counts if it
    gives the path as a string literal.
    """
    said = _find_declared("workspace_file", inventory, root)
    return Path(said or default_settings()["workspace_file"])


def declared_isolation(inventory: str, root: Path = Path()) -> Isolation | None:
    """Return the isolation that the settings files of an inventory give; None if none does.

    Args:
        root: as for `declared_file`, which reads the same files.
    """
    said = _find_declared("isolation", inventory, root)
    return next((each for each in get_args(Isolation) if each == said), None)


def _find_declared(name: str, inventory: str, root: Path) -> str:
    for _, said in _list_assignments(name, inventory, root):
        if isinstance(said, ast.Constant) and isinstance(said.value, str):
            return said.value
    return ""


def declared_rate(inventory: str) -> ApiRate | None:
    """Return the setting `api_rate`, read as `declared_file` reads the project file's path.

    Raises SettingsError if it can't be used.
    """
    file, said = next(_list_assignments("api_rate", inventory, Path()), (Path(), None))
    try:
        value = ast.literal_eval(said) if said else None
    except ValueError:
        raise SettingsError(
            f"setting 'api_rate' in {file} is computed, and with INFISICAL_API_URL no code of the "
            f"settings is run: write a dictionary such as {ApiRate.example}",
            code="settings.no_literal",
        ) from None
    try:
        return TypeAdapter(ApiRate | None).validate_python(value)
    except ValidationError as error:
        problem = error.errors()[0]
        name = ".".join(["api_rate", *(str(each) for each in problem["loc"] if each != "ApiRate")])
        raise SettingsError(f"setting {name!r}: {explain(problem, ApiRate)}") from None


def _list_assignments(name: str, inventory: str, root: Path) -> Iterator[tuple[Path, ast.expr]]:
    """Yield the assignments of a setting, with their files, in the order of their precedence."""
    own = Path(inventory)
    for group in (own.stem, *read_assignments(root / own), "all"):
        file = root / "group_data" / f"{group}.py"
        # In a checkout of this project, the defaults themselves are there.
        is_default = file.is_file() and file.samefile(DEFAULTS)
        if not is_default and (value := read_assignments(file).get(name)):
            yield file, value


def _text(source: str | Path) -> str:
    if isinstance(source, str):
        return source
    if source == Path(_SHIPPED):  # the default, as no file was named
        return text_of(
            source,
            "no project file here: change to your repository's directory, or write one with "
            "`infisical-iac init`",
        )
    return text_of(
        source,
        f"there is no file {source}: change to your repository's directory, write the file with "
        "`infisical-iac init`, or name another one by the command's option or the setting "
        "'workspace_file'",
    )


def _refusal(
    problems: Iterable[Problem], document: Document, where: str, *, code: str = "file.project"
) -> FileError:
    sentences = []
    for place, message in problems:
        at = f", {format_place(place)}" if place else ""
        sentences.append(f"{where}, line {document.line(place)}{at}: {message}")
    return FileError("; ".join(sentences), code=code)


def _problem(error: Any, schema: Schema) -> Problem:
    place: Place = tuple(part for part in error["loc"] if part not in _NOT_IN_THE_FILE)
    key = str(place[-1]) if place else ""
    if error["type"] == "missing":
        return place[:-1], f"has no {key!r}; add {_EXAMPLES.get(key, 'it')}"
    if error["type"] == "extra_forbidden" and (became := explain_moved_key(place, schema)):
        return place, became
    if error["type"] == "extra_forbidden":
        fields = _model_of(place).model_fields.items()
        return (
            place,
            f"this key is unknown; {suggest(key, [it.alias or name for name, it in fields])}",
        )
    if error["type"] == "too_short":
        return place, "at least one is needed; add one"
    if error["type"] in _KINDS:
        return place, f"write {_KINDS[error['type']]}"
    return place, error["msg"].removeprefix("Value error, ")


def _model_of(place: Place) -> type[BaseModel]:
    match place:
        case ["services", _, "deliver", _, "dokploy", _]:
            return DokployTarget
        case ["services", _, "deliver", _, "file", _]:
            return FileTarget
        case ["services", _, "deliver", _, _]:
            return Target
        case ["services", _, "auth", _, form, _] | ["ci", _, "auth", form, _] if form in _FORMS:
            return _FORMS[str(form)]
        case ["services", _, "auth", _, _] | ["ci", _, "auth", _]:
            return LoginMethod
        case ["ci", _, _]:
            return Job
        case ["services", _, _]:
            return Service
        case ["environments", _, _]:
            return Environment
        case ["accepted", _, _]:
            return Accepted
        case ["project", _]:
            return Project
        case ["require_second_factor", _]:
            return SecondFactorRule
        case ["hygiene", _]:
            return Hygiene
    return Workspace
