# Moves Infisical's data from a single host to the cluster that it leads. Each step can be killed
# and undone:
#
#   scale-out.sh state          prints "<stamp> out <phase>" of an unfinished migration
#   scale-out.sh begin <stamp> out   changes nothing yet; phase begun
#   scale-out.sh await_haproxy   waits a while for the cluster's HAProxy on the other hosts, since
#                               Infisical then starts sooner; on this host, the single host's
#                               containers still have its ports
#   scale-out.sh pause          stops the single host's Infisical, so that nobody writes; phase
#                               paused
#   scale-out.sh take           selects the new dump for the load; prints its manifest
#   scale-out.sh load           loads that dump into a database of its own on the cluster; prints
#                               "<table> <rows>"
#   scale-out.sh switch         makes it the cluster's database, and removes the single host's
#                               containers that hold ports; volumes and compose.yaml are kept; phase
#                               switched
#   scale-out.sh back           undoes all since `begin`; the caller starts the single host's
#                               containers next; phase back; prints the data that the cluster had,
#                               as databases.sh prints data that were given up
#   scale-out.sh end            ends a migration that is proven or undone; removes the single host's
#                               other containers after a proven one; prints what is kept
. ./databases.sh
. ./scaling.sh
# This host has containers of both topologies.
TOPOLOGY=swarm

aside_name() { echo "${main}_given_up_$stamp" | tr TZ tz; }
# Earlier versions used this name.
older_name() { echo "${main}_before_$stamp" | tr TZ tz; }

may_begin() {
    test -e "$root/compose.yaml" || fail "this host has no Infisical of its own to migrate"
    test ! -e "$root/stack.yaml" || fail "Infisical serves from the cluster already"
}

# Stops and removes the single host's containers, except those of the named services.
without_containers() {
    found=$(docker ps --all --filter "label=$project" \
        --format '{{ .ID }} {{ .Label "com.docker.compose.service" }}' |
        awk -v kept=" $* " '!index(kept, " " $2 " ") { print $1 }')
    test -z "$found" || docker stop $found >/dev/null
    test -z "$found" || docker rm $found >/dev/null
}

await_haproxy() {
    others=$(($(docker node ls --quiet | sort -u | wc -l) - 1))
    for attempt in $(seq 40); do
        running=$(docker service ls --filter "name=${stack}_haproxy" --format '{{ .Replicas }}')
        test "${running%%/*}" -lt "$others" || return 0
        sleep 0.5
    done
}

pause() {
    current
    enter paused
    stop_infisical
}

switch() {
    current
    enter switching
    # The mark keeps the cluster's data when the cluster is removed.
    echo "$stamp" | store "$here/served"
    exchange "$(aside_name)"
    # Not PostgreSQL and Redis: stopping them takes a while, and the switch need not wait for that.
    without_containers postgres redis
    if [ -e "$root/compose.yaml" ]; then
        store "$here/compose.yaml" <"$root/compose.yaml"
        discard "$root/compose.yaml"
    fi
    enter switched
}

# The database that a migration replaced is empty, unless an earlier migration had filled it.
drop_empty() {
    there "$1" || return 0
    tables=$(echo "SELECT count(*) FROM pg_class
        WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace" | sql "$1")
    if [ "$tables" = 0 ]; then drop "$1" >/dev/null; else echo "database $1"; fi
}

# Notes how much was written to the cluster's data as a comment of the database. The data stay in
# place, where nothing uses them. Gives up if the database does not answer.
note_writes() {
    find_database
    test -z "$(echo "SELECT 1 FROM pg_database WHERE datname = '$new'" | within="timeout 60" sql postgres)" ||
        return 0
    without_replicas
    count_writes "$(stat --format %Y "$here/state")"
    echo "COMMENT ON DATABASE $main IS '$(noted)'" | within="timeout 60" sql postgres
}

back() {
    current
    case $phase in
    back) ;;
    *)
        case $phase in switching | switched) (note_writes) || true ;; esac
        enter backing
        stop_ingress
        discard "$root/stack.yaml" "$root/stack.json"
        test -e "$root/compose.yaml" || ! test -e "$here/compose.yaml" ||
            store "$root/compose.yaml" <"$here/compose.yaml"
        ;;
    esac
    enter back
    test ! -e "$here/writes" || echo "given-up $main $(noted)"
}

end() {
    current
    case $phase in
    switched)
        without_containers
        find_database
        # This includes databases of migrations that were undone.
        given_up | while read -r kind name rest; do drop_empty "$name" </dev/null >/dev/null; done
        drop_empty "$(older_name)"
        forget_given_up
        rm -f "$here/served"
        echo "volume infisical_postgres"
        echo "$here/compose.yaml"
        ;;
    back) ;;
    *) fail "the migration is in phase $phase, and can't end yet" ;;
    esac
    forget
}

here=/var/lib/infisical-scale
test "$1" = state || lock_directory "$here"
"$@"
