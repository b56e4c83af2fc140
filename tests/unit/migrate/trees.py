"""Write trees of files to scan, for the tests of a migration."""

import json
import subprocess
from pathlib import Path

from infisical_iac.migrate.loaders import Choice, LoaderDetection
from infisical_iac.workspace.load import load

WORKSPACE_TEXT = """\
project: {name: A, slug: abcde}
environments:
  - {slug: development, name: Development}
  - {slug: production, name: Production}
services:
  backend: {folder: /backend}
  python-service: {folder: /python-services}
"""
WORKSPACE = load(WORKSPACE_TEXT)

_REPOSITORY = Path(__file__).resolve().parents[3]
EXAMPLE = _REPOSITORY / "examples" / "chainalign" / "before"
SHIPPED = _REPOSITORY / "group_data" / "chainalign.yaml"


def plant(root: Path, files: dict[str, str]) -> Path:
    """Write files by path, without changing line ends, and return the root."""
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(text.encode())
    return root


def git(root: Path, *arguments: str) -> None:
    """Run git in a directory."""
    name = ["-c", "user.name=A", "-c", "user.email=a@example.com"]
    subprocess.run(["git", *name, "-C", root, *arguments], check=True, capture_output=True)


def node(*names: str, kind: str = "dependencies", **more: object) -> str:
    """Return the text of a package.json with these dependencies."""
    return json.dumps({kind: dict.fromkeys(names, "*"), **more})


def choose(path: str, files: dict[str, str]) -> Choice:
    """Return the choice of a grammar for `path` in a tree of these files, given by their paths."""
    paths = sorted({path, *files})
    return LoaderDetection(paths, lambda each: files.get(each, "")).choose(path)
