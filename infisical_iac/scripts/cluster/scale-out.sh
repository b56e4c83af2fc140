# Infisical's data moved from a single host into the cluster that it leads, in steps of which each
# can be killed and undone:
#
#   scale-out.sh state          "<stamp> out <phase>" of a move that has not ended
#   scale-out.sh begin <stamp> out   nothing is touched yet; phase begun
#   scale-out.sh way_in         waits a while for the cluster's HAProxy, which has no port yet on the
#                               host that serves: Infisical starts sooner where it is there
#   scale-out.sh pause          stops the single host's Infisical, so that nobody writes; phase paused
#   scale-out.sh take           the dump that was made is the one to load; prints its manifest
#   scale-out.sh load           that dump, into a database of its own on the cluster; prints
#                               "<table> <rows>"
#   scale-out.sh switch         it is the cluster's database then, and what holds the single host's
#                               ports goes; the volumes and compose.yaml stay; phase switched
#   scale-out.sh back           undoes all since `begin`; the single host's containers are to be
#                               started then; phase back; prints of the data that the cluster had
#                               what databases.sh calls given up
#   scale-out.sh end            ends a move that is proven, with the single host's last containers,
#                               or one that is undone; prints what is kept
. ./databases.sh
. ./scaling.sh
# This host has containers of both.
TOPOLOGY=swarm

aside_name() { echo "${main}_given_up_$stamp" | tr TZ tz; }
# As the versions before named it.
older_name() { echo "${main}_before_$stamp" | tr TZ tz; }

may_begin() {
    test -e "$root/compose.yaml" || fail "this host has no Infisical for itself that could be moved"
    test ! -e "$root/stack.yaml" || fail "Infisical serves from the cluster already"
}

# The single host's containers but those of the named services go.
without_containers() {
    found=$(docker ps --all --filter "label=$project" \
        --format '{{ .ID }} {{ .Label "com.docker.compose.service" }}' |
        awk -v kept=" $* " '!index(kept, " " $2 " ") { print $1 }')
    test -z "$found" || docker stop $found >/dev/null
    test -z "$found" || docker rm $found >/dev/null
}

way_in() {
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
    # What is in the cluster from here on is not to go with it.
    echo "$stamp" | store "$here/served"
    exchange "$(aside_name)"
    # It takes a while to end these, and nobody has to wait for that.
    without_containers postgres redis
    if [ -e "$root/compose.yaml" ]; then
        store "$here/compose.yaml" <"$root/compose.yaml"
        discard "$root/compose.yaml"
    fi
    enter switched
}

# The database that was in the way of a move has nothing in it, unless an earlier one had taken over.
drop_empty() {
    there "$1" || return 0
    tables=$(echo "SELECT count(*) FROM pg_class
        WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace" | sql "$1")
    if [ "$tables" = 0 ]; then drop "$1" >/dev/null; else echo "database $1"; fi
}

# The cluster's data keep their place, where nobody asks for them; what was written to them is noted
# with them. Where the database does not tell, nobody waits for it.
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
        without_ways_in
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
        # That of a move that was undone too.
        given_up | while read -r kind name rest; do drop_empty "$name" </dev/null >/dev/null; done
        drop_empty "$(older_name)"
        forget_given_up
        rm -f "$here/served"
        echo "volume infisical_postgres"
        echo "$here/compose.yaml"
        ;;
    back) ;;
    *) fail "the move is $phase, and has no end yet" ;;
    esac
    forget
}

here=/var/lib/infisical-scale
test "$1" = state || alone "$here"
"$@"
