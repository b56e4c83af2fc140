"""Make repositories of services for tests of `check`, and provide their project file."""

import subprocess
from pathlib import Path

from infisical_iac.check.model import CheckFinding
from infisical_iac.check.repository import Repository
from infisical_iac.workspace.goal import Layout
from infisical_iac.workspace.load import load

WORKSPACE_TEXT = """\
project: {name: A, slug: abcde}
environments:
  - {slug: development, name: Development}
  - {slug: production, name: Production}
shared_folders: [/shared]
services:
  backend: {folder: /backend, imports: [/shared]}
  python-service: {folder: /python-services, imports: [/shared]}
"""
WORKSPACE = load(WORKSPACE_TEXT)
LOCAL_FILE = """\
{"workspaceId": "fake-id", "domain": "https://secrets.example.com", "defaultSecretPath": "/backend"}
"""
IGNORE = ".env\n.env.*\n!.env.example\n!.env.local.example\n"
# One service without any finding.
GOOD = {
    ".gitignore": IGNORE,
    "backend/.infisical.json": LOCAL_FILE,
    "backend/package.json": (
        '{"scripts": {"start": "with-secrets -- node src/server.js"}, '
        '"dependencies": {"infisical-config": "1"}}'
    ),
    "backend/Dockerfile": "FROM node:24\nCOPY . .\n",
    "backend/.dockerignore": ".env\n.env.*\n",
    "backend/.env.example": "PORT=3000\nDATABASE_URL=\n",
}


def plant(root: Path, files: dict[str, str], *, git: bool = True) -> Repository:
    """Return a repository with these files, which are staged in git."""
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    if git:
        for command in (("init", "--quiet"), ("add", ".")):
            subprocess.run(["git", "-C", root, *command], check=True, capture_output=True)
    return Repository(root, WORKSPACE)


def list_findings(
    repository: Repository, project_id: str = "", address: str = ""
) -> list[CheckFinding]:
    """Return the findings without notes; `project_id` and `address` are empty without Infisical."""
    findings = [*repository.files(), *repository.starts(Layout(project_id), address)]
    return [each for each in findings if not each.is_note]


def locate(findings: list[CheckFinding]) -> list[tuple[str, str]]:
    """Return the kind and the place of each finding."""
    return [(each.kind, each.place) for each in findings]
