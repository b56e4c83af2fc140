# Shared by the scripts that replace Infisical's database on a cluster. PostgreSQL replicates each
# change from its primary.
. ./exclusive.sh
. ./database.sh
. ./free-space.sh
. ./secrecy.sh
. ./tasks.sh
. ./writes.sh
main=infisical
new=infisical_restoring

# Limited, since a change waits until a standby confirms it, maybe forever.
at_server() { within="timeout 600" sql postgres; }

# Fails the script if the server does not answer: the database may exist then.
there() {
    found=$(echo "SELECT 1 FROM pg_database WHERE datname = '$1'" | at_server) ||
        fail "PostgreSQL does not answer"
    test -n "$found"
}

# Each node keeps a copy of the data.
check_free_space() {
    has_free_space "$(to_load)" "$(docker info --format '{{ .DockerRootDir }}')" ||
        fail "the snapshot $takes next to the data, and Docker's disk $has on each node"
}

# PostgreSQL completes no change without a synchronous standby. Waits for one that is catching up.
check_standby() {
    for attempt in $(seq 60); do
        standbys=$(echo "SELECT 1 FROM pg_stat_replication
            WHERE sync_state IN ('sync', 'quorum')" | at_server)
        test -z "$standbys" || return 0
        sleep 2
    done
    fail "PostgreSQL has no synchronous standby, without which no change completes: \
bring another data node back first"
}

# Loads the fetched dump into a database of its own, and prints "<table> <rows>".
load() {
    find_database
    check_standby
    check_free_space
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

# Ends all sessions of a database. New ones are refused, as Infisical would reconnect at once.
close() {
    echo "ALTER DATABASE $1 ALLOW_CONNECTIONS false;
        SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE datname = '$1'" |
        at_server >/dev/null
}

open() { echo "ALTER DATABASE $main ALLOW_CONNECTIONS true" | at_server; }

# Renames the old database to $1 and puts the new one in its place, both or neither. $2 becomes the
# comment of the old one; without it, a comment that is there stays.
exchange() {
    find_database
    there "$new" || fail "no dump has been loaded"
    note=${2:+"COMMENT ON DATABASE $1 IS '$2';"}
    close "$main"
    at_server <<SQL || { open && fail "the databases could not be swapped"; }
SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE datname = '$new' \\g /dev/null
BEGIN;
ALTER DATABASE $main RENAME TO $1;
ALTER DATABASE $new RENAME TO $main;
ALTER DATABASE $1 ALLOW_CONNECTIONS true;
$note
COMMIT;
SQL
}

# Moves the old database back from $1, if it exists. The database in its place may have been written
# to: it is not dropped, but kept as data that the change $2 gave up. Either both steps are done or
# neither; this can be repeated.
take_back() {
    find_database
    if there "$1"; then
        ! there "$main" || close "$main"
        change_places "$1" "$main" "$(free_name "$2")" "$(noted)" ||
            { open && fail "the old database could not be moved back"; }
    fi
    open
    drop "$new"
}

# Renames $1 to $2. If $2 exists, it is given up as $3, with the comment $4.
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

# Prints a free name for data that the change $1 gives up. A repeated rollback gives up a second
# database if somebody has written to the old data meanwhile.
free_name() {
    name=${main}_given_up_$(echo "$1" | tr TZ tz) number=1
    free=$name
    while there "$free"; do
        number=$((number + 1))
        free=${name}_$number
    done
    echo "$free"
}

# Notes "<since> <writes> <images>" of the data in place in $here/writes, before the first step of
# their rollback. They were put in place at the time $1, in seconds since the epoch. $loaded names
# the note of their first transaction, `loaded` by default.
count_writes() {
    find_database
    since=$(date --utc --date "@$1" +%Y-%m-%dT%H:%M:%SZ)
    images=$(docker service inspect --format '{{ .Spec.TaskTemplate.ContainerSpec.Image }}' \
        infisical_infisical 2>/dev/null) || images=
    from=$(cat "$here/${loaded-loaded}" 2>/dev/null) || from=
    counted=$(questions "$since" "$from" | within="timeout 60" sql "$main" 2>/dev/null) || counted=
    test -z "$counted" || counted=$(echo "$counted" | total)
    echo "$since ${counted:-unknown} $images" | store "$here/writes"
}

noted() { cat "$here/writes" 2>/dev/null || echo unknown unknown; }

given_up() { databases_given_up "$@"; }

# Removes data that were given up before a proven change, unless somebody has written to them: only
# the operator can decide on those. Prints "removed <database>", or what is kept.
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

# Redis holds queues and caches, which are worthless for other data.
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

# Writes the last log lines of Infisical to the file $1, without any secret.
keep_logs() {
    timeout 30 docker service logs --raw --tail 200 infisical_infisical 2>&1 |
        without_secrets | store "$1"
}
