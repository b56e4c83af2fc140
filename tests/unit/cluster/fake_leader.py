"""A fake data node of a cluster, in a directory, with a fake Docker."""

import subprocess
from pathlib import Path

from infisical_iac.core.rendering import script
from tests.unit.fake_programs import fake_docker, fake_program, run_with

_DOCKER = """
"ps --all"*)
    echo "pgid / infisical_postgres-1/ Up 2 hours"
    echo "sentinelid / infisical_sentinel-1/ Up 2 hours"
    ;;
"exec sentinelid"*)
    inside=$(echo "$5" | sed "s,/run/secrets,$HOST,")
    NAME=sentinel-1 exec sh -c "$inside"
    ;;
"exec pgid sh"*)
    inside=$(echo "$5" | sed "s,/run/secrets,$HOST,")
    shift 5
    exec sh -c "$inside" "$@"
    ;;
"exec pgid printenv"*) echo postgres-1 ;;
"""
# A curl that logs its arguments and its standard input.
CURL = """
echo "$*" >>"$HOST/changes"
cat >>"$HOST/changes"
"""


class Leader:
    """A data node with the primary, below a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        fake_docker(directory, _DOCKER)

    def write(self, path: str, text: str) -> Path:
        file = self.directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def program(self, name: str, body: str = "") -> None:
        """Replace a program of the host by a fake."""
        fake_program(self.directory, name, body)

    def changes(self) -> list[str]:
        file = self.directory / "changes"
        return file.read_text().splitlines() if file.exists() else []

    def run(self, *step: str, of: str) -> subprocess.CompletedProcess[str]:
        return run_with(self.directory, script(of, *step))
