# Takes the stack away.
#
#   destroy.sh backup <directory>   the database and the files of /etc/infisical, into a new
#                                   directory that only root can read
#   destroy.sh stack                containers and networks; data and keys stay
#   destroy.sh everything           and the data, the keys and the credentials
set -eu
umask 077
root=/etc/infisical

containers() {
    docker ps --all --quiet --filter label=com.docker.compose.project=infisical
}

backup() {
    mkdir -p "$1"
    docker exec infisical-postgres-1 pg_dump --username infisical --format custom infisical \
        >"$1/database.dump"
    docker exec --interactive infisical-postgres-1 pg_restore --list <"$1/database.dump" |
        grep -q 'TABLE DATA' || { echo "the dump of the database can't be read back" >&2; exit 1; }
    tar --create --file "$1/etc-infisical.tar" --directory / etc/infisical
    sync "$1/database.dump" "$1/etc-infisical.tar"
}

stack() {
    containers | xargs --no-run-if-empty docker stop --time 20 >/dev/null
    containers | xargs --no-run-if-empty docker rm --force >/dev/null
    docker network ls --quiet --filter label=com.docker.compose.project=infisical |
        xargs --no-run-if-empty docker network rm >/dev/null
    rm -f "$root/compose.yaml"
}

everything() {
    stack
    docker volume ls --quiet --filter label=com.docker.compose.project=infisical |
        xargs --no-run-if-empty docker volume rm >/dev/null
    rm -rf "$root"
}

"$@"
