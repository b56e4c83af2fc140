"""A small monorepo whose `.env` files were moved, with the report of that migration."""

import io
import json
import subprocess
import tarfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pyrage import decrypt, ssh
from pyrage.x25519 import Identity

from infisical_iac.migrate.cleaning import MovedFile
from infisical_iac.migrate.plan_file import KEY_FILE, of_bytes

SECRET = "obviously-fake-secret"
BACKEND, PYTHON = "backend/.env", "python-services/.env.production"
KEY = Identity.generate()
HASH_KEY = b"k" * 32
TO = ("--recipient", str(KEY.to_public()))


def git(root: Path, *arguments: str) -> str:
    """Return the output of a git command in `root`."""
    author = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
    return subprocess.run(
        ("git", *author, *arguments), cwd=root, check=True, capture_output=True, text=True
    ).stdout


def write(root: Path, path: str, text: str = f"TOKEN={SECRET}\n") -> Path:
    """Write a file, by default with a secret, and return its path."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode())
    return file


def moved_file(root: Path, path: str, **more: Any) -> MovedFile:
    """Return a file as a report names it, moved to Infisical with its present content."""
    digest = of_bytes(HASH_KEY, (root / path).read_bytes())
    return MovedFile(path, digest, "backend", "production", ("TOKEN",), **more)


def report(
    at: Path,
    *files: MovedFile,
    unverified: tuple[str, ...] = (),
    verified_at: str = "",
    root: str = ".",
    project: str = "chainalign",
    skipped: tuple[str, ...] = (),
) -> Path:
    """Write plan and report into a directory, and return the path of the plan.

    Args:
        root: the path of the migrated directory, relative to that of the report.
        project: the slug of the project that it was migrated into.
        skipped: the paths of the files that the plan skips as a whole.
    """
    sources = [asdict(each) | {"verified": each.path not in unverified} for each in files]
    data: dict[str, Any] = {
        "root": root,
        "project": project,
        "sources": sources,
        "verified_at": verified_at,
    }
    data["skipped"] = [{"file": each, "line": 0, "key": "", "kinds": []} for each in skipped]
    write(at, "migration-report.json", json.dumps(data))
    (at / KEY_FILE).write_bytes(HASH_KEY)
    (at / KEY_FILE).chmod(0o600)
    return write(at, "migration.yaml", "schema_version: 1\n")


def monorepo(root: Path) -> list[MovedFile]:
    """Make a repository with a tracked and an untracked `.env` file, and return both files."""
    git(root, "init", "--quiet")
    write(root, BACKEND)
    write(root, "backend/server.js", 'import "dotenv/config";\n')
    write(root, "compose.yaml", "services:\n  backend:\n    env_file: backend/.env\n")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--message", "All of it")
    write(root, PYTHON, f"OTHER='{SECRET}'\r\n")
    return [moved_file(root, BACKEND), moved_file(root, PYTHON)]


def snapshot(root: Path) -> dict[str, bytes]:
    """Return the content of each file by its path, except git's own files."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and ".git" not in path.parts
    }


def read_archives(root: Path, key: Identity | ssh.Identity) -> dict[str, bytes]:
    """Return the files of all archives by their names, decrypted with the key."""
    found: dict[str, bytes] = {}
    for file in root.glob(".env-archive-*.tar.age"):
        found |= read_archive(file, key)
    return found


def read_archive(file: Path, key: Identity | ssh.Identity) -> dict[str, bytes]:
    """Return the files of an archive by their names, read without this project's code."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(decrypt(file.read_bytes(), [key]))) as tar:
        for member in tar:
            stream = tar.extractfile(member)
            assert stream is not None
            found[member.name] = stream.read()
    return found
