"""Test reading environments: names and numbers of secrets, folders, and imports in order."""

from dataclasses import replace

from infisical_iac.api.client import Client
from infisical_iac.workspace import environment_contents
from infisical_iac.workspace.state import Actual, EnvironmentState, Import, ProjectState
from tests.unit.fake_infisical import FakeInfisical

_STAGING, _PRODUCTION = (
    EnvironmentState(id, slug, slug, position)
    for position, (id, slug) in enumerate([("s", "staging"), ("p", "production")], start=1)
)


def _client() -> Client:
    server = FakeInfisical()
    server.project = {"id": "id", "slug": "slug"}
    server.environments = [{"id": each.id, "slug": each.slug} for each in (_STAGING, _PRODUCTION)]
    server.folders = {"s": {"/backend", "/shared"}, "p": {"/backend"}}
    server.store("staging", "/shared", "KEY")
    server.store("staging", "/backend", "URL", "KEY")
    server.store("production", "/backend", "KEY")
    # The imports are not in their order, because a server may list them in any order.
    for position, id, reserved in ((2, "a", False), (3, "theirs", True), (1, "b", False)):
        source = {"importEnv": {"id": "s"}, "importPath": f"/{id}", "isReserved": reserved}
        there = {"id": id, "into": ("s", "/backend"), "position": position}
        server.imports.append({**there, **source})
    return server.client()


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
            folders={"/backend": "folder-s.backend", "/shared": "folder-s.shared"},
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
            folders={"/backend": "folder-p.backend"},
            imports={"/backend": []},
        ),
    ]


def test_secrets_are_counted_by_folder() -> None:
    assert environment_contents.count_secrets(_client(), "id", "staging") == {
        "/backend": 2,
        "/shared": 1,
    }
