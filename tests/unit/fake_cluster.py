"""A fake node of a cluster in a directory, with a fake Docker and PostgreSQL."""

from pathlib import Path

from tests.unit.fake_host import FakeHost, make_host
from tests.unit.fake_programs import fake_docker

# Each database is a file with its name and its content. A database with a file in `closed` refuses
# connections.
_FUNCTIONS = r"""
cd "$HOST/databases" || exit 1

# Executes an SQL statement, given as words. Statements that are not listed have no effect.
statement() {
    case $* in
    SELECT\ 1\ FROM\ pg_stat_replication*) test -e "$HOST/alone" || echo 1 ;;
    SELECT\ 1\ FROM\ pg_database*) test ! -e "$8" || echo 1 ;;
    SELECT\ datname*infisical*before*)
        for own; do :; done
        for each in infisical_before_*; do
            test ! -e "$each" || test "$each" = "$own" || echo "$each|$(commented "$each" t)"
        done
        ;;
    SELECT\ datname*)
        without \\ "${12}"
        for each in ${left%\%}*; do
            test ! -e "$each" || echo "$each|$(commented "$each")"
        done
        ;;
    COMMENT\ ON\ DATABASE*)
        name=$4
        shift 5
        echo "$*" >"../comments/$name"
        ;;
    SELECT\ pg_snapshot_xmin*) echo 770 ;;
    SELECT\ format*HAVING*) echo "projects 2" ;;
    SELECT\ format*string_agg*) test ! -e "$HOST/mute" && echo 42 ;;
    CREATE\ DATABASE*) : >"$3" ;;
    DROP\ DATABASE*) /bin/rm -f "$5" "../closed/$5" "../comments/$5" ;;
    *RENAME\ TO*)
        test -e "$3" && test ! -e "$6" || exit 1
        /bin/mv "$3" "$6"
        for place in closed comments; do
            test ! -e "../$place/$3" || /bin/mv "../$place/$3" "../$place/$6"
        done
        ;;
    *ALLOW_CONNECTIONS\ true) /bin/rm -f "../closed/$3" ;;
    *ALLOW_CONNECTIONS\ false) : >"../closed/$3" ;;
    esac
}

# Prints the comment of a database; with a second argument, prints t if a restore has made it.
commented() {
    said="unknown unknown"
    test ! -e "../comments/$1" || read -r said <"../comments/$1"
    test "${2-}" || { echo "$said"; return; }
    test "$said" != "replaced by a restore that was proven" || echo t
}

# Sets $left to $2 without any character $1, and starts no process for that.
without() {
    left=$2
    while case $left in *"$1"*) ;; *) false ;; esac; do
        left=${left%%"$1"*}${left#*"$1"}
    done
}

psql() {
    read -r password <"$HOST/password" || test -n "$password"
    test "$PGPASSWORD" = "$password" || { echo "no password" >&2; exit 1; }
    case $last in "\\password "*) head -n 1 >"$HOST/password"; return ;; esac
    while [ "$1" != --dbname ]; do shift; done
    test ! -e "../closed/$2" || { echo "$2 takes no connections" >&2; exit 1; }
    asked=
    while read -r line || test -n "$line"; do asked="$asked $line"; done
    without "'" "$asked"
    asked=$left
    while test -n "$asked"; do
        words=${asked%%;*} asked=${asked#"${asked%%;*}"}
        asked=${asked#;}
        statement $words || exit 1
    done
}

"""
_DOCKER = """
ps*)
    echo "database /  infisical_postgres-1/ Up 2 minutes"
    echo "cache /  infisical_redis-1/ Up 2 minutes"
    ;;
inspect*swarm.service.name*) echo infisical_postgres-1 ;;
inspect*) test ! -e "$HOST/stopped" && echo running ;;
info*) echo / ;;
"service ls"*) echo id ;;
"service inspect --format "*ContainerSpec.Image*) echo "id@sha256:1" ;;
"service scale"*) echo "$last" >>"$HOST/asked" ;;
"service logs"*) echo "a logged line" ;;
exec*" cache sh -c "*) echo "redis emptied" >>"$HOST/asked" ;;
exec*" psql "*) psql "$@" ;;
exec*" pg_restore "*)
    while [ "$1" != --dbname ]; do shift; done
    cat >"$2"
    ;;
"""


class FakeNode(FakeHost):
    """A host with databases next to its files."""

    def databases(self) -> dict[str, str]:
        """Return what is in each database, by its name."""
        return {each.name: each.read_text() for each in (self.directory / "databases").iterdir()}

    def list_closed(self) -> str:
        """Return the names of the databases that refuse connections."""
        return " ".join(each.name for each in (self.directory / "closed").iterdir())

    def databases_given_up(self) -> dict[str, str]:
        """Return what is in each database that was given up, by its name."""
        found = self.databases().items()
        return {name: text for name, text in found if name.startswith("infisical_given_up_")}

    def deaths_of(self, *steps: tuple[str, ...]) -> list["FakeNode"]:
        """Return the hosts of `FakeHost.deaths` as nodes."""
        return [FakeNode(each.directory, self._programs) for each in self.deaths(*steps)]


def make_node(directory: Path, **databases: str) -> FakeNode:
    """Return a node with databases, given their content by name."""
    programs = directory / "programs"
    node = FakeNode(make_host(directory).directory, programs)
    fake_docker(programs, _DOCKER, functions=_FUNCTIONS)
    for place in ("databases", "closed", "comments"):
        (node.directory / place).mkdir()
    for name, content in databases.items():
        node.write(f"/databases/{name}", content)
    node.write("/password", "obviously-fake")
    for key in ("postgres_password", "redis_password"):
        node.write(f"/etc/infisical/keys/{key}", "obviously-fake")
    return node
