# Shared by the migrations of Infisical into a cluster and out of it: their state in $here, which is
# "<stamp> <out|in> <phase>", and the removal of the cluster's ingress. `may_begin` fails if there
# is nothing to migrate: the rollback of such a migration would stop the instance that serves.
stack=infisical
# The services that hold the ports and query the databases; the databases themselves keep running.
ingress="${stack}_caddy ${stack}_infisical ${stack}_haproxy"

state() { cat "$here/state" 2>/dev/null || true; }

current() {
    read -r stamp direction phase <"$here/state" || fail "no migration is under way"
}

enter() {
    phase=$1
    echo "$stamp $direction $phase" | store "$here/state"
}

begin() {
    test ! -e "$here/state" || fail "another migration has not ended"
    may_begin
    without_backups
    stamp=$1 direction=$2
    rm -rf "$here/dump" "$here/fetched" "$here/without-data"
    forget_notes
    enter begun
}

# Selects the dump that backup-dump.sh has made here; prints its manifest.
take() {
    rm -rf "$here/fetched"
    ln -s "$here/dump/snapshot" "$here/fetched"
    cat "$here/fetched/manifest.json"
}

# A container holds its port for a while after its service was removed.
stop_ingress() {
    for service in $ingress; do
        ! docker service inspect "$service" >/dev/null 2>&1 || docker service rm "$service" >/dev/null
    done
    for attempt in $(seq 120); do
        running=$(docker ps --filter "label=com.docker.stack.namespace=$stack" \
            --format '{{ .Label "com.docker.swarm.service.name" }}') || fail "Docker does not answer"
        left=$(echo "$running" | grep -xF "$(echo "$ingress" | tr ' ' '\n')" || true)
        test -n "$left" || return 0
        sleep 0.5
    done
    fail "a container of $(echo "$left" | head -n 1) does not end on this host: see \`docker ps\`"
}

forget() {
    rm -rf "$here/dump" "$here/fetched" "$here/without-data"
    forget_notes
    discard "$here/state"
}
