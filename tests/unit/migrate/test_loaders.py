"""Test the grammar that code, Compose files and scripts determine for a file, and the reason."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infisical_iac.dotenv import GRAMMARS
from infisical_iac.dotenv.grammar import LANGUAGES
from infisical_iac.migrate import loaders
from tests.unit.migrate.trees import choose, node

RAW, BOTH = ("python-dotenv-raw", ()), ("python-dotenv-raw", ("python-dotenv",))
CALLS = {
    "load_dotenv(interpolate=False)": ("python-dotenv-raw", ()),
    "values = dotenv_values(\n    '.env',\n    interpolate = False,\n)": ("python-dotenv-raw", ()),
    "load_dotenv()": ("python-dotenv", ()),
    "load_dotenv(find_dotenv())": ("python-dotenv", ()),
    "load_dotenv(find_dotenv(), interpolate=False)": ("python-dotenv-raw", ()),
    "load_dotenv()\nload_dotenv('b', interpolate=False)": BOTH,
    "from dotenv import load_dotenv as read\nread(interpolate=False)": RAW,
    "import dotenv\ndotenv.load_dotenv(interpolate=False)": RAW,
    f"load_dotenv({'f(' * 60}{'1, ' * 200}{')' * 60}, interpolate=False)": RAW,
    "load_dotenv(dotenv_path=find_dotenv(')'), interpolate=False)": RAW,
    "# load_dotenv(interpolate=False)\nload_dotenv()": ("python-dotenv", ()),
    "load_dotenv()  # interpolate=False": ("python-dotenv", ()),
    "load_dotenv('interpolate=False')": ("python-dotenv", ()),
    "print('load_dotenv(interpolate=False)')": ("python-dotenv", ()),
    "load_dotenv(interpolate=f(interpolate=False))": ("python-dotenv", ()),
    "load_dotenv(interpolate=False)\nprint 'what no Python of today reads'": BOTH,
}


@pytest.mark.parametrize("text", CALLS)
def test_code_determines_whether_python_dotenv_interpolates(text: str) -> None:
    files = {"a/requirements.txt": "python-dotenv\n", "a/src/settings.py": f"{text}\n"}
    choice = choose("a/.env", files)
    assert (choice.evidence.grammar, choice.others) == CALLS[text]


def test_nodes_own_loader_is_found_only_in_code() -> None:
    files = {"a/package.json": node(), "a/src/main.mjs": "process.loadEnvFile('.env');\n"}
    choice = choose("a/.env", files)
    assert choice.evidence.grammar == "node-env-file-22"
    assert {"a/src/main.mjs", "process.loadEnvFile"} <= {*choice.evidence.why.split()}


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("process.loadEnvFile?.('.env')", "process.loadEnvFile"),
        ("import { loadEnvFile as load } from 'node:process';\nload();", "process.loadEnvFile"),
        ("import process from 'node:process';\nprocess.loadEnvFile();", "process.loadEnvFile"),
        ("import { parseEnv } from 'node:util';\nparseEnv(text);", "util.parseEnv"),
        ("import * as u from 'util';\nu.parseEnv(text);", "util.parseEnv"),
        ("const { parseEnv } = require('node:util');\nparseEnv(text);", "util.parseEnv"),
        ("const util = require('util');\nutil.parseEnv(text);", "util.parseEnv"),
        ("use(`${process /* the */ .loadEnvFile()}`)", "process.loadEnvFile"),
    ],
)
def test_a_call_of_nodes_own_loader_is_found_by_any_name(code: str, name: str) -> None:
    choice = choose("a/.env", {"a/package.json": node(), "a/src/main.tsx": code})
    assert {"a/src/main.tsx", name} <= {*choice.evidence.why.split()}


@pytest.mark.parametrize(
    "code",
    [
        "// process.loadEnvFile()",
        "print('process.loadEnvFile()')",
        "print(`util.parseEnv()`, /util.parseEnv()/)",
        "import { parseEnv } from './own.js';\nparseEnv(text);",
    ],
)
def test_similar_code_is_not_a_call_of_nodes_loader(code: str) -> None:
    choice = choose("a/.env", {"a/package.json": node("dotenv"), "a/main.js": code})
    assert (choice.evidence.grammar, choice.others) == ("dotenv", ())


@pytest.mark.parametrize(
    "written",
    [
        "env_file: backend/.env",
        "env_file: [./backend/.env]",
        "env_file:\n      - path: backend/.env\n        required: false",
        "env_file: !override [backend/.env]",
    ],
)
def test_a_compose_file_that_names_the_env_file_takes_precedence_over_packages(
    written: str,
) -> None:
    compose = f"services:\n  api:\n    image: x\n    {written}\n"
    files = {"compose.yaml": compose, "backend/package.json": node("dotenv")}
    choice = choose("backend/.env", files)
    assert (choice.evidence.grammar, choice.others) == ("compose", ("dotenv",))
    assert {"compose.yaml", "api", "env_file"} <= {*choice.evidence.why.split()}
    assert choice.readers == ("api",)


def test_compose_reads_its_own_variables_from_the_env_file_next_to_it() -> None:
    choice = choose(".env", {"docker-compose.yml": "services: {a: {image: '${IMAGE}'}}"})
    assert choice.evidence.grammar == "compose"
    assert choose("a/.env", {"compose.yaml": "services: {}"}).evidence.exact is False


LINES = {
    "source .env": "shell",
    "set -a; . ./.env; set +a": "shell",
    'source "$ROOT/.env"': "shell",
    '. "$(dirname "$0")/../.env"': "shell",
    "node --env-file=.env src/main.js": "node-env-file-22",
    "exec node --watch --env-file-if-exists .env main.js": "node-env-file-22",
    "docker compose --env-file .env up": "compose",
    "uvicorn app:app --env-file .env": "python-dotenv",
    "dotenv -f .env run -- python app.py": "python-dotenv",
    "npx dotenv -e .env -- jest": "dotenv-expand",
}


@pytest.mark.parametrize("line", LINES)
def test_a_script_that_names_the_env_file_determines_the_grammar(line: str) -> None:
    choice = choose(".env", {"scripts/dev.sh": f"#!/bin/sh\n{line}\n", ".nvmrc": "22"})
    assert (choice.evidence.grammar, choice.others) == (LINES[line], ())
    assert choice.evidence.why.startswith("scripts/dev.sh ")


def test_the_last_program_of_a_line_that_reads_the_file_counts() -> None:
    line = "dotenv -e .env -- docker compose --env-file .env up"
    choice = choose(".env", {"run.sh": line})
    assert (choice.evidence.grammar, choice.others) == ("compose", ("dotenv-expand",))


def test_a_script_in_a_manifest_counts_like_a_script_file() -> None:
    scripts = {"dev": "node --env-file=.env.local a.js", "x": 'bash -c "source .env"'}
    files = {"a/package.json": node("dotenv", scripts=scripts), ".nvmrc": "22"}
    local = choose("a/.env.local", files)
    assert (local.evidence.grammar, local.others) == ("node-env-file-22", ("dotenv",))
    assert choose("a/.env", {**files, "a/.env.local": ""}).evidence.grammar == "shell"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("run.sh", "export $(grep -v '^#' .env | xargs)\n"),
        ("run.sh", "env $(cat .env | xargs) ./server\n"),
        ("run.sh", "docker run --rm --env-file .env image\n"),
        ("api.service", "[Service]\nEnvironmentFile=-/opt/api/.env\nEnvironmentFile=.env\n"),
        ("requirements.txt", "django-environ\n"),
    ],
)
def test_a_script_or_package_with_its_own_parser_leaves_every_grammar_plausible(
    name: str, text: str
) -> None:
    choice = choose(".env", {name: text})
    assert not choice.evidence.exact
    assert len(choice.others) == 8


def test_a_script_that_names_another_file_is_not_evidence() -> None:
    files = {"a.sh": "source other/.env\ncd x && . .venv/bin/activate\necho .env\n"}
    assert "nothing says" in choose("b/.env", files).evidence.why


def test_an_envrc_is_run_by_direnv() -> None:
    assert choose("a/.envrc", {"a/package.json": node("dotenv")}).evidence.grammar == "shell"


@pytest.mark.parametrize(
    "files",
    [
        {"package.json": "{"},
        {"package.json": "[]"},
        {"package.json": '{"dependencies": 3}'},
        {"compose.yaml": "services: [\n"},
        {"compose.yaml": "services: {a: [], b: {env_file: [3, {path: 4}]}}"},
        {"compose.yaml": "- x"},
        {},
    ],
)
def test_files_without_evidence_leave_npm_dotenv_and_all_plausible(files: dict[str, str]) -> None:
    choice = choose(".env", files)
    assert choice.evidence.grammar == "dotenv"
    assert "nothing" in choice.evidence.why
    assert len(choice.others) == 8


_MANIFESTS = ("package.json", "pyproject.toml", "compose.yaml", "run.sh", "a.py", "a.js", "uv.lock")


@given(st.dictionaries(st.sampled_from(_MANIFESTS), st.text(max_size=100)))
def test_a_grammar_is_chosen_for_any_files(files: dict[str, str]) -> None:
    assert choose(".env", files).evidence.grammar in GRAMMARS


def test_the_manifests_of_every_language_are_read() -> None:
    assert {*loaders._MANIFESTS} == {*LANGUAGES}
