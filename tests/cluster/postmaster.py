"""Check within seconds whether a host's own PostgreSQL is a primary, independent of Patroni."""

from tests.staging import entering
from tests.staging.host import StagingHost

# psql's status is 2 if no server accepts the connection: then no PostgreSQL takes writes there.
_ASK = """
of=label=com.docker.swarm.service.name=infisical_postgres-{number}
ids=$(timeout 4 docker ps --quiet --filter $of) || exit 1
for id in $ids; do
    timeout 5 docker exec -i $id timeout 4 psql -h /run/postgresql -U infisical -d infisical -XqAt \
        -c 'SELECT pg_is_in_recovery(), extract(epoch FROM pg_postmaster_start_time())' ||
        test $? = 2 || exit 1
done
echo asked
"""
_AWAY = "is not running"
_SECONDS = 20.0


def postmaster(host: StagingHost, number: int) -> str | None:
    """Return the start of the primary's postmaster; empty if there surely is no primary.

    Returns None without an answer. Raises subprocess.TimeoutExpired after twenty seconds.
    """
    script = ("bash", "-c", _ASK.format(number=number))
    done = entering.run(host.container, *script, input=None, seconds=_SECONDS)
    return parse(done.stdout, done.stderr)


def parse(stdout: str, stderr: str) -> str | None:
    """Parse an answer, as `postmaster` returns it; a host without power has no primary."""
    lines = stdout.splitlines()
    primaries = [line.removeprefix("f|") for line in lines if line.startswith("f|")]
    if primaries:
        return primaries[0]
    return "" if lines[-1:] == ["asked"] or _AWAY in stderr else None
