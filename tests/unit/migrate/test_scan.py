"""Test the place and the grammar of each scanned file, on trees and on the shipped example."""

import errno
import json
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from infisical_iac.core.errors import FileError
from infisical_iac.migrate.model import Source
from infisical_iac.migrate.sources import scan_all
from infisical_iac.workspace.load import load
from tests.unit.migrate.trees import EXAMPLE, SHIPPED, WORKSPACE, git, plant


def expect_one(sources: list[Source]) -> Source:
    (source,) = sources
    return source


def kinds(source: Source) -> set[str]:
    return {each.kind for each in source.findings}


def _find_quoted(text: str) -> set[str]:
    """Return the parts of a text in backticks, including the backticks."""
    return {*re.findall(r"`[^`]+`", text)}


def test_a_file_is_read_and_given_its_place(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {
            "backend/package.json": '{"dependencies": {"dotenv": "17"}}',
            "backend/.env.production": "DB_PASSWORD='fake#secret'\n",
            "backend/.env.example": "DB_PASSWORD=\n",
        },
    )
    source = expect_one(scan_all([tmp_path], WORKSPACE))
    assert (source.path, source.service, source.environment, source.folder) == (
        "backend/.env.production",
        "backend",
        "production",
        "/backend",
    )
    assert source.grammar == "dotenv"
    assert source.reading.values == {"DB_PASSWORD": "fake#secret"}
    assert source.data == b"DB_PASSWORD='fake#secret'\n"
    assert source.findings == ()
    assert "fake#secret" not in repr(source)


def test_a_file_next_to_the_infisical_json_of_a_service_goes_to_its_folder(tmp_path: Path) -> None:
    files = {
        "stack/.env": "A=fake-secret\n",
        "stack/.infisical.json": '{"defaultSecretPath": "/backend"}',
        "other/.env": "A=fake-secret\n",
        "other/.infisical.json": "no JSON",
    }
    found = scan_all([plant(tmp_path, files)], WORKSPACE)
    assert {each.path: (each.service, each.folder) for each in found} == {
        "stack/.env": ("backend", "/backend"),
        "other/.env": ("", ""),
    }


def test_a_file_without_service_and_environment_blocks(tmp_path: Path) -> None:
    source = expect_one(scan_all([plant(tmp_path, {"x/.env.test": "A=fake-secret\n"})], WORKSPACE))
    assert (source.service, source.environment, source.folder) == ("", "", "")
    blocking = {each.kind for each in source.findings if each.blocking}
    assert blocking == {"no-service", "no-environment"}
    remedies = {each.kind: each.remedy for each in source.findings}
    assert {"`service`", "`folder`", "`decision: store`"} <= _find_quoted(remedies["no-service"])
    assert {"`environment`", "`decision: store`"} <= _find_quoted(remedies["no-environment"])


def test_a_file_without_a_known_loader_is_reported(tmp_path: Path) -> None:
    source = expect_one(scan_all([plant(tmp_path, {"backend/.env": "A=fake#secret\n"})], WORKSPACE))
    assert {"nearest-grammar", "grammars-disagree"} <= kinds(source)


def test_the_grammar_of_a_file_with_only_a_login_does_not_matter(tmp_path: Path) -> None:
    login = "INFISICAL_CLIENT_ID=fake\nINFISICAL_CLIENT_SECRET=fake\nNODE_ENV=development\n"
    source = expect_one(scan_all([plant(tmp_path, {"backend/.env.local": login})], WORKSPACE))
    assert "nearest-grammar" not in kinds(source)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda file: file.symlink_to("/etc/hostname"), "outside of"),
        (lambda file: file.symlink_to("nowhere"), "No such file"),
        (lambda file: file.symlink_to(file.name), os.strerror(errno.ELOOP)),
        (os.mkfifo, "a pipe"),
    ],
)
def test_a_file_that_cannot_be_read_is_reported_and_blocks(
    make: Callable[[Path], None], reason: str, tmp_path: Path
) -> None:
    (tmp_path / "backend").mkdir()
    make(tmp_path / "backend" / ".env")
    source = expect_one(scan_all([tmp_path], WORKSPACE))
    (finding,) = source.findings
    assert (finding.kind, finding.blocking, source.data) == ("unreadable-file", True, b"")
    assert reason in finding.message
    assert source.reading.error == finding.message


