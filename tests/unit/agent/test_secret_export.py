"""Test that a rollback can bring the secrets over that the older data lack."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from infisical_iac.agent import secret_export
from infisical_iac.agent.answers import AnswerError
from infisical_iac.agent.contents import KnownProjects
from infisical_iac.agent.reading import ReadingPlace
from infisical_iac.agent.secret_export import ExportedSecret, find_missing, read_secrets, split
from tests.unit.agent.fake_runner import FakeRunner

_FAKE = "obviously-fake"
_Place = tuple[str, str, str]


@dataclass
class _Store:
    """A client of an Infisical with one project.

    Attributes:
        secrets: values and comments, by environment, folder and key.
        folders: those of each environment.
        refused: the keys for which a write is refused.
        has_project: whether the project exists.
    """

    secrets: dict[_Place, tuple[str, str]] = field(default_factory=dict)
    folders: set[tuple[str, str]] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    has_project: bool = True

    def with_patience(self) -> "_Store":
        return self

    def find(self, path: str, *, absent: Collection[int] = (404,)) -> dict[str, Any] | None:
        assert path == "/api/v1/projects/slug/chainalign"
        environments = [{"slug": "prod"}, {"slug": "dev"}]
        return {"id": "p", "slug": "x", "environments": environments} if self.has_project else None

    def get(self, path: str, *, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        assert params is not None
        slug = params["environment"]
        if path == "/api/v2/folders":
            mine = sorted(folder for at, folder in self.folders if at == slug)
            return {"folders": [{"relativePath": each, "id": each} for each in mine]}
        return {
            "secrets": [
                {
                    "secretPath": folder,
                    "secretKey": key,
                    "secretValue": value,
                    "secretComment": comment,
                }
                for (environment, folder, key), (value, comment) in self.secrets.items()
                if environment == slug
            ]
        }

    def post(self, path: str, *, json: Any = None) -> dict[str, Any]:
        assert path == "/api/v2/folders"
        parent = json["path"].rstrip("/")
        assert not parent or (json["environment"], parent) in self.folders
        self.folders.add((json["environment"], f"{parent}/{json['name']}"))
        return {}

    def patch(self, path: str, *, json: Any = None) -> dict[str, Any]:
        assert (path, json["mode"]) == ("/api/v4/secrets/batch", "upsert")
        environment, folder = json["environment"], json["secretPath"]
        assert folder == "/" or (environment, folder) in self.folders
        if self.refused & {each["secretKey"] for each in json["secrets"]}:
            raise AnswerError(400, "it is refused")
        for each in json["secrets"]:
            place = (environment, folder, each["secretKey"])
            self.secrets[place] = (each["secretValue"], each["secretComment"])
        return {}


def _place(store: _Store) -> ReadingPlace:
    client: Any = store
    return ReadingPlace(FakeRunner(), client, client, "chainalign", KnownProjects())


@pytest.fixture
def newer() -> _Store:
    return _Store(
        {
            ("prod", "/", "SAME"): (_FAKE, ""),
            ("prod", "/", "CHANGED"): (f"{_FAKE}-2", ""),
            ("prod", "/backend/db", "NEW"): (_FAKE, "a comment"),
            ("dev", "/", "NEW"): (_FAKE, ""),
        }
    )


@pytest.fixture
def older() -> _Store:
    return _Store(
        {
            ("prod", "/", "SAME"): (_FAKE, ""),
            ("prod", "/", "CHANGED"): (_FAKE, ""),
            ("prod", "/", "DELETED_SINCE"): (_FAKE, ""),
        }
    )


@pytest.fixture
def file(tmp_path: Path, newer: _Store) -> Path:
    made = tmp_path / "secrets.json"
    secret_export.export(_place(newer), made)
    return made


def test_an_export_is_for_root_only(file: Path) -> None:
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(json.loads(file.read_text())) == 4


def test_secrets_that_the_older_data_lack_are_written_with_their_folders(
    file: Path, newer: _Store, older: _Store
) -> None:
    (sentence,) = secret_export.bring(_place(older), file)
    assert "3 secrets" in sentence
    kept = {("prod", "/", "DELETED_SINCE"): (_FAKE, "")}
    assert older.secrets == {**newer.secrets, **kept}
    assert older.folders == {("prod", "/backend"), ("prod", "/backend/db")}
    assert "0 secrets" in secret_export.bring(_place(older), file)[0]


def test_a_refused_secret_is_named_without_its_value_and_the_others_are_written(
    file: Path, older: _Store
) -> None:
    older.refused = {"CHANGED"}
    brought, refused = secret_export.bring(_place(older), file)
    assert "2 secrets" in brought
    assert "CHANGED in prod:/" in refused
    assert _FAKE not in refused
    assert ("dev", "/", "NEW") in older.secrets


def test_data_without_the_project_take_nothing(file: Path, older: _Store) -> None:
    """Each request names the project, which the older data do not have."""
    older.has_project = False
    older.refused = {"CHANGED", "NEW", "SAME"}
    brought, refused = secret_export.bring(_place(older), file)
    assert "0 secrets" in brought
    assert "SAME in prod:/" in refused


def test_a_comment_alone_is_brought_over() -> None:
    one = ExportedSecret("p", "prod", "/", "KEY", _FAKE, "")
    assert find_missing([one._replace(comment="new"), one], [one]) == [one._replace(comment="new")]


def test_a_batch_has_one_folder_and_no_more_than_one_request_takes() -> None:
    many = [ExportedSecret("p", "prod", "/", f"KEY_{n:03}", _FAKE, "") for n in range(150)]
    other = ExportedSecret("p", "prod", "/x", "KEY", _FAKE, "")
    large = [ExportedSecret("p", "prod", "/y", f"KEY_{n}", "x" * 300_000, "") for n in range(2)]
    assert [len(each) for each in split([*many, other, *large])] == [100, 50, 1, 1, 1]


def test_all_projects_are_read(newer: _Store) -> None:
    assert {each.key for each in read_secrets(_place(newer))} == {"SAME", "CHANGED", "NEW"}
