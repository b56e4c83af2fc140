# What the scripts share that let another database take the place of Infisical's on a cluster, where
# PostgreSQL replicates whatever is done at its primary.
. ./alone.sh
. ./database.sh
. ./room.sh
. ./secrecy.sh
. ./tasks.sh
. ./writes.sh
main=infisical
new=infisical_restoring

# A change waits for a standby that has it too, and may do so for ever.
at_server() { within="timeout 600" sql postgres; }

# A server that does not answer is no database that is not there.
there() {
    found=$(echo "SELECT 1 FROM pg_database WHERE datname = '$1'" | at_server) ||
        fail "PostgreSQL does not answer"
    test -n "$found"
}

# Each node keeps a copy of all.
check_room() {
    has_room "$(to_load)" "$(docker info --format '{{ .DockerRootDir }}')" ||
        fail "the snapshot $takes beside the data, and Docker's disk $has on each node"
}

# Without a standby that has it too, PostgreSQL ends no change; one that is about to be it is waited
# for.
check_standby() {
    for attempt in $(seq 60); do
        standbys=$(echo "SELECT 1 FROM pg_stat_replication
            WHERE sync_state IN ('sync', 'quorum')" | at_server)
        test -z "$standbys" || return 0
        sleep 2
    done
    fail "PostgreSQL has no standby that keeps what is written, without which no change would end: \
bring another data node back first"
}

# What was fetched, into a database of its own; prints "<table> <rows>".
load() {
    find_database
    check_standby
    check_room
    drop "$new"
    echo "CREATE DATABASE $new TEMPLATE template0 OWNER infisical ENCODING 'UTF8'" | at_server
    said=$(within="timeout 7200" in_database pg_restore --username infisical --dbname "$new" --exit-on-error \
        --single-transaction 2>&1 <"$here/fetched/database.dump") ||
        fail "the dump can't be loaded: $(echo "$said" | tail -n 1)"
    echo "$next_transaction" | sql "$new" | store "$here/loaded"
    sql "$new" <<'SQL'
ANALYZE;
SELECT format('SELECT ''%1$s '' || count(*) FROM %1$I HAVING count(*) > 0', relname)
FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY relname
\gexec
SQL
}

drop() {
    echo "SET client_min_messages = warning; DROP DATABASE IF EXISTS $1 WITH (FORCE)" | at_server
}

# Nobody gets in any more, not even who would come back at once.
close() {
    echo "ALTER DATABASE $1 ALLOW_CONNECTIONS false;
        SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE datname = '$1'" |
        at_server >/dev/null
}

open() { echo "ALTER DATABASE $main ALLOW_CONNECTIONS true" | at_server; }

# The new database takes the place of the old one, which becomes $1: both or none. Of the old one $2
# is noted, or stays noted what was.
exchange() {
    find_database
    there "$new" || fail "no dump has been loaded"
    note=${2:+"COMMENT ON DATABASE $1 IS '$2';"}
    close "$main"
    at_server <<SQL || { open && fail "the databases could not change places"; }
SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE datname = '$new' \\g /dev/null
BEGIN;
ALTER DATABASE $main RENAME TO $1;
ALTER DATABASE $new RENAME TO $main;
ALTER DATABASE $1 ALLOW_CONNECTIONS true;
$note
COMMIT;
SQL
}

# The old one comes back from $1, if it is there. What took its place may have been written to: it is
# never dropped, but given up, as of the change $2. Both or none; it can be repeated.
take_back() {
    find_database
    if there "$1"; then
        ! there "$main" || close "$main"
        change_places "$1" "$main" "$(free_name "$2")" "$(noted)" ||
            { open && fail "the old database could not take its place again"; }
    fi
    open
    drop "$new"
}

# $1 becomes $2, and $2, where there is one, is given up as $3, of which $4 is noted.
change_places() {
    giving_up=
    ! there "$2" || giving_up="ALTER DATABASE $2 RENAME TO $3;
        ALTER DATABASE $3 ALLOW_CONNECTIONS true;
        COMMENT ON DATABASE $3 IS '$4';"
    at_server <<SQL
SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE datname = '$1' \\g /dev/null
BEGIN;
$giving_up
ALTER DATABASE $1 RENAME TO $2;
COMMIT;
SQL
}

# A name for what is given up as of the change $1. A way back of which nothing can be left, for
# somebody has written to the old data meanwhile, gives up a second one.
free_name() {
    name=${main}_given_up_$(echo "$1" | tr TZ tz) number=1
    free=$name
    while there "$free"; do
        number=$((number + 1))
        free=${name}_$number
    done
    echo "$free"
}

# Notes in $here/writes "<since> <writes> <images>" of the data in place, before the first step of a
# way back from them. They took their place at the time $1, as seconds since the epoch; $loaded names
# the note of their transaction where it is another one than `loaded`.
count_writes() {
    find_database
    since=$(date --utc --date "@$1" +%Y-%m-%dT%H:%M:%SZ)
    images=$(docker service ls --filter name=infisical_infisical --format '{{ .Image }}' 2>/dev/null | head -n 1) || images=
    from=$(cat "$here/${loaded-loaded}" 2>/dev/null) || from=
    counted=$(questions "$since" "$from" | within="timeout 60" sql "$main" 2>/dev/null) || counted=
    test -z "$counted" || counted=$(echo "$counted" | total)
    echo "$since ${counted:-unknown} $images" | store "$here/writes"
}

noted() { cat "$here/writes" 2>/dev/null || echo unknown unknown; }

given_up() { databases_given_up "$@"; }

# After a proven change: what was given up before goes, unless somebody has written to it, which only
# people can decide on. Prints "removed <database>", or what is kept.
forget_given_up() {
    given_up | while read -r kind name since writes images; do
        if [ "$writes" = 0 ]; then
            drop "$name" </dev/null
            echo "removed $name"
        else
            echo $kind $name $since $writes $images
        fi
    done
}

# Redis holds queues and caches: of another state they are worth nothing.
empty_redis() {
    redis=$(container redis)
    REDISCLI_AUTH=$(cat "$keys/redis_password") docker exec --env REDISCLI_AUTH "$redis" sh -c '
        for number in 1 2 3; do
            master=$(redis-cli $CLI -h "sentinel-$number" -p 26379 --raw \
                sentinel get-master-addr-by-name infisical 2>/dev/null | head -n 1)
            test -z "$master" || test OK != "$(redis-cli $CLI -h "$master" flushall)" || exit 0
        done
        exit 1' || fail "Redis has no master that answers: \`infisical-iac apply\` brings it back"
}

# The last lines of Infisical, into the file $1, without any secret.
keep_logs() {
    timeout 30 docker service logs --raw --tail 200 infisical_infisical 2>&1 |
        without_secrets | store "$1"
}
