"""Test the changes that `migrate clean` proposes to files that still mention `.env` files."""

import subprocess
from pathlib import Path

import pytest
import yaml

from infisical_iac.check.proposals import (
    HEADING,
    as_patch,
    change_ci,
    change_compose_file,
    change_dockerfile,
    change_document,
    propose,
)
from tests.unit.check.checked import GOOD, plant

_COMPOSE = """\
services:
  backend:
    build: backend
    env_file: backend/.env   # all of it
    ports: ["4000:4000"]
  job-worker:
    build: backend
    env_file:
      - backend/.env
      - path: backend/.env.production
        required: false
    environment:
      NODE_ENV: production
      TEXT: |
        a
        b
    depends_on: [redis]
  listed:
    image: x
    environment:
      - LEVEL=info
    env_file: [.env]

  flow:
    env_file: .env
    environment: {LEVEL: info}
  other:
    env_file: settings/base.txt
  redis:
    image: redis:8
"""
_THREE = {
    "INFISICAL_CLIENT_ID": "${INFISICAL_CLIENT_ID:?}",
    "INFISICAL_CLIENT_SECRET": "${INFISICAL_CLIENT_SECRET:?}",
    "INFISICAL_ENVIRONMENT": "${INFISICAL_ENVIRONMENT:-production}",
}


def _of(service: str) -> dict[str, str]:
    """Return the variables of a service with its own credentials, next to other services."""
    return {
        key: value.replace("{INFISICAL_CLIENT", f"{{{service}_INFISICAL_CLIENT")
        for key, value in _THREE.items()
    }


def test_a_compose_file_gives_services_their_credentials_instead_of_an_env_file() -> None:
    services = yaml.safe_load(change_compose_file(_COMPOSE))["services"]
    assert services == {
        "backend": {
            "build": "backend",
            "environment": _of("BACKEND"),
            "ports": ["4000:4000"],
        },
        "job-worker": {
            "build": "backend",
            "environment": {**_of("JOB_WORKER"), "NODE_ENV": "production", "TEXT": "a\nb\n"},
            "depends_on": ["redis"],
        },
        "listed": {
            "image": "x",
            "environment": [
                "LEVEL=info",
                *(f"{key}={value}" for key, value in _of("LISTED").items()),
            ],
        },
        "flow": {"env_file": ".env", "environment": {"LEVEL": "info"}},
        "other": {"env_file": "settings/base.txt"},
        "redis": {"image": "redis:8"},
    }


@pytest.mark.parametrize(
    "text",
    [
        "services: {a: {env_file: .env}}\n",
        "services:\n  a: &a\n    image: x\n",
        "services:\n  a:\n    [b]: c\n    image: x\n",
        "not: compose\n",
        "services:\n  a:\n  env_file: [\n",
        "",
    ],
)
def test_an_unclear_compose_file_is_not_changed(text: str) -> None:
    assert change_compose_file(text) == text


@pytest.mark.parametrize(
    "image",
    ["postgres:17", "docker.io/library/redis@sha256:0", "bitnami/postgresql", "minio/minio"],
)
def test_a_container_of_somebody_elses_program_keeps_its_env_file(image: str) -> None:
    """It can't log in to Infisical, and would start without its password."""
    text = f"services:\n  store:\n    image: {image}\n    env_file: .env\n"
    assert change_compose_file(text) == text
    built = text.replace("    image", "    build: store\n    image")
    assert "INFISICAL_CLIENT_ID" in change_compose_file(built)


def test_a_service_that_is_written_once_and_used_twice_is_changed_once() -> None:
    text = "services:\n  a: &a\n    env_file: .env\n  b: *a\n"
    services = yaml.safe_load(change_compose_file(text))["services"]
    assert services == {"a": {"environment": _THREE}, "b": {"environment": _THREE}}


def test_windows_line_ends_of_a_compose_file_stay() -> None:
    text = "services:\r\n  a:\r\n    env_file: .env"
    changed = change_compose_file(text)
    assert changed.count("\n") == changed.count("\r\n") == 6
    assert yaml.safe_load(changed)["services"]["a"] == {"environment": _THREE}


@pytest.mark.parametrize(
    ("line", "changed"),
    [
        ("COPY .env ./", ""),
        ("COPY --chown=node .env.production .env", ""),
        ("COPY package.json .env ./", "COPY package.json ./\n"),
        ("ADD config/.env /app/", ""),
        ("RUN cp .env.example .env", ""),
        ('CMD ["node", "--env-file=.env", "app.js"]', 'CMD ["node", "app.js"]\n'),
        ("CMD node --env-file=.env app.js", "CMD node app.js\n"),
        ("COPY . .", "COPY . .\n"),
        ("RUN a && \\\n    COPY .env b", "RUN a && \\\n    COPY .env b\n"),
        ("COPY .envoy ./", "COPY .envoy ./\n"),
        ("RUN cp .env.example .env && npm ci", "RUN cp .env.example .env && npm ci\n"),
        ("# COPY .env", "# COPY .env\n"),
    ],
)
def test_a_dockerfile_copies_no_env_file_any_more(line: str, changed: str) -> None:
    head = "FROM node:24\n"
    assert change_dockerfile(f"{head}{line}\n") == f"{head}{changed}"