def test_a_link_within_the_tree_is_read(tmp_path: Path) -> None:
    plant(tmp_path, {"shared.txt": "A=fake-secret\n", "backend/x": ""})
    (tmp_path / "backend" / ".env").symlink_to("../shared.txt")
    assert expect_one(scan_all([tmp_path], WORKSPACE)).reading.values == {"A": "fake-secret"}


def test_a_file_in_another_encoding_blocks(tmp_path: Path) -> None:
    plant(tmp_path, {"backend/requirements.txt": "python-dotenv", "backend/.env": ""})
    (tmp_path / "backend" / ".env").write_bytes("A=fake-secret".encode("utf-16"))
    source = expect_one(scan_all([tmp_path], WORKSPACE))
    assert [each.kind for each in source.findings if each.blocking] == ["unreadable-file"]


def test_files_that_git_tracks_are_reported_in_every_repository(tmp_path: Path) -> None:
    plant(tmp_path, {"backend/.env": "", "backend/.env.local": "", "python-services/.env": ""})
    plant(tmp_path, {"x/.env": ""})
    for name in ("backend", "python-services"):
        git(tmp_path / name, "init", "-q")
        git(tmp_path / name, "add", ".env")
    output = {each.path for each in scan_all([tmp_path], WORKSPACE) if "tracked" in kinds(each)}
    assert output == {"backend/.env", "python-services/.env"}
    assert "tracked" in kinds(expect_one(scan_all([tmp_path / "python-services"], WORKSPACE)))


def test_a_repository_that_git_cannot_read_is_an_error(tmp_path: Path) -> None:
    plant(tmp_path, {"backend/.env": "", "backend/.git/config": "["})
    with pytest.raises(FileError, match="`git ls-files`") as raised:
        scan_all([tmp_path], WORKSPACE)
    assert raised.value.code == "file.not_listed"
    assert f"{tmp_path / 'backend'}" in str(raised.value)


def test_files_of_several_trees_are_compared(tmp_path: Path) -> None:
    plant(tmp_path, {"a/backend/.env": "JWT=obviously-fake-secret\n"})
    plant(tmp_path, {"b/python-services/.env": "JWT=obviously-fake-secret\n"})
    sources = scan_all([tmp_path / "a", tmp_path / "b"], WORKSPACE)
    assert [each.path for each in sources] == [
        f"{tmp_path}/a/backend/.env",
        f"{tmp_path}/b/python-services/.env",
    ]
    assert all("shared-candidate" in kinds(each) for each in sources)
    assert all(one.file == each.path for each in sources for one in each.findings)


def test_a_tree_within_another_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for roots in ([tmp_path, tmp_path / "a"], [tmp_path, tmp_path]):
        with pytest.raises(FileError) as raised:
            scan_all(roots, WORKSPACE)
        assert raised.value.code == "file.nested"
        assert f" is in {tmp_path}, " in str(raised.value)


def test_a_single_file_is_read_as_in_a_scan_of_its_tree(tmp_path: Path) -> None:
    plant(tmp_path, {"backend/.env": "A=fake\n", "backend/.env.production": "A=$B\nB=fake\n"})
    plant(tmp_path, {"backend/package.json": '{"dependencies": {"vite": "8"}}'})
    git(tmp_path, "init", "-q")
    whole = {each.path: each for each in scan_all([tmp_path], WORKSPACE)}
    for path, source in whole.items():
        assert expect_one(scan_all([tmp_path / path], WORKSPACE)) == source
    assert scan_all([tmp_path / path for path in whole], WORKSPACE) == list(whole.values())


