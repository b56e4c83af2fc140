"""Test which services `check` considers to be started with their secrets."""

import re
from pathlib import Path

import pytest

from infisical_iac.cli.bundle import find_page
from tests.unit.check.checked import (
    GOOD,
    list_findings,
    plant,
)


@pytest.mark.parametrize(
    "files",
    [
        {"backend/Dockerfile": 'CMD ["python", "-m", "infisical_config", "--", "uvicorn", "a"]'},
        {"backend/Procfile": "web: infisical run --env=production -- npm start"},
        {"compose.yaml": "services: {api: {build: backend, command: [with-secrets, --, a]}}"},
        {
            "compose.yaml": "services: {db: {build: 3, ports: !override []}, "
            "api: {build: backend, command: [with-secrets, --, a]}}"
        },
        {"backend/pyproject.toml": '[tool.pdm.scripts]\na = "python -m infisical_config -- b"\n'},
        {"backend/nodemon.json": '{"exec": "with-secrets -- node src/server.js"}'},
        {"backend/deploy.yaml": 'command: ["python", "-m", "infisical_config", "--", "celery"]\n'},
        {"package.json": '{"scripts": {"dev": "with-secrets -- turbo dev"}}'},
        {"backend/src/config.js": 'export { config } from "infisical-config/config.js";'},
        {"backend/settings.py": "from infisical_config import config\n"},
    ],
)
def test_a_service_may_load_its_secrets_or_be_started_by_a_runner(
    tmp_path: Path, files: dict[str, str]
) -> None:
    manifest = '{"dependencies": {"infisical-config": "1"}}'
    assert list_findings(plant(tmp_path, GOOD | {"backend/package.json": manifest} | files)) == []


_WITHOUT_PACKAGE = {"backend/package.json": '{"scripts": {"start": "with-secrets -- node a.js"}}'}


@pytest.mark.parametrize(
    "files",
    [
        _WITHOUT_PACKAGE,
        {
            "backend/package.json": "{}",
            "backend/requirements.txt": "flask\n",
            "backend/Procfile": "web: python -m infisical_config -- flask run\n",
        },
    ],
)
def test_a_runner_whose_package_no_manifest_names_is_reported(
    tmp_path: Path, files: dict[str, str]
) -> None:
    repository = plant(tmp_path, GOOD | files)
    [finding] = list_findings(repository)
    assert (finding.kind, finding.place) == ("no-package", "backend")
    assert list(repository.describe_unready_services()) == ["backend"]
    assert repository.services_without_loader() == set()  # it needs no second runner


@pytest.mark.parametrize(
    "files",
    [
        {"package.json": '{"devDependencies": {"infisical-config": "1"}}'},
        {"backend/Dockerfile": "RUN npm install ./infisical-config-0.1.0.tgz\nCOPY . .\n"},
        {"backend/vendor/infisical_config-0.1.0-py3-none-any.whl": "fake"},
    ],
)
def test_a_package_that_comes_from_elsewhere_is_accepted(
    tmp_path: Path, files: dict[str, str]
) -> None:
    assert list_findings(plant(tmp_path, GOOD | _WITHOUT_PACKAGE | files)) == []


def test_a_runner_of_a_service_without_a_manifest_is_accepted(tmp_path: Path) -> None:
    files = {path: text for path, text in GOOD.items() if path != "backend/package.json"}
    files["backend/start.sh"] = "with-secrets -- ./server\n"
    assert list_findings(plant(tmp_path, files)) == []


@pytest.mark.parametrize(
    "files",
    [
        {"backend/package.json": '{"devDependencies": {"infisical-config": "1"}}'},
        {"backend/package.json": '{"dependencies": {"infisical-config": "1"}}'},
        {"package.json": '{"dependencies": {"infisical-config": "file:loaders/node"}}'},
        {"backend/requirements.txt": "fastapi\ninfisical-config[cache]==0.1.0\n"},
        {"backend/pyproject.toml": '[project]\ndependencies = ["infisical-config>=0.1"]\n'},
        {"backend/pyproject.toml": "# start by python -m infisical_config -- b\n"},
        {"backend/tests/config.test.js": 'import { config } from "infisical-config/config.js";'},
        {"shared/config.js": 'export { config } from "infisical-config/config.js";'},
        {"backend/src/config.js": "// import 'infisical-config'"},
        {"backend/Dockerfile": "# CMD with-secrets -- node a.js\nCMD node a.js\n"},
        {"compose.yaml": "services: {db: {image: db, command: [with-secrets, --, a]}}"},
    ],
)
def test_a_service_that_starts_without_a_loader_is_reported(
    tmp_path: Path, files: dict[str, str]
) -> None:
    repository = plant(tmp_path, GOOD | {"backend/package.json": "{}"} | files)
    [finding] = list_findings(repository)
    assert (finding.kind, finding.place) == ("no-loader", "backend")
    # The command runs in a user's repository, and an installed tool has no docs/.
    [page] = re.findall(r"`infisical-iac docs ([^`]+)`", finding.message)
    assert find_page(page).name == "loaders.md"


@pytest.mark.parametrize(
    "manifest",
    [
        {"backend/package.json": '{"dependencies": {"infisical-config": "1"}}'},
        {"package.json": '{"dependencies": {"infisical-config": "1"}}'},
        {"backend/requirements.txt": "./vendor/infisical_config-0.1.0-py3-none-any.whl[cache]\n"},
    ],
)
def test_a_service_may_depend_on_the_loader_and_load_it_in_shared_code(
    tmp_path: Path, manifest: dict[str, str]
) -> None:
    shared = {
        "backend/package.json": "{}",
        "packages/config/index.js": 'export { config } from "infisical-config/config.js";',
    }
    assert list_findings(plant(tmp_path, GOOD | shared | manifest)) == []


def test_the_finding_names_a_dependency_that_no_code_loads(tmp_path: Path) -> None:
    manifest = '{"dependencies": {"infisical-config": "1"}}'
    repository = plant(tmp_path, GOOD | {"backend/package.json": manifest})
    [sentence] = repository.describe_unready_services().values()
    assert "depends on infisical-config" in sentence
