# Fetches and loads a snapshot next to the live instance, in a directory of its own:
#
#   snapshot.sh fetch <directory> <target> <snapshot>   fetches its files into `fetched` there, and
#                                                       compares them with its manifest; prints
#                                                       "key <fingerprint>" of this host's key and
#                                                       the manifest
#   snapshot.sh load <directory> <project> <seconds>    loads the dump into a new database of the
#                                                       Compose project in `compose.yaml` there, and
#                                                       stops it; prints "<table> <rows>"
#   snapshot.sh serve <directory> <project> <seconds>   starts Redis and Infisical on the loaded
#                                                       data; prints the address of Infisical
#   snapshot.sh forward <directory> <project>           forwards a port of the host's loopback to that
#                                                       Infisical, until `clean`; prints the port
#   snapshot.sh clean <directory> <project>             removes all of the project, and the fetched
#                                                       files
. ./exclusive.sh
. ./compose.sh
. ./forwarding.sh
. ./free-space.sh
. ./secrecy.sh
. ./writes.sh

fetch() {
    rm -rf "$here/fetched"
    mkdir -p "$here/fetched"
    for agent in /usr/local/lib/infisical-iac/agent-*.pyz; do
        python3 -IS "$agent" --backup-target fetch "$1" "$2" "$here/fetched"
        break
    done
    cd "$here/fetched"
    test -s manifest.json && test -s database.dump ||
        fail "the snapshot has no manifest.json or database.dump: it was not made by this project"
    of_dump() { sed -n "s/.*\"$1\": \"\\{0,1\\}\\([0-9a-f]*\\).*/\\1/p" manifest.json | tail -n 1; }
    bytes=$(stat --format %s database.dump)
    test "$bytes" = "$(of_dump bytes)" ||
        fail "the dump is truncated: it has $bytes of the $(of_dump bytes) bytes in its manifest"
    test "$(sha256sum database.dump | cut -d ' ' -f 1)" = "$(of_dump sha256)" ||
        fail "the dump was altered: its SHA-256 differs from the one in its manifest"
    echo "key $(key_fingerprint)"
    cat manifest.json
}

check_free_space() {
    # Docker's volumes may be on a data volume.
    has_free_space "$(to_load)" "$(docker info --format '{{ .DockerRootDir }}')/volumes" ||
        fail "the snapshot $takes next to the data, and Docker's disk $has"
}

of() { docker inspect --format "{{ .State.$1 }}" "$container"; }

# Prints why the container is unhealthy, from its last log lines, without any secret.
why() {
    said=$(docker logs --tail 50 "$container" 2>&1 | without_secrets)
    case $said in
    *"unable to authenticate data"* | *"Invalid key length"*)
        echo "the encryption key of the host is not the one that its secrets are encrypted with"
        ;;
    *) echo "$said" | grep . | tail -n 1 ;;
    esac
}

await() {
    find_container "$1"
    until [ "$(of Health.Status)" = healthy ]; do
        test "$(of Status)" != exited || fail "$1 does not start on the snapshot: $(why)"
        test "$(date +%s)" -lt "$limit" ||
            fail "$1 does not get healthy on the snapshot within $seconds s: $(why)"
        sleep 0.5
    done
}

# Starts services and waits for all of them, <seconds> in total: start <seconds> <service>…
start() {
    seconds=$1 limit=$(($(date +%s) + $1))
    shift
    said=$(compose --project-directory "$root" --file "$here/compose.yaml" \
        --project-name "$project" up --detach --no-deps "$@" 2>&1) || fail "$(echo "$said" | tail -n 1)"
    for service; do
        await "$service"
    done
}

load() {
    project=$1
    check_free_space
    remove
    start "$2" postgres
    said=$(docker exec --interactive "$container" pg_restore --username infisical \
        --dbname infisical --exit-on-error --single-transaction 2>&1 <"$here/fetched/database.dump") ||
        fail "the dump can't be loaded: $(echo "$said" | tail -n 1)"
    sql_in "$container" <<'SQL'
ANALYZE;
SELECT format('SELECT ''%1$s '' || count(*) FROM %1$I HAVING count(*) > 0', relname)
FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY relname
\gexec
SQL
    # Only data that will replace others need this note. A drill has no file `state`.
    test ! -e "$here/state" || echo "$next_transaction" | sql_in "$container" | store "$here/loaded"
    docker stop --time 60 "$container" >/dev/null
    docker rm "$container" >/dev/null
}

serve() {
    project=$1
    start "$2" postgres redis
    start "$2" infisical
    address
}

address() {
    docker inspect --format '{{ range .NetworkSettings.Networks }}{{ println .IPAddress }}{{ end }}' \
        "$container" | head -n 1
}

find_container() {
    container=$(docker ps --all --quiet --filter "label=com.docker.compose.project=$project" \
        --filter "label=com.docker.compose.service=$1")
}

forward() { forward_port "$1"; }

remove() {
    close_port "$project"
    found=$(docker ps --all --quiet --filter "label=com.docker.compose.project=$project")
    test -z "$found" || docker rm --force --volumes $found >/dev/null
    for kind in network volume; do
        found=$(docker $kind ls --quiet --filter "label=com.docker.compose.project=$project")
        test -z "$found" || docker $kind rm $found >/dev/null
    done
}

clean() {
    project=$1
    rm -rf "$here/fetched"
    ! command -v docker >/dev/null || remove
}

lock_directory "$2"
command=$1
shift 2
"$command" "$@"
