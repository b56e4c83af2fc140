"""Test that references to the old files are found, and that their lines are not shown."""

import time
from pathlib import Path

import pytest

from infisical_iac.migrate import cleaning
from infisical_iac.migrate.cleaning import LIMIT, matches, pattern, search
from tests.unit.migrate.cleanable import SECRET, write

_PATHS = ["backend/.env", "backend/.env.production"]


def _find(text: str) -> list[str]:
    return [found for _, found in matches(text.encode(), pattern(_PATHS))]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("env_file: backend/.env", ["backend/.env"]),
        ("env_file: ../other/backend/.env.production", ["backend/.env.production"]),
        ("COPY .env.production ./", [".env.production"]),
        ("COPY .env* ./", [".env"]),
        ("COPY .env.* ./", [".env"]),
        ("set -a; . ./.env; set +a", [".env"]),
        ('node --env-file=".env" server.js', [".env"]),
        ("path: `.env.${process.env.NODE_ENV}`", [".env"]),
        ("Copy it to .env.", [".env"]),
        ("cp .env.example .env", [".env"]),
        ('import "dotenv/config"', ["dotenv/config"]),
        ("require('dotenv').config()", ["dotenv"]),
        ("from dotenv import load_dotenv", ["load_dotenv"]),
        ("python-dotenv==1.2.1", ["python-dotenv"]),
        ("process.loadEnvFile()", ["loadEnvFile"]),
    ],
)
def test_a_reference_is_found_by_name_or_by_loader(text: str, found: list[str]) -> None:
    assert _find(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "process.env.PORT",
        "import.meta.env",
        "process?.env",
        "config().env",
        "items[0].env",
        "{...env}",
        "os.environ",
        "cp .env.example",
        ".env.production.local",
        ".env-archive-1.tar.age",
        "prod.env",
        ".envrc",
        "/etc/infisical/credentials/backend.production.env",
        "my-dotenv.configuration.loads",
    ],
)
def test_similar_text_is_not_a_reference(text: str) -> None:
    assert _find(text) == []


def test_a_reference_has_its_line_and_is_reported_once_a_line() -> None:
    text = b"\n.env .env backend/.env\r\n\n.env"
    assert matches(text, pattern(_PATHS)) == [(2, ".env"), (2, "backend/.env"), (4, ".env")]


def test_code_compose_files_ci_and_docs_are_searched_by_path(tmp_path: Path) -> None:
    write(tmp_path, "backend/server.js", f'const a = "{SECRET}"; // {SECRET} .env {SECRET}\n')
    write(tmp_path, "compose.yaml", "\n    env_file: backend/.env\n")
    write(tmp_path, ".github/workflows/ci.yaml", "run: cp x backend/.env\n")
    write(tmp_path, "docs/start.md", "See `.env`.\n")
    found = search(tmp_path, _PATHS)
    assert found.references == [
        (".github/workflows/ci.yaml", 1, "backend/.env"),
        ("backend/server.js", 1, ".env"),
        ("compose.yaml", 2, "backend/.env"),
        ("docs/start.md", 1, ".env"),
    ]
    assert SECRET not in repr(found)


@pytest.mark.parametrize(
    "path",
    [
        "node_modules/a/index.js",
        ".git/config",
        ".venv/lib/a.py",
        ".gitignore",
        "backend/.dockerignore",
        "package-lock.json",
        "npm-shrinkwrap.json",
        "uv.lock",
        "backend/.env.staging",
        "backend/.env.example",
        "migration-report.json",
        "own.yaml",
    ],
)
def test_ignored_and_generated_files_are_not_searched(tmp_path: Path, path: str) -> None:
    write(tmp_path, path, "backend/.env\n")
    assert search(tmp_path, _PATHS, ["own.yaml"]) == ([], False, [])


def test_an_envrc_is_searched(tmp_path: Path) -> None:
    write(tmp_path, ".envrc", "dotenv .env\n")
    assert [str(each) for each in search(tmp_path, _PATHS).references] == [".envrc:1: .env"]


def test_links_are_not_followed(tmp_path: Path) -> None:
    outside = write(tmp_path, "outside/a.md", "backend/.env\n")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a.md").symlink_to(outside)
    (tmp_path / "root" / "b").symlink_to(outside.parent)
    assert search(tmp_path / "root", _PATHS).references == []


def test_binary_files_are_skipped_and_large_texts_are_reported(tmp_path: Path) -> None:
    (tmp_path / "image.bin").write_bytes(b"\0 .env" * 1_000_000)
    (tmp_path / "large.txt").write_bytes(b" .env\n" * 500_000)
    assert search(tmp_path, _PATHS) == ([], False, ["large.txt"])


def test_the_list_of_references_is_limited(tmp_path: Path) -> None:
    write(tmp_path, "a.md", ".env\n" * (LIMIT + 1))
    found = search(tmp_path, _PATHS)
    assert (len(found.references), found.more) == (LIMIT, True)


@pytest.mark.parametrize(
    "text", [b".env" * 500_000, b"/" * 2_000_000, b"a/.env.production" * 90_000]
)
def test_two_megabytes_of_anything_take_less_than_two_seconds(text: bytes) -> None:
    started = time.process_time()
    matches(text, cleaning.pattern(_PATHS))
    assert time.process_time() - started < 2
