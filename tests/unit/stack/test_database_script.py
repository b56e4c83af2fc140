"""Test which PostgreSQL server of a cluster a script queries first."""

import subprocess
from pathlib import Path

import pytest

from infisical_iac.core.rendering import script_file
from tests.unit.fake_programs import fake_docker, fake_program, run_with

# Commands of the container run on this machine; a session prints the server that it would query.
_DOCKER = """
ps*) echo "aa / infisical_postgres-1/ Up 5 seconds" ;;
inspect*State.Status*) echo running ;;
inspect*) echo "$SERVICE" ;;
"exec "*--interactive*) echo "$@" | tr ' ' '\\n' | sed -n 's/^PGHOST=//p' ;;
exec*) shift 2; "$@" ;;
"""
_CURL = """
for url; do :; done
test "$url" = "http://$PRIMARY:8008/primary"
"""


def _find_database(directory: Path, *, service: str, primary: str) -> str:
    fake_docker(directory, _DOCKER)
    fake_program(directory, "curl", _CURL)
    (directory / "password").write_text("obviously-fake")
    functions = f"set -eu\n{script_file('database')}\npassword_file=$HOST/password"
    command = f"{functions}\nfind_database; sql"
    return run_with(directory, command, check=True, SERVICE=service, PRIMARY=primary).stdout.strip()


@pytest.mark.parametrize(
    ("primary", "questions"),
    [
        ("postgres-1", "postgres-1,postgres-1,postgres-2,postgres-3"),
        ("postgres-3", "postgres-3,postgres-1,postgres-2,postgres-3"),
        ("nobody", "postgres-1,postgres-2,postgres-3"),
    ],
)
def test_the_primary_is_asked_before_the_standbys(
    tmp_path: Path, primary: str, questions: str
) -> None:
    assert _find_database(tmp_path, service="infisical_postgres-1", primary=primary) == questions


def test_the_database_of_a_single_host_is_queried_in_its_container(tmp_path: Path) -> None:
    assert _find_database(tmp_path, service="", primary="postgres-1") == ""


def test_a_server_that_does_not_answer_does_not_count_as_a_missing_database() -> None:
    """Otherwise a rollback would drop the loaded database, and lose the old one."""
    answers = "at_server() { return 1; }\nthere infisical_before_20261125t101112z || echo gone"
    ran = subprocess.run(
        ["sh", "-euc", f"{script_file('databases')}\n{answers}"], capture_output=True, text=True
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (1, "", "PostgreSQL does not answer\n")
