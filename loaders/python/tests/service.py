"""The directory, the variables and the process of a service that starts."""

import json
import os
import subprocess
import sys
from pathlib import Path

PROJECT = "00000000-0000-4000-8000-000000000001"
CREDENTIAL = {
    "INFISICAL_CLIENT_ID": "id-example",
    "INFISICAL_CLIENT_SECRET": "client-secret-example",
}
VARIABLES = {**CREDENTIAL, "NODE_ENV": "production"}
_PACKAGE = Path(__file__).parents[1]


def directory(path: Path, address: str) -> Path:
    """Make a service's directory, with the only file that it needs."""
    path.mkdir(parents=True, exist_ok=True)
    settings = {"workspaceId": PROJECT, "domain": address, "defaultSecretPath": "/backend"}
    (path / ".infisical.json").write_text(json.dumps(settings))
    return path


def env_local(home: Path, text: str, encoding: str = "utf-8") -> Path:
    """Make a developer's `.env.local` with the credential, which nobody else can read."""
    lines = [f"{name}={value}\n" for name, value in CREDENTIAL.items()]
    file = home / ".env.local"
    file.touch(mode=0o600)
    file.write_text("".join(lines) + text, encoding)
    return file


def environment(**more: str) -> dict[str, str]:
    """Return the variables of a service's process."""
    keep = {
        name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ
    }
    return {**keep, "PYTHONPATH": str(_PACKAGE), **VARIABLES, **more}


def command(*arguments: str) -> list[str]:
    """Return the command of the tests' own Python."""
    return [sys.executable, *arguments]


def run(cwd: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a process of the service to its end."""
    return subprocess.run(
        command(*arguments),
        cwd=cwd,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
