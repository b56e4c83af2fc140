# Follows tasks of the Swarm's services until their containers are gone.
#
#   left <service>…   prints the tasks whose containers are not gone yet, on nodes that are up; a
#                     phrase if the Swarm does not answer, so that the caller goes on waiting
#   without_replicas  stops Infisical everywhere, so that nobody writes
left() {
    listed=$(docker node ls --format '{{ .Status }} {{ .Hostname }}') &&
        tasks=$(docker service ps --format '{{ .Node }} {{ .CurrentState }}' "$@") || {
        echo "unknown nodes (the Swarm does not answer)"
        return 0
    }
    down=$(echo "$listed" | sed -n 's/^Down //p')
    echo "$tasks" |
        grep -E '^[^ ]+ ' | grep -vE ' (Complete|Shutdown|Failed|Rejected|Orphaned|Remove) ' |
        grep -vE "^($(echo $down | tr ' ' '|')) " || true
}

# A replica on a node that the others have lost can't reach the database either.
without_replicas() {
    found=$(docker service ls --quiet --filter name=infisical_infisical) ||
        fail "the Swarm has no majority: start Docker on most of its managers (\`systemctl start docker\`)"
    test -n "$found" || return 0
    docker service scale --detach infisical_infisical=0 >/dev/null
    for attempt in $(seq 120); do
        found=$(left infisical_infisical)
        test -n "$found" || return 0
        sleep 1
    done
    fail "Infisical does not stop on $(echo $found): see \`docker service ps infisical_infisical\`"
}