_WORKFLOW = """\
on: push
jobs:
  test:
    runs-on: ubuntu-24.04
    steps:
      - uses: actions/checkout@v5
      - run: cp .env.ci .env
      - name: Write secrets
        run: echo "${{ secrets.DOTENV }}" > backend/.env
      - name: Test
        run: |
          if [ ! -f .env ]; then
            cp .env.example .env
          fi
          npm test
      - run: cp .env.a .env
        working-directory: web
"""


def test_a_ci_step_that_writes_an_env_file_is_removed() -> None:
    changed = change_ci(_WORKFLOW)
    steps = yaml.safe_load(changed)["jobs"]["test"]["steps"]
    assert [each.get("name") or each.get("uses") for each in steps[:2]] == [
        "actions/checkout@v5",
        "Test",
    ]
    script = steps[1]["run"]
    assert "cp" not in script.split()
    assert script.splitlines()[2:] == ["fi", "npm test"]
    subprocess.run(["bash", "-n", "-c", script], check=True)
    assert steps[2] == {"run": "cp .env.a .env", "working-directory": "web"}  # for a person
    assert changed.count("with-secrets") == 3
    assert change_ci(changed) == changed


@pytest.mark.parametrize(
    "text",
    [
        "test:\n  script:\n    - cp .env.ci .env\n",
        "script: [cp .env.ci .env]\n",
        "a: [\n",
        "a:\n  run: >-\n    echo a;\n    cp .env.ci .env\n",
        "a:\n  run: |\n    test -f .env || \\\n    cp .env.ci .env\n",
        "a:\n  run: |\n    cat <<EOF > .env\n    A=1\n    EOF\n",
        "a: b\n  cp .env.ci .env\n",
    ],
)
def test_an_unclear_ci_step_is_not_changed(text: str) -> None:
    assert change_ci(text) == text


def test_documents_copy_the_sample_of_the_credentials_instead() -> None:
    text = "1. `cp .env.example .env`\n2. `node --env-file=.env src/app.js`\n3. Edit .env.\n"
    assert change_document(text) == (
        "1. `cp .env.local.example .env.local && chmod 600 .env.local`\n"
        "2. `npx with-secrets -- node src/app.js`\n"
        "3. Edit .env.\n"
    )
    assert change_document("Copy `.env.example` to `.env`, then:\n\n    npm i\n") == (
        "Copy `.env.local.example` to `.env.local`, then:\n\n    npm i\n"
    )
    assert change_document("Copy .env.example to .env.").endswith("to .env.local.")
    for other in ("Copy `.env.example` to `.env.test`.", "Copy `.env.example` by hand."):
        assert change_document(other) == other
    assert change_document("cp backend/.env.example backend/.env\n").startswith(
        "cp backend/.env.local.example backend/.env.local && "
    )


_FILES = {
    "README.md": "# All\n\n    cp backend/.env.example backend/.env",
    "backend/package.json": '{"scripts": {"dev": "node src/app.js"}}',
    "backend/Dockerfile": "FROM node:24\nCOPY .env .\nCOPY . .\n",
    "backend/with blank.md": "cp .env.example .env\n",
    "python-services/README.md": "# Forecasts\r\n",
    "python-services/app.py": "import infisical_config\n",
    "python-services/Dockerfile": 'FROM python:3.13\nCMD ["python", "app.py"]\n',
    "compose.yaml": _COMPOSE,
    ".github/workflows/test.yaml": _WORKFLOW,
}


def test_the_patch_applies_and_proposes_nothing_more(tmp_path: Path) -> None:
    repository = plant(tmp_path, GOOD | _FILES)
    proposals = propose(repository, ["backend", "python-service", "gone"])
    assert [each.path for each in proposals] == [
        ".github/workflows/test.yaml",
        "README.md",
        "backend/Dockerfile",
        "compose.yaml",
        "python-services/README.md",
    ]
    patch = as_patch(proposals)
    assert (tmp_path / "README.md").read_text() == _FILES["README.md"]  # only proposed
    (tmp_path / "migration.patch").write_bytes(patch.encode())
    subprocess.run(
        ["git", "apply", "migration.patch"], cwd=tmp_path, check=True, capture_output=True
    )
    for each in proposals:
        assert (tmp_path / each.path).read_bytes().decode() == each.after
    text = (tmp_path / "README.md").read_text()
    assert "## How to run backend\n" in text
    assert "with-secrets -- npm run" in text
    assert "`/backend`" in text
    own = (tmp_path / "python-services/README.md").read_text()
    assert f"## {HEADING}\n" in own
    assert "`python app.py`" in own  # it loads its own secrets
    again = plant(tmp_path, {}, git=False)
    assert propose(again, ["backend", "python-service"]) == []