def test_a_file_outside_of_git_is_read_with_its_directory(tmp_path: Path) -> None:
    plant(tmp_path, {"backend/.env": "A=fake\n", "backend/requirements.txt": "python-dotenv\n"})
    source = expect_one(scan_all([tmp_path / "backend" / ".env"], WORKSPACE))
    assert (source.path, source.service, source.grammar) == (".env", "backend", "python-dotenv")


def test_a_file_given_as_an_argument_is_read_under_any_name(tmp_path: Path) -> None:
    plant(tmp_path, {"backend/.env.example": "A=fake\n", "backend/secrets.txt": "B=fake\n"})
    for name in (".env.example", "secrets.txt"):
        assert expect_one(scan_all([tmp_path / "backend" / name], WORKSPACE)).path == name


def test_a_file_within_another_scanned_tree_is_refused(tmp_path: Path) -> None:
    plant(tmp_path, {"backend/.env": ""})
    file = tmp_path / "backend" / ".env"
    with pytest.raises(FileError) as raised:
        scan_all([tmp_path, file], WORKSPACE)
    assert raised.value.code == "file.nested"
    assert str(raised.value).startswith(f"{file} is in {tmp_path}, ")


def test_a_tree_of_a_thousand_files_is_scanned_in_seconds(tmp_path: Path) -> None:
    text = "".join(f"A{n}=obviously-fake-{n}\n" for n in range(10))
    plant(tmp_path, {f"backend/d{n}/.env": f"{text}B=fake-{n}\n" for n in range(1000)})
    plant(tmp_path, {f"backend/d{n}/a.py": "x = 1\n" for n in range(1000)})
    plant(tmp_path, {f"node_modules/p{n}/.env": "" for n in range(100)})
    plant(tmp_path, {"backend/requirements.txt": "python-dotenv\n"})
    begun = time.process_time()
    assert len(scan_all([tmp_path], WORKSPACE)) == 1000
    assert time.process_time() - begun < 10


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example outside of this repository, so that git tracks nothing of it."""
    return shutil.copytree(EXAMPLE, tmp_path_factory.mktemp("example") / "before")


def test_the_example_is_read_as_its_services_read_it(example: Path) -> None:
    workspace = load(SHIPPED)
    sources = {each.path: each for each in scan_all([example], workspace)}
    assert {
        path: (each.service, each.environment, each.grammar) for path, each in sources.items()
    } == {
        ".env": ("", "development", "shell"),
        "backend/.env": ("backend", "development", "dotenv"),
        "backend/.env.production": ("backend", "production", "dotenv"),
        "python-services/.env": ("python-service", "development", "python-dotenv"),
        "python-services/.env.production": ("python-service", "production", "compose"),
    }
    assert not any(each.reading.error for each in sources.values())
    values = sources["backend/.env.production"].reading.values
    assert values["JWT_PRIVATE_KEY"].count("\n") == 6
    assert json.loads(values["GCP_SERVICE_ACCOUNT"])["type"] == "service_account"
    assert values["ADMIN_PASSWORD_HASH"].startswith("$2b$12$")
    assert sources["backend/.env"].reading.values["SMTP_PASSWORD"] == "fake-smtp"


def test_the_example_has_findings_of_many_kinds(example: Path) -> None:
    workspace = load(SHIPPED)
    found = [one for each in scan_all([example], workspace) for one in each.findings]
    assert {each.kind for each in found if each.blocking} == {
        "no-service",
        "literal-reference",
        "undefined-reference",
        "grammars-disagree",
        "cut-secret",
    }
    assert {each.kind for each in found if not each.blocking} >= {
        "bootstrap-key",
        "empty",
        "missing",
        "not-in-sample",
        "plain-configuration",
        "resolved",
        "same-value",
        "shared-candidate",
        "differs-across-services",
    }
