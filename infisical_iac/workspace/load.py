"""From the workspace file to the desired state, refusing what can't be meant."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from infisical_iac.core.compatibility import WORKSPACE, Schema, moved, refusal
from infisical_iac.workspace import consistency, people_actual
from infisical_iac.workspace.document import (
    Document,
    Place,
    Problem,
    WorkspaceError,
    named,
    parse,
    text_of,
)
from infisical_iac.workspace.hints import hint
from infisical_iac.workspace.model import Accepted, Environment, Project, Service, Workspace
from infisical_iac.workspace.roles import ROLE, TABLE
from infisical_iac.workspace.targets import DokployTarget, FileTarget, Target

_EXAMPLES = {
    "project": "name and slug",
    "environments": "a list of slug and name",
    "folder": "its own folder such as `folder: /backend`",
    "slug": "`slug: production`",
    "name": "`name: Production`",
    "what": "what `infisical-iac plan` tells after the *",
    "reason": "who wants it and what for",
    "url": "the address of Dokploy such as `url: https://dokploy.example.com`",
    "host": "a host as ssh takes it such as `host: deploy@app-1.example.com`",
    "path": "the file's whole path such as `path: /srv/backend/credentials.env`",
}
_KINDS = {
    "model_type": "keys with values",
    "dict_type": "keys with values",
    "tuple_type": "a list",
    "string_type": "text, in quotes if need be",
    "int_type": "a whole number",
}

# What pydantic puts into a place beside what the file says.
_NOT_IN_THE_FILE = {"[key]", ROLE, TABLE}


def load(source: str | Path, schema: Schema = WORKSPACE, *, admin_email: str = "") -> Workspace:
    """Read and check the desired state.

    Args:
        source: the path of the file, or its text as a `str`.
        admin_email: the first administrator, who can't be less than an admin; empty if unknown.
        schema: which version is read, and which keys of earlier ones are told by their new names.
            A file that doesn't say its version is of the first.

    Raises WorkspaceError: one sentence for every problem, with the line, the place and the
    remedy.
    """
    where = source.name if isinstance(source, Path) else "the workspace file"
    document = parse(_text(source), where)
    if not isinstance(document.data, dict):
        raise WorkspaceError(f"{where} must begin with keys: {', '.join(Workspace.model_fields)}")
    stale = refusal(document.data.get("schema_version", 1), schema)
    if stale:
        raise _refusal([(("schema_version",), stale)], document, where)
    services = document.data.get("services")
    if isinstance(services, dict):  # `backend:` with nothing after it lacks its folder, no more
        document.data["services"] = {key: value or {} for key, value in services.items()}
    empty: dict[str, Any] = {"people": {}, "accepted": []}
    for key, nothing in empty.items():
        if document.data.get(key, ()) is None:  # everything in it is commented out
            document.data[key] = nothing
    try:
        workspace = Workspace.model_validate(document.data)
    except ValidationError as error:
        told = (_problem(each, schema) for each in error.errors())
        raise _refusal(told, document, where) from None
    problems = [
        *consistency.reserved(workspace),
        *consistency.repeated(workspace),
        *consistency.contradictory(workspace),
        *people_actual.unknown(workspace),
        *people_actual.contradictory(workspace, admin_email),
        *consistency.undeliverable(workspace),
    ]
    if problems:
        raise _refusal(problems, document, where)
    return workspace


def _text(source: str | Path) -> str:
    if isinstance(source, str):
        return source
    return text_of(
        source, f"there is no file {source}; check its option, or the setting 'workspace_file'"
    )


def _refusal(problems: Iterable[Problem], document: Document, where: str) -> WorkspaceError:
    sentences = []
    for place, message in problems:
        at = f", {named(place)}" if place else ""
        sentences.append(f"{where}, line {document.line(place)}{at}: {message}")
    return WorkspaceError("; ".join(sentences))


def _problem(error: Any, schema: Schema) -> Problem:
    place: Place = tuple(part for part in error["loc"] if part not in _NOT_IN_THE_FILE)
    key = str(place[-1]) if place else ""
    if error["type"] == "missing":
        return place[:-1], f"has no {key!r}; add {_EXAMPLES.get(key, 'it')}"
    if error["type"] == "extra_forbidden" and (became := moved(place, schema)):
        return place, str(became)
    if error["type"] == "extra_forbidden":
        return place, f"this key is unknown; {hint(key, _keys_beside(place))}"
    if error["type"] == "too_short":
        return place, "at least one is needed; add one"
    if error["type"] in _KINDS:
        return place, f"{_KINDS[error['type']]} must stand here"
    return place, error["msg"].removeprefix("Value error, ")


def _keys_beside(place: Place) -> Iterable[str]:
    return _model_of(place).model_fields


def _model_of(place: Place) -> type[BaseModel]:
    match place:
        case ["services", _, "deliver", _, "dokploy", _]:
            return DokployTarget
        case ["services", _, "deliver", _, "file", _]:
            return FileTarget
        case ["services", _, "deliver", _, _]:
            return Target
        case ["services", _, _]:
            return Service
        case ["environments", _, _]:
            return Environment
        case ["accepted", _, _]:
            return Accepted
        case ["project", _]:
            return Project
    return Workspace