def test_a_service_without_any_readme_gets_one(tmp_path: Path) -> None:
    repository = plant(tmp_path, GOOD)
    (made,) = propose(repository, ["backend"])
    assert (made.path, made.before) == ("backend/README.md", "")
    assert "`npm run start`" in made.after
    assert made.diff.splitlines()[:2] == ["--- /dev/null", "+++ b/backend/README.md"]
    subprocess.run(["git", "apply"], cwd=tmp_path, input=made.diff.encode(), check=True)
    assert (tmp_path / made.path).read_text() == made.after


_REQUIRED = {"python-services/requirements.txt": "infisical-config\n"}


@pytest.mark.parametrize(
    ("files", "command"),
    [
        (
            {"compose.yaml": "services: {api: {build: ./python-services, command: uvicorn a:b}}\n"},
            ": `with-secrets -- uvicorn a:b`",
        ),
        (
            _REQUIRED
            | {
                "compose.yaml": "services: {api: {build: ./python-services, "
                "command: with-secrets -- uvicorn a:b}}\n"
            },
            ": `with-secrets -- uvicorn a:b`",
        ),
        (
            _REQUIRED | {"Makefile": "start:\n\twith-secrets -- uvicorn a:b\n"},
            ": `with-secrets -- COMMAND`",
        ),
        ({"python-services/app.py": "import infisical_config\n"}, " as before."),
    ],
    ids=["compose file", "compose file with the runner", "other file with the runner", "its code"],
)
def test_the_command_of_a_python_service_brings_its_secrets(
    tmp_path: Path, files: dict[str, str], command: str
) -> None:
    repository = plant(tmp_path, GOOD | {"python-services/main.py": ""} | files)
    (made,) = propose(repository, ["python-service"])
    assert f"2. Start it{command}" in made.after


@pytest.mark.parametrize("data", [b"", b"caf\xe9\n", None])
def test_a_readme_that_no_patch_can_change_is_left_out(tmp_path: Path, data: bytes | None) -> None:
    """`git apply` takes a patch as a whole or not at all. None is a link."""
    plant(tmp_path, GOOD | {"backend/Dockerfile": "FROM node:24\nCOPY .env .\n"})
    readme = tmp_path / "backend/README.md"
    if data is None:
        readme.symlink_to("Dockerfile")
    else:
        readme.write_bytes(data)
    proposals = propose(plant(tmp_path, {}), ["backend"])
    assert [each.path for each in proposals] == ["backend/Dockerfile"]
    subprocess.run(["git", "apply"], cwd=tmp_path, input=as_patch(proposals).encode(), check=True)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # Without the option, the command would overwrite a developer's file.
        ("cp -n .env.example .env", "cp -n .env.local.example .env.local && chmod 600 .env.local"),
        (
            "cp .env.example api/.env",
            "cp .env.local.example api/.env.local && chmod 600 api/.env.local",
        ),
        (
            "cp api/.env.example .env",
            "cp api/.env.local.example .env.local && chmod 600 .env.local",
        ),
    ],
)
def test_a_copy_in_a_document_keeps_its_options_and_directories(before: str, after: str) -> None:
    assert change_document(f"{before}\n") == f"{after}\n"


def test_a_heredoc_in_a_dockerfile_is_not_changed() -> None:
    text = "FROM node:24\nCOPY <<.env .env\nA=1\n.env\n"
    assert change_dockerfile(text) == text


def test_a_readme_keeps_its_line_ends(tmp_path: Path) -> None:
    plant(tmp_path, GOOD)
    (tmp_path / "backend/README.md").write_bytes(b"# Backend\r\n")
    (proposal,) = propose(plant(tmp_path, {}), ["backend"])
    assert proposal.after.count("\r\n") == proposal.after.count("\n")
    subprocess.run(["git", "apply"], cwd=tmp_path, input=proposal.diff.encode(), check=True)
    assert (tmp_path / "backend/README.md").read_bytes() == proposal.after.encode()


def test_files_that_git_ignores_are_not_quoted(tmp_path: Path) -> None:
    """Their lines may be secrets, and git would take in the patch."""
    mine = "services:\n  b:\n    env_file: .env\n    environment:\n      TOKEN: not-a-real-one\n"
    ignore = {".gitignore": f"{GOOD['.gitignore']}compose.override.yaml\n"}
    files = GOOD | ignore | {"compose.override.yaml": mine, "backend/README.md": f"## {HEADING}\n"}
    repository = plant(tmp_path, files)
    assert "compose.override.yaml" in repository.paths
    assert propose(repository, ["backend"]) == []


def test_links_and_binary_files_are_not_changed(tmp_path: Path) -> None:
    repository = plant(tmp_path, GOOD | {"backend/README.md": f"## {HEADING}\n"})
    (tmp_path / "notes.md").write_bytes(b"cp .env.example .env\n\xff")
    (tmp_path / "link.md").symlink_to("backend/Dockerfile")
    repository.paths.extend(["notes.md", "link.md"])
    assert propose(repository, ["backend"]) == []
