"""Test reading environments: names and numbers of secrets, folders, and imports in order."""

from dataclasses import replace
from typing import Any

import httpx

from infisical_iac.api.client import Client
from infisical_iac.workspace import environment_contents
from infisical_iac.workspace.state import Actual, EnvironmentState, Import, ProjectState

_STAGING, _PRODUCTION = (
    EnvironmentState(id, slug, slug, position)
    for position, (id, slug) in enumerate([("s", "staging"), ("p", "production")], start=1)
)
_SECRETS = {
    "staging": [("/shared", "KEY"), ("/backend", "URL"), ("/backend", "KEY")],
    "production": [("/backend", "KEY")],
}


def _import(id: str, position: int, **more: bool) -> dict[str, Any]:
    source = {"importEnv": {"id": "s"}, "importPath": f"/{id}"}
    return {"id": id, "position": position, **source, **more}


# Not in their order, as a server may list them.
_IMPORTS = [_import("a", 2), _import("theirs", 3, isReserved=True), _import("b", 1)]


def _answer(request: httpx.Request) -> httpx.Response:
    at = request.url.params
    assert at["projectId"] == "id"
    match request.url.path:
        case "/api/v4/secrets":
            listed = _SECRETS[at["environment"]]
            answer = {"secrets": [{"secretPath": path, "secretKey": key} for path, key in listed]}
        case "/api/v2/folders":
            paths = ("/backend", "/shared") if at["environment"] == "staging" else ("/backend",)
            listed_folders = [
                {"relativePath": path, "id": f"{at['environment']}:{path}"} for path in paths
            ]
            answer = {"folders": listed_folders}
        case "/api/v2/secret-imports":
            here = (at["environment"], at["path"]) == ("staging", "/backend")
            answer = {"secretImports": _IMPORTS if here else []}
        case other:
            raise AssertionError(other)
    return httpx.Response(200, json=answer)


def _client() -> Client:
    return Client("http://fake", httpx.MockTransport(_answer), "token")


def test_names_of_secrets_are_sorted_by_environment_and_folder() -> None:
    actual = Actual("o", ProjectState("id"), environments=(_STAGING, _PRODUCTION))
    assert list(environment_contents.read_names(_client(), actual).items()) == [
        (("staging", "/backend"), ["KEY", "URL"]),
        (("staging", "/shared"), ["KEY"]),
        (("production", "/backend"), ["KEY"]),
    ]


def test_a_missing_project_has_no_names() -> None:
    assert environment_contents.read_names(_client(), Actual("o")) == {}


def test_each_folder_is_read_with_its_imports_in_their_order() -> None:
    assert environment_contents.read(_client(), "id", [_STAGING, _PRODUCTION]) == [
        replace(
            _STAGING,
            folders={"/backend": "staging:/backend", "/shared": "staging:/shared"},
            imports={
                "/backend": [
                    Import("b", "/backend", ("s", "/b"), 1),
                    Import("a", "/backend", ("s", "/a"), 2),
                ],
                "/shared": [],
            },
        ),
        replace(
            _PRODUCTION,
            folders={"/backend": "production:/backend"},
            imports={"/backend": []},
        ),
    ]


def test_secrets_are_counted_by_folder() -> None:
    assert environment_contents.count_secrets(_client(), "id", "staging") == {
        "/backend": 2,
        "/shared": 1,
    }
